"""Averages over neighbours."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest

from llmrouter.encoders.base import SparseBatch
from llmrouter_knn.memory import FOLDED, Memory, dense

NAN = math.nan


def memory(quality: Any, cost: Any = None, vectors: Any = ((1, 0), (0, 1), (-1, 0))) -> Memory:
    table = np.array(quality, np.float32)
    costs = np.full_like(table, NAN) if cost is None else np.array(cost, np.float32)
    return Memory(np.array(vectors, np.float16), table, costs, "numpy")


def features(*rows: Any) -> Any:
    return np.array(rows, np.float32)


def test_nearer_queries_weigh_more_and_the_mean_as_one_more() -> None:
    told = memory([[1, 0], [0, 1], [0, 1]]).predict(features((2, 0)), k=2, temperature=0.5)
    # Similarities 1 and 0; the mean over all, 1/3 and 2/3, weighs as a neighbour does on average.
    near = 1 / (1 + math.exp(-2))
    assert told.quality[0].tolist() == pytest.approx(
        [(near + 0.5 / 3) / 1.5, (1 - near + 0.5 * 2 / 3) / 1.5], abs=1e-5
    )


def test_an_llm_of_which_no_neighbour_tells_goes_by_its_mean() -> None:
    told = memory([[1, NAN], [1, NAN], [0, 0.25]]).predict(features((1, 0.1)), k=2, temperature=1)
    assert told.quality[0, 1] == pytest.approx(0.25)
    assert told.quality[0, 0] == pytest.approx((1 + 0.5 * 2 / 3) / 1.5, abs=1e-5)


def test_costs_are_averaged_alike_and_unknown_ones_stay_unknown() -> None:
    told = memory([[1, 0]] * 3, [[3, NAN], [3, NAN], [3, NAN]]).predict(features((1, 0)), 2, 1)
    assert told.outlay[0, 0] == pytest.approx(3)
    assert np.isnan(told.outlay[0, 1])


def test_more_neighbours_than_there_are_means_all() -> None:
    told = memory([[1, 0], [0, 1], [0, 1]]).predict(features((1, 0)), k=99, temperature=1e6)
    assert told.quality[0].tolist() == pytest.approx([1 / 3, 2 / 3], abs=1e-4)


def test_batches_of_any_size_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    some = np.random.default_rng(0)
    kept = memory(some.random((50, 2)), some.random((50, 2)), some.standard_normal((50, 8)))
    asked = some.standard_normal((9, 8)).astype(np.float32)
    whole = kept.predict(asked, 5, 0.3)
    monkeypatch.setattr("llmrouter_knn.memory.AT_ONCE", 4)
    parts = kept.predict(asked, 5, 0.3)
    np.testing.assert_array_equal(whole.quality, parts.quality)
    np.testing.assert_array_equal(whole.outlay, parts.outlay)
    assert kept.predict(asked[:0], 5, 0.3).quality.shape == (0, 2)


def test_sparse_features_are_folded_and_keep_their_products_on_average() -> None:
    draw = np.random.default_rng(0)
    shared = draw.choice(1 << 16, 60, replace=False)
    rows = [np.concatenate([shared, draw.choice(1 << 16, 60)]) for _ in range(40)]
    batch = SparseBatch(np.concatenate(rows), np.ones(40 * 120, np.float32), np.arange(0, 40 * 120, 120))
    folded = dense(batch)
    assert folded.shape == (40, FOLDED)
    products = folded @ folded.T
    np.testing.assert_allclose(np.diag(products), 1, atol=1e-5)
    assert products[~np.eye(40, dtype=bool)].mean() == pytest.approx(0.5, abs=0.03)


def test_it_goes_to_another_process_without_its_index() -> None:
    kept = memory([[1, 0], [0, 1], [0, 1]])
    before = kept.predict(features((1, 0)), 2, 1)
    again = pickle.loads(pickle.dumps(kept))
    assert "_search" not in vars(again)
    np.testing.assert_array_equal(again.predict(features((1, 0)), 2, 1).quality, before.quality)


@pytest.mark.parametrize(
    ("quality", "vectors"),
    [
        ([[1, 0]] * 2, ((1, 0),) * 3),
        ([[1, 0]] * 3, ((1, 0), (0, 1), (math.inf, 0))),
        ([[1, NAN]] * 3, ((1, 0),) * 3),
        ([[1, 0]] * 3, (1, 0, 1)),
        (np.zeros((0, 2)), np.zeros((0, 2))),
    ],
)
def test_what_does_not_fit_is_refused(quality: Any, vectors: Any) -> None:
    with pytest.raises(ValueError, match="remembered"):
        memory(quality, vectors=vectors)
