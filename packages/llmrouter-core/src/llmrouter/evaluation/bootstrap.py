"""Bootstrap intervals: how much a figure depends on which queries were drawn (Efron's percentile method)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from llmrouter.evaluation.outcomes import Array

# Weights in memory at once: 32 MB of them.
_CHUNK = 4_000_000


class Interval(NamedTuple):
    """A figure with its 95 % interval; None is undefined."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


class Estimates(NamedTuple):
    """Figures of any shape with their 95 % intervals; NaN is undefined."""

    value: Array
    low: Array
    high: Array

    def interval(self, place: int | tuple[()] = ()) -> Interval:
        """Return a single figure, or one of several by its place."""
        value, low, high = (float(end[place]) if np.isfinite(end[place]) else None for end in self)
        return Interval() if value is None else Interval(value, low, high)


def estimate(
    statistics: Callable[[Array], Mapping[str, Array]], n: int, resamples: int, seed: int
) -> dict[str, Estimates]:
    """Compute figures and their intervals.

    Args:
        statistics: Takes weights, (b, n), how often each query occurs in each sample; returns for each
            figure an array whose first axis is b.
        n: Number of queries.
        resamples: Number of resamples, each of n queries; 0 gives no intervals.
        seed: Of the resampling. The same for two routers on the same queries draws the same resamples.

    Returns:
        For each figure its value on the queries themselves and the 2.5 and 97.5 percentiles; a resample in
        which a figure is undefined does not count for it.
    """
    values = {name: found[0] for name, found in statistics(np.ones((1, n))).items()}
    drawn: dict[str, list[Array]] = {name: [] for name in values}
    for weights in resampled(n, resamples, seed):
        for name, found in statistics(weights).items():
            drawn[name].append(found)
    return {name: Estimates(value, *_ends(drawn[name], value)) for name, value in values.items()}


def resampled(n: int, resamples: int, seed: int) -> Iterator[Array]:
    """Draw n of n queries with replacement, `resamples` times; yield chunks of weights, (b, n)."""
    generator = np.random.default_rng([seed, n])
    most = max(1, _CHUNK // n)
    for start in range(0, resamples, most):
        count = min(most, resamples - start)
        drawn = generator.integers(0, n, (count, n)) + n * np.arange(count)[:, None]
        yield np.bincount(drawn.ravel(), minlength=count * n).reshape(count, n).astype(float)


def _ends(drawn: list[Array], value: Array) -> tuple[Array, Array]:
    nothing = np.full_like(value, np.nan)
    if not drawn:
        return nothing, nothing
    samples = np.concatenate(drawn)
    defined = np.isfinite(samples)
    # A column without a defined sample would make nanpercentile warn.
    samples = np.where(defined.any(axis=0), samples, 0.0)
    low, high = np.nanpercentile(samples, [2.5, 97.5], axis=0)
    some = defined.any(axis=0)
    return np.where(some, low, np.nan), np.where(some, high, np.nan)
