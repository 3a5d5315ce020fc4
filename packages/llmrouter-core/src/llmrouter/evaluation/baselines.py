"""What a router is measured against: random, cheapest, best single LLM, zero router, oracle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from llmrouter.evaluation.bootstrap import Interval, estimate
from llmrouter.evaluation.deferral import Deferral
from llmrouter.evaluation.frontier import Choices, aiq, lambda_sweep
from llmrouter.evaluation.outcomes import Array, Outcomes

# In the order in which they are shown.
METRICS = ("quality", "cost", "apgr", "cpt50", "cpt80", "auroc", "aiq")

Statistics = Callable[[Array], dict[str, Array]]


@dataclass(frozen=True)
class Baseline:
    """A baseline.

    Attributes:
        name: ``random``, ``cheapest`` (where costs are known), ``best_single``, ``zero_router``, ``oracle``,
            or that of a single LLM.
        llm: The LLM that it always chooses, or None.
        metrics: Name of each metric that applies to its figure.
    """

    name: str
    llm: str | None = None
    metrics: Mapping[str, Interval] = field(default_factory=dict)


def choose_pair(outcomes: Outcomes, weak: str | None, strong: str | None) -> tuple[int, int] | None:
    """Tell which LLM is weak and which strong, by number; None where that is open.

    Of two LLMs the weak one costs less, by mean cost; where that is equal or unknown, it performs worse.

    Raises:
        ValueError: A name is no LLM's, both are the same, or one alone is given of more than two.
    """
    llms = outcomes.llms
    for name in (weak, strong):
        if name is not None and name not in llms:
            raise ValueError(f"no LLM is named {name!r}; there are {', '.join(llms)}")
    if weak is not None and weak == strong:
        raise ValueError(f"the weak and the strong LLM are both {weak!r}")
    if weak is not None and strong is not None:
        return llms.index(weak), llms.index(strong)
    if len(llms) != 2:
        if weak is None and strong is None:
            return None
        raise ValueError(f"of {len(llms)} LLMs, name the weak and the strong one both")
    if weak is not None:
        return llms.index(weak), 1 - llms.index(weak)
    if strong is not None:
        return 1 - llms.index(strong), llms.index(strong)
    for measure in (outcomes.cost.mean(axis=0), outcomes.performance.mean(axis=0)):
        if measure[0] != measure[1] and not np.isnan(measure).any():
            return (0, 1) if measure[0] < measure[1] else (1, 0)
    return 0, 1


def pair_statistics(deferral: Deferral) -> Statistics:
    """Return what computes APGR, CPT and AUROC of weights."""
    return lambda weights: {
        "apgr": deferral.apgr(weights),
        "cpt50": deferral.cpt(weights, 0.5),
        "cpt80": deferral.cpt(weights, 0.8),
        "auroc": deferral.auroc(weights),
    }


def aiq_of(costs: Array, qualities: Array, single_costs: Array) -> Array:
    """Return AIQ, (b,), from mean costs and qualities, (b, p), and the costs of single LLMs, (b, m)."""
    lows, highs = single_costs.min(axis=1), single_costs.max(axis=1)
    return np.array([aiq(*sample) for sample in zip(costs, qualities, lows, highs, strict=True)])


def mean(table: Array, weights: Array) -> Array:
    """Return the means of the columns of (n, p) in each sample of weights, (b, n); (b, p)."""
    return np.asarray(weights @ table / weights.sum(axis=1, keepdims=True))


def taken(table: Array, choices: Choices) -> Array:
    """Pick from (n, m) what each row of choices, (p, n), chooses; returns (n, p)."""
    return np.asarray(table[np.arange(len(table)), choices].T)


def oracle_choices(outcomes: Outcomes) -> Choices:
    """Choose the best LLM for each query, and of several best ones the cheapest, (n,)."""
    best = outcomes.performance == outcomes.performance.max(axis=1, keepdims=True)
    costs = outcomes.cost if outcomes.costs_known else np.zeros_like(outcomes.cost)
    return np.asarray(np.where(best, costs, np.inf).argmin(axis=1))


def baselines(
    outcomes: Outcomes, pair: tuple[int, int] | None, seed: int, resamples: int
) -> tuple[list[Baseline], list[Baseline]]:
    """Measure the baselines and the single LLMs; each metric with its interval."""
    performance, cost = outcomes.performance, outcomes.cost
    oracle = oracle_choices(outcomes)[None]
    sweep = lambda_sweep(performance, cost) if outcomes.costs_known else oracle
    oracle_quality, oracle_cost = taken(performance, oracle), taken(cost, oracle)
    sweep_quality, sweep_cost = taken(performance, sweep), taken(cost, sweep)
    deferral = None
    if pair is not None:
        weak, strong = performance[:, pair[0]], performance[:, pair[1]]
        deferral = Deferral(weak, strong, strong - weak, seed)

    def statistics(weights: Array) -> dict[str, Array]:
        qualities, costs = mean(performance, weights), mean(cost, weights)
        return {
            "single_quality": qualities,
            "single_cost": costs,
            "random_quality": qualities.mean(axis=1),
            "random_cost": costs.mean(axis=1),
            "quality": mean(oracle_quality, weights)[:, 0],
            "cost": mean(oracle_cost, weights)[:, 0],
            "zero_router": aiq_of(costs, qualities, costs),
            **(pair_statistics(deferral)(weights) if deferral else {}),
            "aiq": aiq_of(mean(sweep_cost, weights), mean(sweep_quality, weights), costs),
        }

    found = estimate(statistics, len(performance), resamples, seed)
    singles = [
        Baseline(
            name,
            name,
            {metric: found[f"single_{metric}"].interval(number) for metric in ("quality", "cost")},
        )
        for number, name in enumerate(outcomes.llms)
    ]
    best = singles[int(found["single_quality"].value.argmax())]
    listed = [
        Baseline("random", None, {name: found[f"random_{name}"].interval() for name in ("quality", "cost")}),
        Baseline("best_single", best.llm, best.metrics),
        Baseline("zero_router", None, {"aiq": found["zero_router"].interval()}),
        Baseline("oracle", None, {name: found[name].interval() for name in METRICS if name in found}),
    ]
    if outcomes.costs_known:
        cheapest = singles[int(found["single_cost"].value.argmin())]
        listed.insert(1, Baseline("cheapest", cheapest.llm, cheapest.metrics))
    return listed, singles
