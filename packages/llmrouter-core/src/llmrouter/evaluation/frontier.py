"""The cost-quality frontier: sweeps over the trade-off, convex hull and AIQ.

AIQ follows RouterBench (Hu et al., arXiv 2403.12031): the mean height of the non-decreasing convex hull of
(mean cost, mean quality) between the mean costs of the cheapest and the dearest single LLM.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from llmrouter.evaluation.outcomes import Array

Choices = NDArray[np.intp]

# Points of a sweep; more of them change AIQ in the fourth digit.
POINTS = 257


def trade_offs(scores: Array, costs: Array, points: int = POINTS) -> Array:
    """Return the lambdas at which a choice of argmax(score - lambda * cost) changes, and 0, ascending.

    Args:
        scores: (n, m); -inf where an LLM is no option.
        costs: (n, m) or (m,), expected cost in any unit.
        points: Number of lambdas at most; they are quantiles of all.
    """
    costs = np.broadcast_to(costs, scores.shape)
    by_cost = np.argsort(costs, axis=1, kind="stable")
    scores = np.take_along_axis(scores, by_cost, axis=1)
    costs = np.take_along_axis(costs, by_cost, axis=1)
    crossings = []
    for cheap in range(scores.shape[1]):
        with np.errstate(divide="ignore", invalid="ignore"):
            rise = scores[:, cheap + 1 :] - scores[:, [cheap]]
            crossings.append((rise / (costs[:, cheap + 1 :] - costs[:, [cheap]])).ravel())
    crossing = np.concatenate(crossings)
    changes = np.unique(crossing[np.isfinite(crossing) & (crossing > 0)])
    if len(changes) > points - 1:
        changes = changes[np.linspace(0, len(changes) - 1, points - 1).round().astype(int)]
    # A little past each change, so that it is done at whichever side rounding falls.
    return np.concatenate([[0.0], changes * (1 + 1e-9)])


def lambda_sweep(scores: Array, costs: Array, points: int = POINTS) -> Choices:
    """Choose argmax(score - lambda * cost) for lambdas from 0 to where every choice is the cheapest.

    Args:
        scores: (n, m); -inf where an LLM is no option.
        costs: (n, m) or (m,), expected cost in any unit.
        points: Number of lambdas at most; they are quantiles of those at which a choice changes.

    Returns:
        Numbers of the chosen LLMs, (points, n), by rising lambda. Ties go to the cheaper LLM.
    """
    costs = np.broadcast_to(costs, scores.shape)
    lambdas = trade_offs(scores, costs, points)
    # In the order of cost, for argmax takes the first of equals.
    by_cost = np.argsort(costs, axis=1, kind="stable")
    scores = np.take_along_axis(scores, by_cost, axis=1)
    costs = np.take_along_axis(costs, by_cost, axis=1)
    choices = np.empty((len(lambdas), len(scores)), np.intp)
    rows = np.arange(len(scores))
    for number, trade_off in enumerate(lambdas):
        choices[number] = by_cost[rows, np.argmax(scores - trade_off * costs, axis=1)]
    return choices


def threshold_sweep(order: Choices, weak: int, strong: int, points: int = POINTS) -> Choices:
    """Send the first k of `order` to the strong LLM, for k from 0 to n.

    Args:
        order: Numbers of the queries, (n,), the first to go to the strong LLM first.
        weak: Number of the weak LLM.
        strong: Number of the strong LLM.
        points: Number of k at most, evenly spread.

    Returns:
        Numbers of the chosen LLMs, (points, n), by rising k.
    """
    n = len(order)
    sent = np.unique(np.linspace(0, n, min(points, n + 1)).round().astype(int))
    place = np.empty(n, int)
    place[order] = np.arange(n)
    return np.where(place < sent[:, None], strong, weak).astype(np.intp)


def hull(costs: Array, qualities: Array) -> tuple[Array, Array]:
    """Return the vertices of the non-decreasing convex hull of points, by rising cost.

    Every point on it is reached by mixing two of the points at random, or by one that costs less.
    """
    vertices: list[tuple[float, float]] = []
    for cost, quality in sorted(zip(costs.tolist(), qualities.tolist(), strict=True)):
        if vertices and quality <= vertices[-1][1]:
            continue
        while vertices and vertices[-1][0] == cost:
            vertices.pop()
        while len(vertices) > 1:
            (cost0, quality0), (cost1, quality1) = vertices[-2:]
            if (quality1 - quality0) * (cost - cost0) > (quality - quality0) * (cost1 - cost0):
                break
            vertices.pop()
        vertices.append((cost, quality))
    x, y = zip(*vertices, strict=True)
    return np.array(x), np.array(y)


def aiq(costs: Array, qualities: Array, low: float, high: float) -> float:
    """Average improvement in quality of a router: the mean height of its hull from `low` to `high`.

    Above its dearest point a router keeps its quality. Below its cheapest one, which it cannot be had for, it
    is mixed with answering nothing, of no cost and no quality.

    Args:
        costs: Mean costs over the sweep, (p,).
        qualities: Mean qualities, (p,).
        low: Mean cost of the cheapest single LLM.
        high: Mean cost of the dearest.

    Returns:
        From 0 to 1; NaN where `low` is not below `high`.
    """
    if not low < high:
        return float("nan")
    x, y = hull(costs, qualities)
    if x[0] > 0:
        x, y = np.insert(x, 0, 0.0), np.insert(y, 0, 0.0)
    corners = np.concatenate([[low], x[(x > low) & (x < high)], [high]])
    heights = np.interp(corners, x, y)
    return float(np.sum((heights[1:] + heights[:-1]) / 2 * np.diff(corners)) / (high - low))
