"""Scores become probabilities, and wishes thresholds."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

if TYPE_CHECKING:
    from llmrouter_threshold.calibration import Calibration
    from llmrouter_threshold.examples import Examples
    from llmrouter_threshold.hyperparameters import Hyperparameters

pytestmark = pytest.mark.torch

Doubles = NDArray[np.float64]


def gains(pairs: Sequence[tuple[float, float]]) -> Examples:
    from llmrouter_threshold.examples import Examples

    rows = [{"query": f"q{n}"} for n in range(len(pairs))]
    return Examples(rows, np.array(pairs, np.float32), "gain")


def difficulties(labels: Sequence[float]) -> Examples:
    from llmrouter_threshold.examples import Examples

    column = np.array(labels, np.float32)[:, None]
    return Examples([{"query": f"q{n}"} for n in range(len(labels))], column, "difficulty")


def calibrated(raw: Sequence[float] | Doubles, examples: Examples) -> Calibration:
    from llmrouter_threshold.calibration import calibrate

    return calibrate(np.asarray(raw, np.float64), examples)


def error_of(probabilities: Sequence[float], truth: Sequence[float], bins: int = 10) -> float:
    from llmrouter.models.calibration import expected_calibration_error

    return expected_calibration_error(np.array(probabilities), np.array(truth, np.float64), bins)


def wanted(**hparam: Any) -> Hyperparameters:
    from llmrouter_threshold.hyperparameters import Hyperparameters

    return Hyperparameters(**hparam)


def even_quantiles(**more: Any) -> Calibration:
    from llmrouter_threshold.calibration import QUANTILES, Calibration

    return Calibration(quantiles=tuple(np.linspace(0, 1, QUANTILES)), **more)


def test_calibration_error_by_hand() -> None:
    # Bins of two: |0.15 - 0.5| and |0.85 - 1|.
    assert error_of([0.9, 0.1, 0.8, 0.2], [1, 0, 1, 1], bins=2) == pytest.approx((0.35 + 0.15) / 2)


def test_calibration_error_weighs_bins_by_their_count() -> None:
    # Three in the first of two bins, two in the second.
    probabilities, truth = [0.1, 0.1, 0.1, 0.9, 0.9], [0, 0, 0, 0, 0]
    assert error_of(probabilities, truth, bins=2) == pytest.approx((3 * 0.1 + 2 * 0.9) / 5)


def test_calibration_error_of_the_truth_itself_is_none() -> None:
    assert error_of([0, 0, 1, 1], [0, 0, 1, 1]) == 0


def test_calibration_error_of_the_opposite_is_1() -> None:
    assert error_of([0, 0, 1, 1], [1, 1, 0, 0], bins=2) == 1


def test_scores_that_are_right_already_are_hardly_off() -> None:
    draw = np.random.default_rng(0)
    raw = draw.normal(0, 2, 5000)
    truth = (draw.random(5000) < 1 / (1 + np.exp(-raw))).astype(float)
    found = calibrated(raw, difficulties(truth.tolist()))
    assert found.slope == pytest.approx(1, abs=0.1)
    assert found.intercept == pytest.approx(0, abs=0.1)
    assert found.error is not None
    assert found.error < 0.02


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(0, 1, width=32)), min_size=1, max_size=30))
@settings(deadline=None)
def test_any_scores_and_labels_keep_their_order(pairs: list[tuple[float, float]]) -> None:
    raw = np.sort([score for score, _ in pairs])
    found = calibrated(raw, difficulties([label for _, label in pairs]))
    probabilities = found.probabilities(raw)
    assert np.isfinite(probabilities).all()
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    assert (np.diff(probabilities) >= 0).all()
    assert found.slope > 0
    assert found.error is not None
    assert 0 <= found.error <= 1


def test_the_order_is_kept_even_where_the_labels_contradict_it() -> None:
    found = calibrated([0, 1, 2, 3], difficulties([1, 1, 0, 0]))
    assert (np.diff(found.probabilities(np.array([0.0, 3.0]))) > 0).all()


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_labels_that_are_all_equal(label: float) -> None:
    found = calibrated(np.linspace(-1, 1, 50), difficulties([label] * 50))
    probabilities = found.probabilities(np.linspace(-1, 1, 50))
    assert np.abs(probabilities - label).max() < 0.1


def test_one_example() -> None:
    found = calibrated([0.3], difficulties([1]))
    assert 0.5 < found.probabilities(np.array([0.3]))[0] < 0.8
    assert set(found.quantiles) == {found.quantiles[0]}


def test_scores_that_are_all_equal_get_the_share_of_hard_ones() -> None:
    found = calibrated([0.4] * 100, difficulties([1] * 25 + [0] * 75))
    assert found.probabilities(np.array([0.4]))[0] == pytest.approx(0.25, abs=0.02)


def test_scores_far_out_do_not_overflow() -> None:
    from llmrouter_threshold.calibration import Calibration

    assert Calibration().probabilities(np.array([-1e9, 0, 1e9])).tolist() == pytest.approx([0, 0.5, 1])


def test_quantiles_span_the_probabilities() -> None:
    raw = np.linspace(-1, 1, 101)
    found = calibrated(raw, difficulties((raw > 0).astype(float).tolist()))
    probabilities = found.probabilities(raw)
    assert found.quantiles[0] == pytest.approx(probabilities[0])
    assert found.quantiles[100] == pytest.approx(probabilities[50])
    assert found.quantiles[-1] == pytest.approx(probabilities[-1])


def test_the_gap_recovered_by_hand() -> None:
    # Best first: the gains are 1, 0, so half the queries recover all.
    found = calibrated([0.9, 0.1], gains([(0, 1), (1, 1)]))
    assert found.recovered is not None
    assert (found.recovered[0], found.recovered[50], found.recovered[-1]) == pytest.approx((0, 0.5, 1))
    assert found.recovered[100] == pytest.approx(1)
    assert found.apgr == pytest.approx(0.75)


def test_scores_without_sense_recover_half_on_average() -> None:
    draw = np.random.default_rng(0)
    pairs = [(0.0, float(gain)) for gain in draw.integers(0, 2, 2000)]
    assert calibrated(draw.random(2000), gains(pairs)).apgr == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("pairs", [[(0.5, 0.5)] * 3, [(1, 0)] * 3])
def test_no_gap_to_recover(pairs: list[tuple[float, float]]) -> None:
    found = calibrated([0.1, 0.2, 0.3], gains(pairs))
    assert (found.recovered, found.apgr) == (None, None)


def test_difficulty_tells_no_gap() -> None:
    assert calibrated([0.1, 0.9], difficulties([0, 1])).recovered is None


@pytest.mark.parametrize(
    ("hparam", "tiers", "thresholds"),
    [
        ({}, 2, [0.5]),
        ({"threshold": 0.3}, 2, [0.3]),
        ({"threshold": 0.4}, 4, [0.4, 0.6, 0.8]),
        ({}, 3, [0.5, 0.75]),
        ({"thresholds": [0.1, 0.9]}, 3, [0.1, 0.9]),
        ({"strong_share": 0.2}, 2, [0.8]),
        ({"strong_share": 0.2}, 3, [0.8, 0.9]),
        ({"strong_share": 0}, 2, [1.0]),
        ({"strong_share": 1}, 2, [0.0]),
    ],
)
def test_thresholds(hparam: dict[str, Any], tiers: int, thresholds: list[float]) -> None:
    found, _ = even_quantiles().thresholds(wanted(**hparam), tiers)
    assert found == pytest.approx(thresholds)


def test_by_default_most_of_the_gap_is_recovered_where_it_is_known() -> None:
    recovered = tuple(min(step / 50, 1.0) for step in range(201))
    calibration = even_quantiles(recovered=recovered)
    found, chosen = calibration.thresholds(wanted(), 2)
    quality = float(chosen.split()[1].strip(","))
    assert 0.5 < quality < 1
    assert found == calibration.thresholds(wanted(quality=quality), 2)[0]


def test_quality_takes_the_smallest_share_that_recovers_it() -> None:
    recovered = tuple(min(step / 50, 1.0) for step in range(201))  # all of it with a share of 0.25
    calibration = even_quantiles(recovered=recovered)
    found, chosen = calibration.thresholds(wanted(quality=1.0), 2)
    assert found == pytest.approx([0.75])
    assert chosen == "quality 1, a strong share of 0.25"
    assert calibration.thresholds(wanted(quality=0.0), 2)[0] == pytest.approx([1.0])
    assert calibration.thresholds(wanted(quality=0.5), 2)[0] == pytest.approx([0.875])


def test_quality_needs_a_gap() -> None:
    with pytest.raises(ValueError, match="performance of both"):
        even_quantiles().thresholds(wanted(quality=0.5), 2)


def test_a_share_is_one_of_the_traffic_where_that_is_known() -> None:
    recovered = tuple(min(step / 50, 1.0) for step in range(201))
    calibration = even_quantiles(slope=4.0, recovered=recovered)
    with_traffic = calibration.with_traffic(np.linspace(-1, 1, 1001))
    found, chosen = with_traffic.thresholds(wanted(strong_share=0.25), 2)
    assert found == pytest.approx([1 / (1 + math.exp(-4 * 0.5))], abs=1e-3)
    assert chosen == "strong_share 0.25 of 1001 queries of traffic"
    # What recovers a share of the gap was measured on the part kept apart.
    assert with_traffic.thresholds(wanted(quality=1.0), 2) == calibration.thresholds(wanted(quality=1.0), 2)


def test_a_share_is_one_of_the_part_kept_apart_where_no_traffic_is_known() -> None:
    found, chosen = even_quantiles().thresholds(wanted(strong_share=0.5), 2)
    assert found == pytest.approx([0.5])
    assert chosen == "strong_share 0.5 of the part kept apart"


def test_a_share_needs_training() -> None:
    from llmrouter_threshold.calibration import Calibration

    with pytest.raises(ValueError, match="trained"):
        Calibration().thresholds(wanted(strong_share=0.5), 2)


@pytest.mark.parametrize("gap", [True, False])
def test_it_survives_json(gap: bool) -> None:
    from llmrouter_threshold.calibration import Calibration

    examples = gains([(0, 1), (1, 1)]) if gap else difficulties([0, 1])
    found = calibrated([0.9, math.pi / 4], examples).with_traffic(np.array([0.1, 1 / 3]))
    assert Calibration.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert Calibration.from_json(json.loads(json.dumps(Calibration().to_json()))) == Calibration()


@pytest.mark.parametrize(
    "told",
    [{}, {"slope": 1}, {"slope": "a", "intercept": 0, "error": 0, "quantiles": [], "recovered": None}],
)
def test_json_of_something_else(told: dict[str, Any]) -> None:
    from llmrouter_threshold.calibration import Calibration

    with pytest.raises((KeyError, TypeError, ValueError)):
        Calibration.from_json(told)
