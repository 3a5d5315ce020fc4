"""APGR, CPT and AUROC: by hand, by definition, and under what must not change them."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from llmrouter.evaluation.deferral import Deferral
from llmrouter.evaluation.outcomes import Array

# Performances of the weak and the strong LLM, and a score.
QUERIES = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.3, 1.0]), st.sampled_from([0.0, 0.7, 1.0]), st.integers(-20, 20).map(float)
    ),
    min_size=2,
    max_size=30,
)


def arrays(queries: list[tuple[float, float, float]]) -> tuple[Array, Array, Array]:
    weak, strong, scores = np.array(queries).T
    return weak, strong, scores


def once(deferral: Deferral, metric: str, *arguments: float) -> float:
    weights = np.ones((1, len(deferral.order)))
    return float(getattr(deferral, metric)(weights, *arguments)[0])


def by_definition(weak: Array, strong: Array, order: NDArray[np.intp]) -> tuple[list[float], float]:
    """Return PGR at each of the n + 1 shares and its integral, as the paper says it."""
    n = len(weak)
    gap = strong.mean() - weak.mean()
    pgr = []
    for k in range(n + 1):
        sent = set(order[:k].tolist())
        quality = sum(strong[i] if i in sent else weak[i] for i in range(n)) / n
        pgr.append((quality - weak.mean()) / gap)
    return pgr, sum((a + b) / 2 / n for a, b in pairwise(pgr))


def test_by_hand() -> None:
    # The strong LLM gains 1 on the first, nothing on the second, 1 on the third, and loses none.
    weak, strong = np.array([0.0, 1.0, 0.0, 1.0]), np.array([1.0, 1.0, 1.0, 1.0])
    deferral = Deferral(weak, strong, np.array([4.0, 3.0, 2.0, 1.0]))
    shares, quality = deferral.curve()
    assert shares.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert quality.tolist() == [0.5, 0.75, 0.75, 1, 1]
    # PGR is 0, 1/2, 1/2, 1, 1.
    assert once(deferral, "apgr") == pytest.approx((0 / 2 + 0.5 + 0.5 + 1 + 1 / 2) / 4)
    assert once(deferral, "cpt", 0.5) == 0.25
    assert once(deferral, "cpt", 0.8) == 0.75
    # Of the pairs of a wrong and a right answer, (1, 2), (1, 4), (3, 4) are in order, (3, 2) is not.
    assert once(deferral, "auroc") == 0.75


@given(QUERIES)
def test_as_defined(queries: list[tuple[float, float, float]]) -> None:
    weak, strong, scores = arrays(queries)
    deferral = Deferral(weak, strong, scores)
    if strong.mean() - weak.mean() < 1e-9:
        assert math.isnan(once(deferral, "apgr"))
        assert math.isnan(once(deferral, "cpt", 0.5))
        return
    pgr, apgr = by_definition(weak, strong, deferral.order)
    assert once(deferral, "apgr") == pytest.approx(apgr)
    for level in (0.5, 0.8):
        k = next(k for k, value in enumerate(pgr) if value >= level - 1e-9)
        assert once(deferral, "cpt", level) == pytest.approx(k / len(weak))


@given(QUERIES)
def test_auroc_is_the_share_of_pairs_in_order(queries: list[tuple[float, float, float]]) -> None:
    weak, strong, scores = arrays(queries)
    pairs = [
        (a > b) + (a == b) / 2 for a in scores[weak < 0.5].tolist() for b in scores[weak >= 0.5].tolist()
    ]
    found = once(Deferral(weak, strong, scores), "auroc")
    assert math.isnan(found) if not pairs else found == pytest.approx(sum(pairs) / len(pairs))


@given(QUERIES)
def test_a_monotone_transformation_changes_nothing(queries: list[tuple[float, float, float]]) -> None:
    weak, strong, scores = arrays(queries)
    before, after = (Deferral(weak, strong, each) for each in (scores, np.exp(scores / 10)))
    for metric, level in (("apgr", ()), ("cpt", (0.5,)), ("cpt", (0.8,)), ("auroc", ())):
        np.testing.assert_equal(once(before, metric, *level), once(after, metric, *level))


@given(QUERIES)
def test_no_order_beats_that_by_gain(queries: list[tuple[float, float, float]]) -> None:
    weak, strong, scores = arrays(queries)
    best, other = (
        once(Deferral(weak, strong, strong - weak), "apgr"),
        once(Deferral(weak, strong, scores), "apgr"),
    )
    assert math.isnan(best) or best >= other - 1e-9


@given(QUERIES, st.randoms(use_true_random=False))
def test_the_reverse_order_mirrors_apgr(queries: list[tuple[float, float, float]], random: Any) -> None:
    weak, strong, _ = arrays(queries)
    scores = np.array(random.sample(range(len(weak)), len(weak)), float)  # without ties
    there, back = (once(Deferral(weak, strong, each), "apgr") for each in (scores, -scores))
    assert math.isnan(there) or there + back == pytest.approx(1)


def test_random_scores_have_apgr_one_half() -> None:
    generator = np.random.default_rng(0)
    weak, strong = (generator.random((2, 5000)) < [[0.6], [0.9]]).astype(float)
    for scores in (generator.random(5000), np.zeros(5000), generator.integers(0, 2, 5000).astype(float)):
        assert once(Deferral(weak, strong, scores), "apgr") == pytest.approx(0.5, abs=0.03)


def test_ties_are_broken_by_the_seed() -> None:
    weak, strong, scores = np.zeros(50), np.eye(50)[0], np.zeros(50)
    orders = [Deferral(weak, strong, scores, seed).order.tolist() for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.parametrize("strong", [[1.0, 0.0], [0.0, 0.0]])
def test_without_a_gap_apgr_and_cpt_are_undefined(strong: list[float]) -> None:
    deferral = Deferral(np.array([0.0, 1.0]), np.array(strong), np.array([1.0, 2.0]))
    assert math.isnan(once(deferral, "apgr"))
    assert math.isnan(once(deferral, "cpt", 0.8))


@given(QUERIES, st.data())
def test_weights_are_copies(queries: list[tuple[float, float, float]], data: st.DataObject) -> None:
    weak, strong, _ = arrays(queries)
    scores = np.arange(len(weak), dtype=float)
    counts = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(weak), max_size=len(weak))))
    if not counts.any():
        counts[0] = 1
    copied = Deferral(np.repeat(weak, counts), np.repeat(strong, counts), np.repeat(scores, counts))
    weighted = Deferral(weak, strong, scores)
    for metric, level in (("apgr", ()), ("cpt", (0.5,)), ("cpt", (0.8,)), ("auroc", ())):
        found = getattr(weighted, metric)(counts[None].astype(float), *level)[0]
        np.testing.assert_allclose(found, once(copied, metric, *level), atol=1e-9)
