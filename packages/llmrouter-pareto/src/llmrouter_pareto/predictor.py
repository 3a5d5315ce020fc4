"""Fit the model of ``paretorouter`` to outcomes, and let it predict."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llmrouter.learning.predictor import Examples, Predictions, Predictor
from llmrouter.learning.predictor import Features as Encoded
from llmrouter.learning.training import FEWEST, drawn
from llmrouter.models.features import Features, project
from llmrouter_pareto.hyperparameters import Hyperparameters
from llmrouter_pareto.learning import Decay, Linear
from llmrouter_pareto.model import Model, Shape
from llmrouter_pareto.space import Space

logger = logging.getLogger(__name__)


class ParetoPredictor(Predictor):
    """A linear model of all that queries say, moved towards what happened with the queries nearest to them.

    With fewer queries than `llmrouter.learning.training.FEWEST`, qualities and outlays are the LLMs' means.
    """

    Settings = Hyperparameters
    settings: Hyperparameters
    model: Model
    space: Space

    def prepare(self, features: Encoded, dim: int | None) -> None:
        """Find the features that count, and the small space in which neighbours are looked for."""
        found = Features.of(features)
        generator = torch.Generator()
        generator.manual_seed(self.settings.seed)
        with _one_thread():
            self.space = Space.fit(found, dim or found.values.shape[-1], self.settings.components, generator)

    def fit(self, examples: Examples, apart: Examples | None) -> None:
        """Fit the model; on the examples apart, how far the neighbours count."""
        if len(examples.outcomes) < FEWEST and apart is None:
            logger.warning(
                "%d queries are too few to tell them apart (%d are needed): LLMs get their means",
                len(examples.outcomes),
                FEWEST,
            )
            self.model = _means(examples)
            return
        with _one_thread():
            self.model = self._fitted(examples, self.found)
            if apart is None:
                return
            own = self.space.compact(Features.of(apart.features))
            with torch.inference_mode():
                chances = torch.sigmoid(project(own, self.model.weights) + self.model.bias)
                local, _ = self.model.local(chances, self.model.nearest(self.space.place(own)))
            quality = torch.from_numpy(apart.outcomes.quality).float()
            common, differing = best_shares(quality - chances, local - chances)
            self.found = {"common_share": common, "own_share": differing}
            self.model.shape = self.model.shape.with_shares(**self.found)

    def _fitted(self, examples: Examples, shares: Mapping[str, float]) -> Model:
        settings = self.settings
        own = self.space.compact(Features.of(examples.features))
        quality = torch.from_numpy(examples.outcomes.quality).float()
        outlay = torch.from_numpy(examples.outlay).float()
        kept = len(self.space.kept) if self.space.sparse else None
        linear = Linear(own, quality, self.space.dim if kept is None else kept)
        weights, bias = linear.fit(Decay(settings.common_decay, settings.weight_decay))
        places = self.space.place(own).half()
        remembered = self._remembered(examples.outcomes.queries)
        fifth = max(len(quality) // 5, 1)
        shape = Shape(
            llms=quality.shape[1],
            dim=self.space.dim,
            kept=kept,
            components=places.shape[1],
            memory=len(remembered),
            neighbors=min(settings.neighbors, fifth),
            cost_neighbors=min(settings.cost_neighbors, fifth),
            **shares,
        )
        return filled(
            shape,
            self.space,
            weights=weights,
            bias=bias,
            places=places[remembered],
            quality=quality[remembered],
            outlay=outlay[remembered],
            mean_outlay=outlay.nanmean(0),
        )

    def _remembered(self, queries: list[str]) -> Tensor:
        """Return the queries that are remembered, drawn by a hash of their texts where they are too many."""
        if len(queries) <= self.settings.memory:
            return torch.arange(len(queries))
        numbers = np.array([drawn(query, self.settings.seed) for query in queries])
        return torch.from_numpy(np.sort(np.argsort(numbers, kind="stable")[: self.settings.memory]))

    def predict(self, features: Encoded) -> Predictions:
        """See `Predictor.predict`."""
        raw = self.model(Features.of(features))
        return Predictions(raw.quality.double().numpy(), raw.outlay.double().numpy())

    @property
    def sparse(self) -> bool:
        """Whether it learned from sparse features."""
        return self.model.space.sparse

    @property
    def dim(self) -> int:
        """Number of features that it learned from."""
        return self.model.shape.dim

    @property
    def reads(self) -> bool:
        """Whether it knows more than means."""
        return self.model.shape.memory > 0

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """See `Predictor.state`."""
        arrays = {name: value.numpy() for name, value in self.model.state_dict().items()}
        return arrays, self.model.shape.to_json()

    def restore(self, llms: int, arrays: Mapping[str, NDArray[Any]], told: Mapping[str, Any]) -> None:
        """See `Predictor.restore`."""
        shape = Shape.from_json(told)
        if shape.llms != llms:
            raise ValueError("the numbers of LLMs differ")
        with torch.device("meta"):  # whatever size the file claims
            model = Model(shape)
        tensors = {name: torch.from_numpy(np.asarray(value)) for name, value in arrays.items()}
        model.load_state_dict(tensors, assign=True)
        self.model = model.prepare().eval()
        self.space = self.model.space


def best_shares(error: Tensor, moved: Tensor) -> tuple[float, float]:
    """Return how far qualities are best moved, from 0 to 1.

    What LLMs have in common and how they differ, by which one is chosen, are told apart. Least squares are
    unsure of both, so that the shares are half-way between theirs and one half.

    Args:
        error: Truth less the linear model's chance, (n, m), NaN where unknown.
        moved: What the neighbours tell less that chance, (n, m).

    Returns:
        For the mean over the LLMs of a query, and for their differences from it.
    """
    known = ~torch.isnan(error)
    count = known.sum(1, keepdim=True)
    error, moved = (torch.where(known, table, 0.0).double() for table in (error, moved))
    common_error, common_moved = (table.sum(1, keepdim=True) / count for table in (error, moved))
    own_error, own_moved = (
        torch.where(known, table - mean, 0.0)
        for table, mean in ((error, common_error), (moved, common_moved))
    )
    common, own = (
        float((wanted * step).sum() / (step**2).sum().clamp(min=1e-12))
        for wanted, step in ((common_error, common_moved), (own_error, own_moved))
    )
    return (min(max(common, 0.0), 1.0) + 0.5) / 2, (min(max(own, 0.0), 1.0) + 0.5) / 2


def filled(shape: Shape, space: Space, **buffers: Tensor) -> Model:
    """Make a model of its buffers."""
    model = Model(shape)
    model.space = space
    for name, value in buffers.items():
        setattr(model, name, value)
    return model.prepare().eval()


def _means(examples: Examples) -> Model:
    """Make a model that knows each LLM's means alone."""
    llms = examples.outcomes.quality.shape[1]
    shape = Shape(llms, dim=0, kept=None, components=0, memory=0, neighbors=1, cost_neighbors=1)
    quality = torch.from_numpy(np.nanmean(examples.outcomes.quality, axis=0))
    outlay = torch.from_numpy(examples.outlay).nanmean(0)
    # Kept from being infinite: an LLM that was always right.
    bias = torch.logit(quality.clamp(1e-6, 1 - 1e-6))
    return filled(shape, Space(0, None, 0).prepare(), bias=bias.float(), mean_outlay=outlay.float())


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch compute in one thread, for sums by several end in other bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
