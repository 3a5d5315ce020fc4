"""Train a router, with files or without."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from llmrouter.learning.outcomes import outcomes_from
from llmrouter_pareto.costs import Costs, check_costs, prices_of
from llmrouter_pareto.fitting import Report, fit
from llmrouter_pareto.router import ParetoRouter


def train(
    rows: Iterable[Mapping[str, Any]],
    candidates: Mapping[str, Mapping[str, Any]],
    hparam: Mapping[str, Any] | None = None,
    report: Report | None = None,
) -> bytes:
    """Train a router on routing data, and return its checkpoint.

    The same rows, in whatever order, give the same bytes on the same machine, for the same candidates and
    hyperparameters. No text of a query is in them.

    Args:
        rows: As `llmrouter.learning.outcomes.outcomes_from` takes them.
        candidates: As a router's ``llm_data``.
        hparam: As in a configuration.
        report: Called after each part of the work with the parts done, the parts of all, and figures.

    Returns:
        What `ParetoRouter.from_checkpoint` takes.

    Raises:
        DataError: No row can be used, or one is malformed.
        ConfigError: A hyperparameter is wrong.
    """
    router = ParetoRouter({"hparam": dict(hparam or {})}, candidates)
    learn(router, rows, report or _silent)
    return router.checkpoint()


def learn(router: ParetoRouter, rows: Iterable[Mapping[str, Any]], report: Report) -> None:
    """Train a router in place; arguments and errors as `train`."""
    outcomes = outcomes_from(rows, router.llm_data)
    # Training is in vain if the router cannot choose as the configuration says.
    check_costs(router.settings, Costs.fit(outcomes), outcomes.llms, router.llm_data, router.source)
    encoder = router.make_encoder()
    if encoder is not None:
        encoder.fit(outcomes.queries)
    fitted = fit(outcomes, encoder, router.settings, prices_of(router.llm_data, outcomes.llms), report)
    trained = {
        "data": outcomes.digest,
        "queries": len(outcomes),
        "labels": {name: told["labels"] for name, told in fitted.summary["llms"].items()},
        "means_only": fitted.means_only,
        "metrics": fitted.metrics,
    }
    router.take_over(
        fitted.predictor,
        encoder,
        outcomes.llms,
        fitted.costs,
        fitted.calibration,
        trained,
        fitted.summary,
    )


def _silent(done: int, parts: int, figures: Mapping[str, float]) -> None:
    return
