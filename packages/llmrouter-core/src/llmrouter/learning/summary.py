"""What a trained router would do: by LLM, along the frontier, and under constraints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmrouter.constraints import COST, QUALITY, Constraint, choose
from llmrouter.evaluation.frontier import hull, trade_offs
from llmrouter.learning.outcomes import Array, Outcomes

# Points of the frontier, and levels of quality that are tried as constraints.
POINTS = 33
LEVELS = 5

Choices = NDArray[np.int64]


def summarise(outcomes: Outcomes, quality: Array, cost: Array, actual: Array) -> dict[str, Any]:
    """Tell what the router would do on n queries that its predictions have not seen.

    Where an outcome is not known its prediction stands in.

    Args:
        outcomes: The queries, and how m LLMs did on them.
        quality: Predicted, (n, m).
        cost: Predicted, in USD, (n, m), NaN where unknown.
        actual: As it was, (n, m), NaN where unknown.

    Returns:
        What JSON can hold: ``queries``; ``llms``, for each ``labels``, mean ``quality`` and ``cost``, and
        whether it is on the hull of the single LLMs (``frontier``); ``frontier``, points by falling
        ``trade_off`` with ``cost``, ``quality``, the ``share`` of each LLM, and whether the point is on the
        ``hull``; ``constraints``, the same for limits at the means of the LLMs, and the share of queries in
        which the limit is ``met``. Unknown is None.
    """
    truth = np.where(np.isnan(outcomes.quality), quality, outcomes.quality)
    paid = np.where(np.isnan(actual), cost, actual)
    singles: list[dict[str, Any]] = [
        {
            "labels": int((~np.isnan(outcomes.quality[:, number])).sum()),
            "quality": float(np.nanmean(outcomes.quality[:, number])),
            "cost": _mean(actual[:, number]),
        }
        for number in range(len(outcomes.llms))
    ]
    on_hull = _on_hull([one["cost"] for one in singles], [one["quality"] for one in singles])
    return {
        "queries": len(outcomes),
        "llms": {
            name: {**one, "frontier": there}
            for name, one, there in zip(outcomes.llms, singles, on_hull, strict=True)
        },
        "frontier": _frontier(outcomes.llms, quality, cost, truth, paid),
        "constraints": _constrained(outcomes.llms, quality, cost, truth, paid, singles),
    }


def _frontier(
    llms: Sequence[str], quality: Array, cost: Array, truth: Array, paid: Array
) -> list[dict[str, Any]]:
    known = ~np.isnan(cost).any(axis=0) & ~np.isnan(paid).any(axis=0)
    if not known.any():
        return []
    numbers = np.flatnonzero(known)
    quality, cost = quality[:, known], cost[:, known]
    points = []
    for trade_off in sorted(trade_offs(quality, cost, POINTS), reverse=True):
        # Ties go to the cheaper LLM, as when a query is routed.
        value = quality - trade_off * cost
        best = value == value.max(axis=1, keepdims=True)
        chosen = numbers[np.where(best, cost, np.inf).argmin(axis=1)]
        points.append({"trade_off": float(trade_off), **_taken(llms, chosen, truth, paid)})
    on_hull = _on_hull([point["cost"] for point in points], [point["quality"] for point in points])
    return [{**point, "hull": there} for point, there in zip(points, on_hull, strict=True)]


def _constrained(
    llms: Sequence[str],
    quality: Array,
    cost: Array,
    truth: Array,
    paid: Array,
    singles: Sequence[dict[str, Any]],
) -> list[dict[str, Any]]:
    costs = sorted({one["cost"] for one in singles if one["cost"] is not None})
    qualities = [one["quality"] for one in singles]
    levels = np.linspace(min(qualities), max(qualities), LEVELS)
    limits = [Constraint(COST, limit) for limit in costs]
    limits += [Constraint(QUALITY, float(level)) for level in np.unique(levels)]
    everyone = range(len(llms))
    found = []
    for constraint in limits:
        choices = [
            choose(llms, *row, everyone, constraint)
            for row in zip(quality.tolist(), cost.tolist(), strict=True)
        ]
        chosen = np.array([choice.number for choice in choices])
        met = sum(bool(choice.met) for choice in choices) / len(choices)
        found.append({"constraint": constraint.to_json(), "met": met, **_taken(llms, chosen, truth, paid)})
    return found


def _taken(llms: Sequence[str], chosen: Choices, truth: Array, paid: Array) -> dict[str, Any]:
    rows = np.arange(len(chosen))
    spent = paid[rows, chosen]
    shares = np.bincount(chosen, minlength=len(llms)) / len(chosen)
    return {
        "cost": None if np.isnan(spent).any() else float(spent.mean()),
        "quality": float(truth[rows, chosen].mean()),
        "share": {name: share for name, share in zip(llms, shares.tolist(), strict=True) if share},
    }


def _on_hull(costs: Sequence[float | None], qualities: Sequence[float]) -> list[bool]:
    """Tell which points are vertices of the non-decreasing convex hull of those whose cost is known."""
    priced = [(cost, quality) for cost, quality in zip(costs, qualities, strict=True) if cost is not None]
    if not priced:
        return [False] * len(costs)
    table = np.array(priced)
    vertices = set(zip(*(axis.tolist() for axis in hull(table[:, 0], table[:, 1])), strict=True))
    return [point in vertices for point in zip(costs, qualities, strict=True)]


def _mean(column: Array) -> float | None:
    known = column[~np.isnan(column)]
    return float(known.mean()) if len(known) else None
