"""The parts that predictions are made of, each by figures that can be worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

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

    from llmrouter_pareto.model import Shape
    from llmrouter_pareto.predictor import filled
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

        from llmrouter_pareto.predictor import best_shares

        moved = torch.tensor([[0.2, -0.1], [0.1, 0.3], [-0.2, 0.2]])
        mean = moved.mean(1, keepdim=True)
        assert best_shares(mean + 0 * moved, moved) == pytest.approx((0.75, 0.25))
        assert best_shares(moved - mean, moved) == pytest.approx((0.25, 0.75))
        assert best_shares(9 * moved, moved) == pytest.approx((0.75, 0.75))
        assert best_shares(-moved, moved) == pytest.approx((0.25, 0.25))
