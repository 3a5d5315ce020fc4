"""Train a learned router: with files, as the command does, or without."""

from __future__ import annotations

import copy
import hashlib
import logging
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmrouter.encoders.queries import encode_queries
from llmrouter.learning.calibration import Calibration
from llmrouter.learning.costs import Costs, prices_of
from llmrouter.learning.outcomes import Array, outcomes_from
from llmrouter.learning.predictor import Examples, Predictions
from llmrouter.learning.router import Learned, LearnedRouter
from llmrouter.learning.summary import summarise
from llmrouter.models.base_trainer import BaseTrainer, Report

logger = logging.getLogger(__name__)

# With fewer queries none are kept apart, so that qualities are not calibrated.
FEWEST = 50
# With more queries one part is kept apart, in place of each in turn, and is at most so large.
MANY = 20_000
MOST_APART = 5_000

Rows = NDArray[np.int64]


class LearnedRouterTrainer(BaseTrainer):
    """Trains a `LearnedRouter` on its ``routing_data_train``."""

    router: LearnedRouter

    def train(self) -> None:
        """Train the router and save it to ``model_path.save_model_path``.

        Raises:
            ConfigError: There is no path to save to or no routing data, or no cost is known and the
                configuration needs one.
            DataError: The routing data lack what training needs.
        """
        path, rows = self.save_path(), self.routing_data()
        learn(self.router, rows, self.report)
        self.router.save_router(path)


def train(
    router_class: type[LearnedRouter],
    rows: Iterable[Mapping[str, Any]],
    candidates: Mapping[str, Mapping[str, Any]],
    hparam: Mapping[str, Any] | None = None,
    report: Report | None = None,
) -> bytes:
    """Train a router on routing data, and return its checkpoint.

    The same rows, in whatever order, give the same bytes on the same machine, for the same candidates and
    hyperparameters. No text of a query is in them.

    Args:
        router_class: Which router.
        rows: As `llmrouter.learning.outcomes.outcomes_from` takes them.
        candidates: As a router's ``llm_data``.
        hparam: As in a configuration.
        report: Called after each part of the work with the parts done, the parts of all, and figures.

    Returns:
        What `LearnedRouter.from_checkpoint` takes.

    Raises:
        DataError: No row can be used, or one is malformed.
        ConfigError: A hyperparameter is wrong.
    """
    router = router_class({"hparam": dict(hparam or {})}, candidates)
    learn(router, rows, report or _silent)
    return router.checkpoint()


def learn(router: LearnedRouter, rows: Iterable[Mapping[str, Any]], report: Report) -> None:
    """Train a router in place; arguments and errors as `train`.

    Queries are predicted by predictors that have not seen them: in turns, or where there are many of them one
    part. These predictions calibrate the qualities and say how good the router is. Then the predictor learns
    from all queries.
    """
    settings, outcomes = router.settings, outcomes_from(rows, router.llm_data)
    costs = Costs.fit(outcomes)
    router.check_costs(costs, outcomes.llms)
    encoder = router.make_encoder()
    if encoder is not None:
        encoder.fit(outcomes.queries)
    examples = Examples(encode_queries(encoder, outcomes.rows), outcomes, costs.outlay(outcomes))
    predictor = router.predictor_class(settings)
    predictor.prepare(examples.features, encoder.dim if encoder is not None else None)
    parts = _parts(outcomes.queries, settings.folds, settings.seed)
    steps = len(parts) + 1
    predicted: list[tuple[Rows, Predictions]] = []
    found: list[dict[str, float]] = []
    for number, held in enumerate(parts, 1):
        rest = np.setdiff1d(np.arange(len(outcomes)), held)
        if len(held) and len(rest):
            one, apart = copy.copy(predictor), examples.take(held)
            one.fit(examples.take(rest), apart)
            predicted.append((held, one.predict(apart.features)))
            found.append(one.found)
        report(number, steps, {})
    predictor.found = {
        key: float(np.mean([one[key] for one in found])) for key in (found[0] if found else ())
    }
    predictor.fit(examples, None)
    calibration, metrics = Calibration(), dict[str, float]()
    if predicted:
        judged = np.concatenate([held for held, _ in predicted])
        tables = zip(*(told for _, told in predicted), strict=True)
        raw = Predictions(*map(np.concatenate, tables))
        calibration = Calibration.fit(raw.quality.astype(float), outcomes.quality[judged])
    else:
        judged, raw = np.arange(len(outcomes)), predictor.predict(examples.features)
    seen = outcomes.take(judged)
    prices = prices_of(router.llm_data, outcomes.llms)
    actual = costs.actual(seen, prices)
    quality = calibration(raw.quality.astype(float))
    unlimited = np.full(len(seen), np.inf)
    cost = costs.expected(raw.outlay.astype(float), seen.estimated, unlimited, prices)
    if predicted:
        metrics = {
            "calibration_error": calibration.error or 0.0,
            **_metrics(quality, cost, seen.quality, actual),
        }
    summary = summarise(seen, quality, cost, actual)
    report(steps, steps, metrics)
    known = (~np.isnan(outcomes.quality)).sum(axis=0).tolist()
    trained = {
        "data": outcomes.digest,
        "queries": len(outcomes),
        "labels": dict(zip(outcomes.llms, known, strict=True)),
        "means_only": not predictor.reads,
        "metrics": metrics,
    }
    router.take_over(Learned(outcomes.llms, predictor, encoder, costs, calibration, trained, summary))


def drawn(query: str, seed: int) -> int:
    """Return a number from 0 to 2^32 - 1 that hangs on nothing but a query's text and the seed."""
    return int(hashlib.sha256(f"{seed}:{query}".encode(errors="surrogatepass")).hexdigest()[:8], 16)


def _parts(queries: list[str], folds: int, seed: int) -> list[Rows]:
    """Return which queries are kept apart together, by a hash of their text."""
    if len(queries) < FEWEST:
        return []
    numbers = np.array([drawn(query, seed) for query in queries])
    if len(queries) > MANY:
        return [np.sort(np.argsort(numbers, kind="stable")[:MOST_APART])]
    return [np.flatnonzero(numbers % folds == number) for number in range(folds)]


def _metrics(quality: Array, cost: Array, truth: Array, actual: Array) -> dict[str, float]:
    found = {"brier": float(np.nanmean((quality - truth) ** 2))}
    both = (cost > 0) & (actual > 0)
    if both.any():
        # By how much an expected cost is off, as a factor; the geometric mean.
        found["cost_factor"] = float(np.exp(np.abs(np.log(cost[both] / actual[both])).mean()))
    return found


def _silent(done: int, parts: int, figures: Mapping[str, float]) -> None:
    return
