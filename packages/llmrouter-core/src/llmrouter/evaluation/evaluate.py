"""Evaluate routers on held-out routing data, beside baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from llmrouter.errors import LLMRouterError
from llmrouter.evaluation.baselines import (
    METRICS,
    aiq_of,
    baselines,
    choose_pair,
    mean,
    pair_statistics,
    taken,
)
from llmrouter.evaluation.bootstrap import Interval, estimate
from llmrouter.evaluation.deferral import Deferral
from llmrouter.evaluation.frontier import Choices, lambda_sweep, threshold_sweep
from llmrouter.evaluation.outcomes import Array, Outcomes
from llmrouter.evaluation.result import Curve, Evaluation, RouterResult
from llmrouter.evaluation.routed import Routed, route
from llmrouter.routing import DecisionEngine


def evaluate(
    engines: Mapping[str, DecisionEngine],
    outcomes: Outcomes,
    *,
    weak: str | None = None,
    strong: str | None = None,
    seed: int = 0,
    resamples: int = 1000,
    advance: Callable[[int], None] = lambda count: None,
) -> Evaluation:
    """Route the queries with each router and measure the decisions.

    Args:
        engines: Label to router.
        outcomes: Of held-out routing data.
        weak: Name of the weak LLM; see `choose_pair` for what holds without.
        strong: Name of the strong LLM.
        seed: Of the permutation that breaks ties, and of the bootstrap.
        resamples: Bootstrap resamples; 0 for no intervals.
        advance: Called with the number of queries after each batch.

    Raises:
        LLMRouterError: The weak or the strong LLM is wrongly named.
        DataError: A router has candidates of which there are no outcomes.
    """
    try:
        pair = choose_pair(outcomes, weak, strong)
    except ValueError as error:
        raise LLMRouterError(str(error)) from None
    routed = [route(engine, outcomes, label, advance=advance) for label, engine in engines.items()]
    listed, singles = baselines(outcomes, pair, seed, resamples)
    return Evaluation(
        outcomes,
        outcomes.llms[pair[0]] if pair else None,
        outcomes.llms[pair[1]] if pair else None,
        [measure(one, outcomes, pair, seed, resamples) for one in routed],
        listed,
        singles,
        seed,
        resamples,
    )


def measure(
    routed: Routed, outcomes: Outcomes, pair: tuple[int, int] | None, seed: int, resamples: int
) -> RouterResult:
    """Measure one router on the queries that it decided; the others are left out.

    Args:
        routed: What the router told.
        outcomes: Of the same queries.
        pair: Numbers of the weak and the strong LLM, or None for no two-LLM metrics.
        seed: As in `evaluate`.
        resamples: As in `evaluate`.
    """
    notes: list[str] = []
    if not routed.decided.any():
        return RouterResult(routed, dict.fromkeys(METRICS, Interval()), {}, None, ["it decided no query"])
    performance, cost = outcomes.performance[routed.decided], outcomes.cost[routed.decided]
    chosen = routed.chosen(outcomes.llms)
    own_quality, own_cost = taken(performance, chosen[None]), taken(cost, chosen[None])
    deferral = _deferral(routed, performance, outcomes.llms, pair, seed, notes) if pair else None
    sweep = _sweep(routed, performance, cost, outcomes.llms, seed, notes)
    choices = chosen[None] if sweep is None else sweep
    qualities, costs = taken(performance, choices), taken(cost, choices)

    def statistics(weights: Array) -> dict[str, Array]:
        quality = mean(qualities, weights)
        return {
            "quality": mean(own_quality, weights)[:, 0],
            "cost": mean(own_cost, weights)[:, 0],
            **(pair_statistics(deferral)(weights) if deferral else {}),
            "aiq": aiq_of(mean(costs, weights), quality, mean(cost, weights)),
            "curve": quality,
        }

    found = estimate(statistics, len(chosen), resamples, seed)
    metrics = {name: found[name].interval() if name in found else Interval() for name in METRICS}
    _explain(metrics, outcomes, pair, notes)
    curve = None
    if sweep is not None:
        share = (sweep == pair[1]).mean(axis=1) if pair else None
        curve = Curve(costs.mean(axis=0), share, *found["curve"])
    shares = np.bincount(chosen, minlength=len(outcomes.llms)) / len(chosen)
    share_of = dict(zip(outcomes.llms, shares.tolist(), strict=True))
    return RouterResult(routed, metrics, share_of, curve, notes)


def _deferral(
    routed: Routed,
    performance: Array,
    llms: Sequence[str],
    pair: tuple[int, int],
    seed: int,
    notes: list[str],
) -> Deferral:
    """Order the queries by scores[strong] - scores[weak], or by whether the strong LLM was chosen."""
    weak, strong = pair
    scores = routed.scores(llms)
    if scores is not None and np.isfinite(scores[:, list(pair)]).all():
        score = scores[:, strong] - scores[:, weak]
    else:
        score = (routed.chosen(llms) == strong).astype(float)
        notes.append("it does not score both LLMs of every query, so its decisions serve as scores, 1 or 0")
    return Deferral(performance[:, weak], performance[:, strong], score, seed)


def _sweep(
    routed: Routed, performance: Array, cost: Array, llms: Sequence[str], seed: int, notes: list[str]
) -> Choices | None:
    """Return the choices of the router at each trade-off, (p, n); None where it has only its own."""
    scores = routed.scores(llms)
    if scores is None:
        notes.append("it tells no scores, so AIQ is that of its own decisions alone")
        return None
    expected = routed.expected_costs(llms)
    if expected is not None:
        return lambda_sweep(scores, expected)
    means = cost.mean(axis=0)
    if len(llms) > 2 and np.isnan(means).any():
        return None
    options = np.flatnonzero(np.isfinite(scores).any(axis=0))
    if len(options) == 2 and np.isfinite(scores[:, options]).all():
        # As in `choose_pair`: the cheaper one is weak, of equals the one that performs worse.
        weak, strong = sorted(options.tolist(), key=lambda llm: (means[llm], performance[:, llm].mean()))
        rise = scores[:, strong] - scores[:, weak]
        deferral = Deferral(performance[:, weak], performance[:, strong], rise, seed)
        return threshold_sweep(deferral.order, weak, strong)
    return lambda_sweep(scores, means)


def _explain(
    metrics: Mapping[str, Interval],
    outcomes: Outcomes,
    pair: tuple[int, int] | None,
    notes: list[str],
) -> None:
    if pair is not None:
        if metrics["apgr"].value is None:
            names = [repr(outcomes.llms[number]) for number in pair]
            notes.append(f"APGR and CPT are undefined: {names[1]} performs no better than {names[0]}")
        if metrics["auroc"].value is None:
            notes.append("AUROC is undefined: the weak LLM is always right, or always wrong")
    if metrics["aiq"].value is None:
        reason = "all LLMs cost the same" if outcomes.costs_known else "the cost of an LLM is unknown"
        notes.append(f"AIQ is undefined: {reason}")
