"""Calibrated qualities, and what a trained router would do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

NAN = float("nan")


class TestCalibration:
    def test_it_puts_right_what_is_overconfident(self) -> None:
        from llmrouter.learning.calibration import Calibration

        draw = np.random.default_rng(0)
        chance = draw.random((4000, 2)) * 0.8 + 0.1
        truth = (draw.random((4000, 2)) < chance).astype(float)
        truth[::3, 1] = NAN
        overconfident = 1 / (1 + np.exp(-2 * np.log(chance / (1 - chance))))
        fitted = Calibration.fit(overconfident, truth)
        assert fitted.slope == pytest.approx(0.5, abs=0.05)
        assert fitted.error is not None
        assert fitted.error < 0.03
        np.testing.assert_allclose(fitted(overconfident), chance, atol=0.03)
        assert Calibration.from_json(fitted.to_json()) == fitted

    @pytest.mark.parametrize("told", [{"slope": 0}, {"slope": -1}, {"intercept": NAN}])
    def test_what_would_turn_the_order_round_is_refused(self, told: dict[str, Any]) -> None:
        from llmrouter.learning.calibration import Calibration

        with pytest.raises(ValueError, match="out of range"):
            Calibration.from_json({**Calibration().to_json(), **told})


class TestSummary:
    def summarised(self, quality: Any, cost: Any, truth: Any, actual: Any) -> dict[str, Any]:
        from llmrouter.learning.outcomes import Outcomes
        from llmrouter.learning.summary import summarise

        table = np.array(truth, float)
        empty = np.full_like(table, NAN)
        rows = [{"query": str(number)} for number in range(len(table))]
        examples = Outcomes(
            rows,
            ("small", "large"),
            table,
            np.zeros(len(table), bool),
            np.ones(len(table)),
            empty,
            empty,
            empty,
        )
        return summarise(examples, np.array(quality, float), np.array(cost, float), np.array(actual, float))

    def test_it_tells_of_llms_frontier_and_constraints(self) -> None:
        quality, cost = [[0.9, 0.95], [0.1, 0.9]], [[1, 10], [1, 10]]
        told = self.summarised(quality, cost, [[1, 1], [0, 1]], cost)
        assert told["queries"] == 2
        assert told["llms"] == {
            "small": {"labels": 2, "quality": 0.5, "cost": 1, "frontier": True},
            "large": {"labels": 2, "quality": 1, "cost": 10, "frontier": True},
        }
        points = [(point["cost"], point["quality"], point["share"]) for point in told["frontier"]]
        assert points[0] == (1, 0.5, {"small": 1})
        assert (5.5, 1, {"small": 0.5, "large": 0.5}) in points
        assert [point["trade_off"] for point in told["frontier"]] == sorted(
            (point["trade_off"] for point in told["frontier"]), reverse=True
        )
        within = {
            point["constraint"]["cost_constraint"]["numeric_value"]: point
            for point in told["constraints"]
            if "cost_constraint" in point["constraint"]
        }
        assert within[1]["share"] == {"small": 1}
        assert within[10]["share"] == {"large": 1}
        assert within[1]["met"] == within[10]["met"] == 1

    def test_predictions_stand_in_for_what_is_unknown_and_no_price_is_none(self) -> None:
        told = self.summarised([[0.8, 0.9]] * 2, [[NAN, 10]] * 2, [[1, NAN], [0, 1]], [[NAN, 10], [NAN, NAN]])
        assert told["llms"]["small"] == {"labels": 2, "quality": 0.5, "cost": None, "frontier": False}
        assert told["llms"]["large"]["labels"] == 1
        assert [point["share"] for point in told["frontier"]] == [{"large": 1}]
        assert told["frontier"][0]["quality"] == pytest.approx((0.9 + 1) / 2)
