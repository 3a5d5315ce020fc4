"""The linear estimator ends where its loss is lowest; the gradient of sparse features is torch's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from torch import Tensor

    from llmrouter.models.features import Features
    from llmrouter_threshold.learning import Learner

pytestmark = pytest.mark.torch

ROWS, DIM = 60, 12


def some_features(sparse: bool = True) -> tuple[Features, Tensor]:
    """Sparse features, some rows and some columns of which are empty, and the same as a matrix."""
    import torch

    from llmrouter.encoders.base import SparseBatch
    from llmrouter.models.features import Features

    draw = np.random.default_rng(0)
    matrix = (draw.normal(size=(ROWS, DIM)) * (draw.random((ROWS, DIM)) < 0.4)).astype(np.float32)
    matrix[[3, ROWS - 1]] = 0
    matrix[:, [0, 5, DIM - 1]] = 0
    rows, columns = matrix.nonzero()
    offsets = np.searchsorted(rows, np.arange(ROWS))
    batch = SparseBatch(columns.astype(np.int64), matrix[rows, columns], offsets.astype(np.int64))
    return Features.of(batch if sparse else matrix), torch.from_numpy(matrix)


def learner(sparse: bool = True, **hparam: Any) -> Learner:
    import torch

    from llmrouter_threshold.estimator import DifficultyEstimator
    from llmrouter_threshold.hyperparameters import Hyperparameters
    from llmrouter_threshold.learning import FullBatch, MiniBatches
    from llmrouter_threshold.parallel import Processes, seeded

    features, matrix = some_features(sparse)
    labels = torch.sigmoid(matrix @ torch.linspace(-2, 2, DIM * 2).reshape(DIM, 2))
    settings = Hyperparameters(**hparam)
    model = DifficultyEstimator(DIM, 2, sparse, 4, settings.hidden_dim, settings.dropout)
    model.initialise(seeded(0))
    make = MiniBatches if settings.hidden_dim else FullBatch
    return make(model, features, labels, settings, Processes("cpu"))


def test_the_transpose_names_each_row_of_each_feature() -> None:
    features, matrix = some_features()
    occurring, transposed = features.transposed
    assert transposed.indices is not None
    assert transposed.offsets is not None
    assert occurring.tolist() == matrix.any(dim=0).nonzero()[:, 0].tolist()
    for number, column in enumerate(occurring.tolist()):
        part = slice(int(transposed.offsets[number]), int(transposed.offsets[number + 1]))
        assert transposed.indices[part].tolist() == matrix[:, column].nonzero()[:, 0].tolist()
        assert transposed.values[part].tolist() == matrix[:, column][matrix[:, column] != 0].tolist()


def test_only_sparse_features_have_a_transpose() -> None:
    with pytest.raises(TypeError, match="sparse"):
        _ = some_features(sparse=False)[0].transposed


@pytest.mark.parametrize("hidden_dim", [0, 3])
def test_sparse_features_give_the_logits_and_gradients_of_the_same_dense_ones(hidden_dim: int) -> None:
    import torch

    from llmrouter.models.features import Features
    from llmrouter_threshold.estimator import DifficultyEstimator
    from llmrouter_threshold.parallel import seeded

    features, matrix = some_features()
    model = DifficultyEstimator(DIM, 2, True, 4, hidden_dim).eval()
    model.initialise(seeded(0))
    logits = model(features)
    torch.autograd.backward(logits.sin().sum())
    weights = [model.linear] if model.embedding is None else [model.linear, model.embedding]
    gradients = [weight.grad for weight in weights]

    model.zero_grad()
    dense = matrix @ model.linear + model.bias
    if model.hidden is not None and model.embedding is not None:
        dense = dense + model.hidden(matrix @ model.embedding)
    assert torch.allclose(logits, dense, atol=1e-5)
    torch.autograd.backward(dense.sin().sum())
    for weight, gradient in zip(weights, gradients, strict=True):
        assert weight.grad is not None
        assert gradient is not None
        assert torch.allclose(gradient, weight.grad, atol=1e-5)
    assert Features(matrix).indices is None


@pytest.mark.parametrize("sparse", [True, False])
def test_the_linear_estimator_ends_at_the_lowest_penalised_loss(sparse: bool) -> None:
    import torch
    from torch.nn import functional

    one = learner(sparse, weight_decay=0.5)
    for _ in range(8):
        entropy = one.epoch(0)
    model, labels = one.model, one.labels
    with torch.no_grad():
        found = functional.binary_cross_entropy_with_logits(model(one.features), labels)
    assert entropy == pytest.approx(float(found), abs=1e-6)
    # Where it is lowest, the slope of the summed loss and the penalty is 0.
    loss = functional.binary_cross_entropy_with_logits(model(one.features), labels, reduction="sum")
    slopes = torch.autograd.grad(loss + 0.5 * (model.linear**2).sum(), [model.linear, model.bias])
    assert max(float(slope.abs().max()) for slope in slopes) < 0.01


def test_an_epoch_goes_on_from_the_weights_alone() -> None:
    import torch

    first, second = learner(), learner()
    first.epoch(0)
    second.model.load_state_dict(first.model.state_dict())
    assert first.state() == {}
    assert first.epoch(1) == second.epoch(1)
    assert torch.equal(first.model.linear, second.model.linear)


def test_batch_by_batch_it_goes_on_from_weights_and_state() -> None:
    import torch

    settings: dict[str, Any] = {"hidden_dim": 3, "batch_size": 16, "learning_rate": 0.05}
    first, second = learner(**settings), learner(**settings)
    before = first.epoch(0)
    second.model.load_state_dict(first.model.state_dict())
    second.restore({name: value.clone() for name, value in first.state().items()})
    assert first.epoch(1) == second.epoch(1) < before
    assert torch.equal(first.model.linear, second.model.linear)


def test_a_heavier_penalty_gives_smaller_weights() -> None:
    norms = []
    for weight_decay in (0.0, 1.0, 10.0):
        one = learner(weight_decay=weight_decay)
        one.epoch(0)
        norms.append(float(one.model.linear.detach().norm()))
    assert norms == sorted(norms, reverse=True)
