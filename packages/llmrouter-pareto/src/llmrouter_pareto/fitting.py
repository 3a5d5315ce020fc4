"""Fit a router's predictors to routing data, and find out on queries kept apart how good they are."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llmrouter.completion.prices import Price
from llmrouter.encoders.base import Encoder
from llmrouter.encoders.queries import encode_queries
from llmrouter.learning.outcomes import Array, Outcomes
from llmrouter.models.features import Features, project
from llmrouter_pareto.calibration import Calibration
from llmrouter_pareto.costs import Costs
from llmrouter_pareto.hyperparameters import Hyperparameters
from llmrouter_pareto.learning import Decay, Linear
from llmrouter_pareto.predictor import Predictor, Raw, Shape
from llmrouter_pareto.space import Space
from llmrouter_pareto.summary import summarise

logger = logging.getLogger(__name__)

# With fewer queries an LLM's quality and cost are its means.
FEWEST = 50

Report = Callable[[int, int, Mapping[str, float]], None]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Fitted:
    """What training found.

    Attributes:
        predictor: Of uncalibrated qualities and of outlays.
        costs: From outlays to costs.
        calibration: From uncalibrated qualities to calibrated ones.
        summary: As `summarise` returns it.
        metrics: How good it is on queries kept apart; empty where there were too few.
    """

    predictor: Predictor
    costs: Costs
    calibration: Calibration
    summary: dict[str, Any]
    metrics: dict[str, float]

    @property
    def means_only(self) -> bool:
        """Whether there were too few queries for more than means."""
        return self.predictor.shape.memory == 0


def fit(
    outcomes: Outcomes,
    encoder: Encoder | None,
    settings: Hyperparameters,
    prices: Sequence[Price | None],
    report: Report,
) -> Fitted:
    """Fit the predictors to n queries and m LLMs.

    The queries are split by a hash of their text. Each part is predicted from the others; these predictions
    calibrate, and tell how good the router is. Then the predictors are fitted to all.

    Args:
        outcomes: What is learned from.
        encoder: Fitted to their texts; None where queries bring their embeddings.
        settings: The hyperparameters.
        prices: Of each LLM, for the summary.
        report: Called after each part.

    Raises:
        LLMRouterError: The queries cannot be encoded.
    """
    costs = Costs.fit(outcomes)
    actual = costs.actual(outcomes, prices)
    if len(outcomes) < FEWEST:
        logger.warning(
            "%d queries are too few to tell them apart (%d are needed): LLMs are predicted by their means",
            len(outcomes),
            FEWEST,
        )
        predictor = _means(outcomes, costs)
        told = predictor(Features(torch.zeros(len(outcomes), 0)))
        quality, cost = _judged(told, Calibration(), costs, outcomes, prices)
        summary = summarise(outcomes, quality, cost, actual)
        return Fitted(predictor, costs, Calibration(), summary, {})
    with _one_thread():
        fitting = _Fitting(outcomes, encoder, settings, costs)
        raw, shares = fitting.cross_predict(report)
        predictor = fitting.predictor(np.arange(len(outcomes)), *shares)
    calibration = Calibration.fit(raw.quality.double().numpy(), outcomes.quality)
    quality, cost = _judged(raw, calibration, costs, outcomes, prices)
    metrics = {"calibration_error": calibration.error or 0.0, **_metrics(quality, cost, outcomes, actual)}
    report(settings.folds + 1, settings.folds + 1, metrics)
    return Fitted(predictor, costs, calibration, summarise(outcomes, quality, cost, actual), metrics)


class _Fitting:
    """What the fits to parts of the queries share: features and space, which know of no outcome."""

    def __init__(
        self, outcomes: Outcomes, encoder: Encoder | None, settings: Hyperparameters, costs: Costs
    ) -> None:
        features = Features.of(encode_queries(encoder, outcomes.rows))
        sparse = features.indices is not None
        dim = (encoder.dim if encoder is not None else None) or features.values.shape[-1]
        generator = torch.Generator()
        generator.manual_seed(settings.seed)
        self.outcomes = outcomes
        self.settings = settings
        self.space = Space.fit(features, dim, settings.components, generator)
        self.features = self.space.compact(features)
        self.places = self.space.place(self.features).half()
        self.quality = torch.from_numpy(outcomes.quality).float()
        self.outlay = torch.from_numpy(costs.outlay(outcomes)).float()
        self.kept = len(self.space.kept) if sparse else None

    def cross_predict(self, report: Report) -> tuple[Raw, tuple[float, float]]:
        """Predict each query from those of the other parts.

        Returns:
            The predictions, and the shares of the neighbours by which they are best.
        """
        parts = self._parts()
        chances, local = torch.zeros_like(self.quality), torch.zeros_like(self.quality)
        outlay = torch.zeros_like(self.outlay)
        for number in range(self.settings.folds):
            held, rest = (
                torch.from_numpy(np.flatnonzero(where)) for where in (parts == number, parts != number)
            )
            if len(held) and len(rest):
                predictor = self.predictor(rest.numpy())
                with torch.inference_mode():
                    logits = project(self.features.take(held), predictor.weights) + predictor.bias
                    near = predictor.nearest(self.places[held].float())
                    chances[held] = torch.sigmoid(logits)
                    local[held], outlay[held] = predictor.local(chances[held], near)
            report(number + 1, self.settings.folds + 1, {})
        moved = local - chances
        shares = best_shares(self.quality - chances, moved)
        common = moved.mean(1, keepdim=True)
        quality = chances + shares[0] * common + shares[1] * (moved - common)
        return Raw(quality.clamp(0, 1), outlay), shares

    def predictor(self, rows: Rows, common_share: float = 0.5, own_share: float = 0.5) -> Predictor:
        """Fit one to some of the queries."""
        settings, taken = self.settings, torch.from_numpy(rows)
        quality, outlay = self.quality[taken], self.outlay[taken]
        width = self.space.dim if self.kept is None else self.kept
        linear = Linear(self.features.take(taken), quality, width)
        weights, bias = linear.fit(Decay(settings.common_decay, settings.weight_decay))
        remembered = taken[: settings.memory] if len(taken) <= settings.memory else self._remembered(taken)
        fifth = max(len(rows) // 5, 1)
        shape = Shape(
            llms=quality.shape[1],
            dim=self.space.dim,
            kept=self.kept,
            components=self.places.shape[1],
            memory=len(remembered),
            neighbors=min(settings.neighbors, fifth),
            cost_neighbors=min(settings.cost_neighbors, fifth),
            common_share=common_share,
            own_share=own_share,
        )
        return filled(
            shape,
            self.space,
            weights=weights,
            bias=bias,
            places=self.places[remembered],
            quality=self.quality[remembered],
            outlay=self.outlay[remembered],
            mean_outlay=outlay.nanmean(0),
        )

    def _parts(self) -> NDArray[np.int64]:
        drawn = [_drawn(query, self.settings.seed) for query in self.outcomes.queries]
        return np.asarray(drawn) % self.settings.folds

    def _remembered(self, rows: Tensor) -> Tensor:
        """Return as many of the queries as are remembered, drawn by a hash of their texts."""
        drawn = [_drawn(self.outcomes.queries[row], self.settings.seed) for row in rows.tolist()]
        order = np.argsort(np.asarray(drawn), kind="stable")[: self.settings.memory]
        return rows[torch.from_numpy(np.sort(order))]


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


def filled(shape: Shape, space: Space, **buffers: Tensor) -> Predictor:
    """Make a predictor of its buffers."""
    predictor = Predictor(shape)
    predictor.space = space
    for name, value in buffers.items():
        setattr(predictor, name, value)
    return predictor.prepare().eval()


def _means(outcomes: Outcomes, costs: Costs) -> Predictor:
    """Make a predictor that knows each LLM's means alone."""
    llms = len(outcomes.llms)
    shape = Shape(llms, dim=0, kept=None, components=0, memory=0, neighbors=1, cost_neighbors=1)
    quality = torch.from_numpy(np.nanmean(outcomes.quality, axis=0))
    outlay = torch.from_numpy(costs.outlay(outcomes)).nanmean(0)
    # Kept from being infinite: an LLM that was always right.
    bias = torch.logit(quality.clamp(1e-6, 1 - 1e-6))
    return filled(shape, Space(0, None, 0).prepare(), bias=bias.float(), mean_outlay=outlay.float())


def _judged(
    raw: Raw,
    calibration: Calibration,
    costs: Costs,
    outcomes: Outcomes,
    prices: Sequence[Price | None],
) -> tuple[Array, Array]:
    """Return calibrated qualities and expected costs, (n, m) each."""
    unlimited = np.full(len(outcomes), np.inf)
    outlay = raw.outlay.double().numpy()
    return (
        calibration(raw.quality.double().numpy()),
        costs.expected(outlay, outcomes.estimated, unlimited, prices),
    )


def _metrics(quality: Array, cost: Array, outcomes: Outcomes, actual: Array) -> dict[str, float]:
    found = {"brier": float(np.nanmean((quality - outcomes.quality) ** 2))}
    both = (cost > 0) & (actual > 0)
    if both.any():
        # By how much an expected cost is off, as a factor; the geometric mean.
        found["cost_factor"] = float(np.exp(np.abs(np.log(cost[both] / actual[both])).mean()))
    return found


def _drawn(query: str, seed: int) -> int:
    return int(hashlib.sha256(f"{seed}:{query}".encode(errors="surrogatepass")).hexdigest()[:8], 16)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch compute in one thread, for sums by several end in other bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
