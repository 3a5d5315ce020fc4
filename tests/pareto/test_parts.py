"""The parts that predictions are made of, each by figures that can be worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from llmrouter.errors import LLMRouterError
from llmrouter.request import answer_limit, prompt_tokens

pytestmark = pytest.mark.torch

NAN = math.nan


def sparse(*rows: dict[int, float]) -> Any:
    import torch

    from llmrouter.models.features import Features

    offsets = np.cumsum([0, *map(len, rows)])
    return Features(
        torch.tensor([value for row in rows for value in row.values()], dtype=torch.float32),
        torch.tensor([key for row in rows for key in row], dtype=torch.long),
        torch.from_numpy(offsets),
    )


def seeded() -> Any:
    import torch

    generator = torch.Generator()
    generator.manual_seed(0)
    return generator


class TestSpace:
    def test_features_of_one_query_alone_do_not_count(self) -> None:
        from llmrouter_pareto.space import Space

        space = Space.fit(sparse({1: 1, 5: 1}, {5: 2, 9: 1}, {9: 1, 2: 1}), 10, 2, seeded())
        assert space.kept.tolist() == [5, 9]
        own = space.compact(sparse({2: 3, 9: 4, 5: 1}))
        assert own.indices is not None
        assert own.indices.tolist() == [1, 0]
        assert own.values.tolist() == [4, 1]

    def test_the_directions_are_the_singular_vectors(self) -> None:
        import torch

        from llmrouter_pareto.space import Space

        table = torch.from_numpy(np.random.default_rng(0).standard_normal((40, 6)) * [9, 5, 3, 0.1, 0.1, 0.1])
        rows = [dict(enumerate(row)) for row in table.tolist()]
        space = Space.fit(sparse(*rows), 6, 3, seeded())
        expected = torch.linalg.svd(table.float(), full_matrices=False).Vh[:3].T
        torch.testing.assert_close((space.axes.float().T @ expected).abs(), torch.eye(3), atol=2e-2, rtol=0)
        places = space.place(space.compact(sparse(*rows)))
        torch.testing.assert_close(places.norm(dim=1), torch.ones(40))

    def test_dense_features_lose_their_mean(self) -> None:
        import torch

        from llmrouter.models.features import Features
        from llmrouter_pareto.space import Space

        space = Space.fit(Features(torch.tensor([[1.0, 3.0], [3.0, 3.0]])), 2, 9, seeded())
        assert space.place(Features(torch.tensor([[5.0, 3.0]]))).tolist() == [[1, 0]]

    def test_features_of_another_kind_or_width_are_refused(self) -> None:
        import torch

        from llmrouter.models.features import Features
        from llmrouter_pareto.space import Space

        dense = Space.fit(Features(torch.ones(2, 3)), 3, 9, seeded())
        for wrong in (sparse({1: 1}), Features(torch.ones(2, 4))):
            with pytest.raises(ValueError, match="features are"):
                dense.compact(wrong)
        with pytest.raises(ValueError, match="features are"):
            Space.fit(sparse({1: 1}, {1: 2}), 3, 1, seeded()).compact(Features(torch.ones(2, 3)))

    def test_numbers_out_of_range_are_refused(self) -> None:
        import torch

        from llmrouter_pareto.space import Space

        space = Space(4, 1, 1)
        space.kept = torch.tensor([7], dtype=torch.int32)
        with pytest.raises(ValueError, match="out of range"):
            space.prepare()


def predictor(**more: Any) -> Any:
    """Two LLMs, three remembered queries at 0, 90 and 180 degrees, a linear model that knows nothing."""
    import torch

    from llmrouter_pareto.fitting import filled
    from llmrouter_pareto.predictor import Shape
    from llmrouter_pareto.space import Space

    shape = Shape(
        **{
            "llms": 2,
            "dim": 2,
            "kept": None,
            "components": 2,
            "memory": 3,
            "neighbors": 2,
            "cost_neighbors": 1,
            "common_share": 1.0,
            "own_share": 1.0,
            **more,
        }
    )
    return filled(
        shape,
        Space(2, None, 2).prepare(),
        weights=torch.zeros(2, 2),
        bias=torch.zeros(2),
        places=torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]),
        quality=torch.tensor([[1.0, NAN], [1.0, 0.0], [0.0, 0.0]]),
        outlay=torch.tensor([[10.0, NAN], [30.0, 5.0], [90.0, 5.0]]),
        mean_outlay=torch.tensor([40.0, 5.0]),
    )


class TestPredictor:
    def test_neighbours_move_the_chance_by_their_number(self) -> None:
        import torch

        from llmrouter.models.features import Features

        told = predictor()(Features(torch.tensor([[1.0, 0.5]])))
        # Two neighbours were right, of the other LLM one is known and wrong; the chance 1/2 counts as 20.
        assert told.quality[0].tolist() == pytest.approx([(2 + 10) / 22, (0 + 10) / 21])
        # The nearest alone, and the mean over all as one more; nothing is known of the other LLM there.
        assert told.outlay[0].tolist() == pytest.approx([(10 + 40) / 2, 5])

    @pytest.mark.parametrize(("common", "own"), [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (0.5, 0.25)])
    def test_shares_tell_how_far_neighbours_count(self, common: float, own: float) -> None:
        import torch

        from llmrouter.models.features import Features

        told = predictor(common_share=common, own_share=own)(Features(torch.tensor([[1.0, 0.5]])))
        moved = np.array([12 / 22, 10 / 21]) - 0.5
        expected = 0.5 + common * moved.mean() + own * (moved - moved.mean())
        assert told.quality[0].tolist() == pytest.approx(expected.tolist())

    def test_shares_out_of_range_are_refused(self) -> None:
        with pytest.raises(ValueError, match="out of range"):
            predictor(common_share=1.5)


class TestLearning:
    def test_the_fit_is_where_the_loss_is_flat(self) -> None:
        import torch

        from llmrouter.models.features import Features
        from llmrouter_pareto.learning import Decay, Linear

        draw = torch.Generator().manual_seed(0)
        features = torch.randn(80, 4, generator=draw)
        truth = (torch.randn(80, 3, generator=draw) + features[:, :1] > 0).float()
        truth[:30, 2] = NAN
        weights, bias = Linear(Features(features), truth, 4).fit(Decay(common=2.0, own=1.0))
        assert weights.shape == (4, 3)
        # Common and own weights w = c + o cost least where c is in proportion to the sum of the o's.
        known = ~torch.isnan(truth)
        slope = features.T @ torch.where(
            known, torch.sigmoid(features @ weights + bias) - truth.nan_to_num(), 0
        )
        common = -slope.sum(1, keepdim=True) / (2 * 2.0)
        torch.testing.assert_close(weights, common - slope / (2 * 1.0), atol=2e-2, rtol=0)

    def test_shares_are_half_way_between_least_squares_and_one_half(self) -> None:
        import torch

        from llmrouter_pareto.fitting import best_shares

        moved = torch.tensor([[0.2, -0.1], [0.1, 0.3], [-0.2, 0.2]])
        mean = moved.mean(1, keepdim=True)
        assert best_shares(mean + 0 * moved, moved) == pytest.approx((0.75, 0.25))
        assert best_shares(moved - mean, moved) == pytest.approx((0.25, 0.75))
        assert best_shares(9 * moved, moved) == pytest.approx((0.75, 0.75))
        assert best_shares(-moved, moved) == pytest.approx((0.25, 0.25))


class TestCalibration:
    def test_it_puts_right_what_is_overconfident(self) -> None:
        from llmrouter_pareto.calibration import Calibration

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
        from llmrouter_pareto.calibration import Calibration

        with pytest.raises(ValueError, match="out of range"):
            Calibration.from_json({**Calibration().to_json(), **told})


class TestPrompts:
    def test_messages_and_tools_count_in_place_of_the_text(self) -> None:
        long = [{"role": "user", "content": "word " * 100}]
        assert prompt_tokens({"query": "hi", "messages": long}) > 5 * prompt_tokens({"query": "hi"})
        assert prompt_tokens({"query": "hi", "messages": "none"}) == prompt_tokens({"query": "hi"})
        tools = [{"type": "function", "function": {"name": "look_up", "parameters": {}}}]
        assert prompt_tokens({"query": "hi", "tools": tools}) > prompt_tokens({"query": "hi"})

    def test_the_lower_limit_counts(self) -> None:
        assert answer_limit({}) == math.inf
        assert answer_limit({"max_tokens": 9, "max_completion_tokens": 7}) == 7
        for wrong in (-1, "9", True, NAN):
            with pytest.raises(LLMRouterError, match="'max_tokens': expected a number from 0"):
                answer_limit({"max_tokens": wrong})


class TestSummary:
    def summarised(self, quality: Any, cost: Any, truth: Any, actual: Any) -> dict[str, Any]:
        from llmrouter.learning.outcomes import Outcomes
        from llmrouter_pareto.summary import summarise

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
