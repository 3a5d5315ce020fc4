"""From raw scores to probabilities, and how far these are from the truth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

BINS = 10


def expected_calibration_error(probabilities: Doubles, truth: Doubles, bins: int = BINS) -> float:
    """Return the mean distance of probability and truth over bins of equal count, weighted by count.

    The measure of Naeini et al. (2015), with bins of equal count in place of equal width.
    """
    order = np.argsort(probabilities, kind="stable")
    parts = np.array_split(order, min(bins, len(order)))
    gaps = [abs(probabilities[part].mean() - truth[part].mean()) * len(part) for part in parts]
    return float(sum(gaps) / len(order))


def fit_logistic(raw: Doubles, truth: Doubles) -> tuple[float, float]:
    """Fit slope and intercept by Newton's method (Platt 1999); the slope stays positive: the order is kept.

    Args:
        raw: Uncalibrated scores, (n,).
        truth: What they stand for, from 0 to 1, (n,).
    """
    # Platt's targets, for with few examples the truth itself is too sure.
    positives, count = truth.sum(), len(truth)
    high, low = (positives + 1) / (positives + 2), 1 / (count - positives + 2)
    wanted = low + truth * (high - low)
    design = np.stack([raw, np.ones_like(raw)], axis=1)
    weights = np.array([1.0, 0.0])
    for _ in range(50):
        chances = logistic(design @ weights)
        slope = design.T @ (chances - wanted) + np.array([1e-3, 0]) * weights
        curvature = (design * (chances * (1 - chances))[:, None]).T @ design + np.diag([1e-3, 1e-9])
        step = np.linalg.solve(curvature, slope)
        weights = weights - np.clip(step, -5, 5)
        if np.abs(step).max() < 1e-8:
            break
    return max(float(weights[0]), 1e-3), float(weights[1])


def logistic(values: Doubles) -> Doubles:
    """Return the logistic function of values."""
    result: Doubles = 1 / (1 + np.exp(np.minimum(-values, 500)))  # beyond, it would overflow
    return result
