"""The estimator gives for sparse features what it gives for the same features written out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from llmrouter.encoders.base import SparseBatch

if TYPE_CHECKING:
    import torch

    from llmrouter.models.features import Features
    from llmrouter_threshold.estimator import DifficultyEstimator

pytestmark = pytest.mark.torch

DIM = 12


def estimator(heads: int = 2, sparse: bool = True, hidden: int = 0, seed: int = 0) -> DifficultyEstimator:
    import torch

    from llmrouter_threshold.estimator import DifficultyEstimator
    from llmrouter_threshold.parallel import seeded

    made = DifficultyEstimator(DIM, heads, sparse, embedding_dim=4, hidden_dim=hidden, dropout=0.5)
    made.initialise(seeded(seed))
    with torch.no_grad():
        made.linear.normal_(generator=seeded(seed + 1))
        made.bias.normal_(generator=seeded(seed + 2))
    return made.eval()


def both_kinds() -> tuple[Features, Features]:
    """The same features, the third row all 0, sparse and dense."""
    from llmrouter.models.features import Features

    draw = np.random.default_rng(0)
    dense = (draw.normal(size=(5, DIM)) * (draw.random((5, DIM)) < 0.3)).astype(np.float32)
    dense[2] = 0
    rows, columns = dense.nonzero()
    offsets = np.searchsorted(rows, np.arange(5)).astype(np.int64)
    sparse = SparseBatch(columns.astype(np.int64), dense[rows, columns], offsets)
    return Features.of(sparse), Features.of(dense)


def numbers(tensor: torch.Tensor) -> list[float]:
    return [float(number) for number in tensor.detach().flatten()]


@pytest.mark.parametrize("heads", [1, 2])
def test_the_linear_part(heads: int) -> None:
    model, (sparse, dense) = estimator(heads), both_kinds()
    wanted = dense.values @ model.linear + model.bias
    assert model(sparse).shape == (5, heads)
    assert numbers(model(sparse)) == pytest.approx(numbers(wanted), abs=1e-5)
    assert numbers(model(dense)) == pytest.approx(numbers(wanted), abs=1e-5)


def test_the_hidden_layer_beside_it() -> None:
    model, (sparse, dense) = estimator(hidden=3), both_kinds()
    assert model.embedding is not None
    assert model.hidden is not None
    wanted = dense.values @ model.linear + model.bias + model.hidden(dense.values @ model.embedding)
    assert numbers(model(sparse)) == pytest.approx(numbers(wanted), abs=1e-5)


def test_the_hidden_layer_takes_dense_features_as_they_are() -> None:
    model, (_, dense) = estimator(sparse=False, hidden=3), both_kinds()
    assert model.embedding is None
    assert model.hidden is not None
    wanted = dense.values @ model.linear + model.bias + model.hidden(dense.values)
    assert numbers(model(dense)) == pytest.approx(numbers(wanted), abs=1e-5)


def test_the_raw_score_of_two_heads_is_their_difference() -> None:
    import torch

    model, (sparse, _) = estimator(2), both_kinds()
    chances = torch.sigmoid(model(sparse))
    assert numbers(model.raw_scores(sparse)) == pytest.approx(numbers(chances[:, 1] - chances[:, 0]))


def test_the_raw_score_of_one_head_is_its_chance() -> None:
    import torch

    model, (sparse, _) = estimator(1), both_kinds()
    assert numbers(model.raw_scores(sparse)) == pytest.approx(numbers(torch.sigmoid(model(sparse))))


def test_untrained_it_prefers_neither() -> None:
    from llmrouter_threshold.estimator import DifficultyEstimator

    sparse, _ = both_kinds()
    assert numbers(DifficultyEstimator(DIM, 2, True).raw_scores(sparse)) == [0] * 5


@pytest.mark.parametrize("width", [0, 3])
def test_its_shape_tells_how_to_make_one_like_it(width: int) -> None:
    from llmrouter_threshold.estimator import DifficultyEstimator

    model, (sparse, _) = estimator(hidden=width), both_kinds()
    again = DifficultyEstimator(**model.shape)  # type: ignore[arg-type]  # ints, a bool and a float
    again.load_state_dict(model.state_dict())
    assert numbers(again.eval()(sparse)) == numbers(model(sparse))


@pytest.mark.parametrize("sparse", [True, False])
def test_all_its_weights_come_from_the_generator(sparse: bool) -> None:
    import torch

    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, again, other = (estimator(2, sparse, 3, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    pairs = list(zip(first.state_dict().values(), again.state_dict().values(), strict=True))
    assert all(torch.equal(one, two) for one, two in pairs)
    assert first.hidden is not None
    assert other.hidden is not None
    assert numbers(next(first.hidden.parameters())) != numbers(next(other.hidden.parameters()))


def test_features_that_are_not_kept_count_for_nothing() -> None:
    import torch

    from llmrouter_threshold.estimator import DifficultyEstimator

    whole, (sparse, _) = estimator(hidden=3), both_kinds()
    kept = torch.tensor([0, 2, DIM - 1], dtype=torch.int32)
    model = DifficultyEstimator(**{**whole.shape, "kept": len(kept)}).eval()  # type: ignore[arg-type]
    state = whole.state_dict()
    state |= {name: state[name][kept] for name in ("linear", "embedding")}
    model.load_state_dict({**state, "kept": kept})
    with torch.no_grad():
        for name in ("linear", "embedding"):
            rest = [number for number in range(DIM) if number not in kept]
            whole.get_parameter(name)[rest] = 0
    assert numbers(model(sparse)) == pytest.approx(numbers(whole(sparse)), abs=1e-6)
    again = DifficultyEstimator(**model.shape)  # type: ignore[arg-type]
    again.load_state_dict(model.state_dict())
    assert numbers(again.eval()(sparse)) == numbers(model(sparse))
