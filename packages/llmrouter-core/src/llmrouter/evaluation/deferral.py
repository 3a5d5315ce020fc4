"""Metrics of choosing between two LLMs: APGR, CPT and AUROC.

They follow RouteLLM (Ong et al., arXiv 2406.18665). The k highest-scored of n queries go to the strong LLM,
and the performance gap recovered at the share c = k/n is PGR(c) = (quality(c) - weak) / (strong - weak).

Every metric takes ``weights``, (b, n): how often each query occurs in each of b samples. Copies of a query
are neighbours in the order, so that a sample costs no sorting.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from llmrouter.evaluation.outcomes import Array

# Below it a weak LLM's answer is wrong.
RIGHT = 0.5
# Sums of floats over the queries: a gap below the first is none, and what misses a level by less than the
# second has reached it.
_NO_GAP = 1e-6
_TOLERANCE = 1e-9


class Deferral:
    """n queries in the order in which they go to the strong LLM.

    Args:
        weak: Performance of the weak LLM, (n,), from 0 to 1.
        strong: Performance of the strong LLM, (n,).
        scores: The higher, the sooner a query goes to the strong LLM, (n,); finite.
        seed: Of the permutation that breaks ties.

    Attributes:
        order: Numbers of the queries by falling score, (n,).
    """

    def __init__(self, weak: Array, strong: Array, scores: Array, seed: int = 0) -> None:
        shuffled = np.random.default_rng(seed).permutation(len(scores))
        self.order: NDArray[np.intp] = shuffled[np.argsort(-scores[shuffled], kind="stable")]
        self._gain = (strong - weak)[self.order]
        self._weak = weak[self.order]
        in_order = scores[self.order]
        self._groups = np.flatnonzero(np.r_[True, in_order[1:] != in_order[:-1]])

    def curve(self) -> tuple[Array, Array]:
        """Return the shares of queries sent to the strong LLM and the quality at each, both (n + 1,)."""
        n = len(self._gain)
        return np.arange(n + 1) / n, self._weak.mean() + np.r_[0.0, np.cumsum(self._gain)] / n

    def apgr(self, weights: Array) -> Array:
        """Average performance gap recovered, (b,): the integral of PGR over c by the trapezoid rule.

        Random routing has 0.5; above 1 is possible. NaN where the strong LLM is no better than the weak.
        """
        weights = weights[:, self.order]
        n = weights.sum(axis=1)
        before = np.cumsum(weights, axis=1) - weights
        # A gain at place k is part of all later quality: of n - k + 1/2 of the n + 1 points' trapezoids.
        held = weights * (n[:, None] - before - weights / 2)
        return np.asarray((held @ self._gain) / n / self._gap(weights))

    def cpt(self, weights: Array, level: float) -> Array:
        """Call-performance threshold, (b,): the smallest share c with PGR(c) >= level, which is above 0.

        NaN where the strong LLM is no better than the weak.
        """
        weights = weights[:, self.order]
        n = weights.sum(axis=1)
        needed = level * self._gap(weights) - _TOLERANCE
        recovered = np.cumsum(weights * self._gain, axis=1)
        # Between copies of one query PGR rises evenly: find the query, then the copy.
        first = (recovered >= needed[:, None]).argmax(axis=1)
        rows = np.arange(len(weights))
        copies = weights[rows, first]
        sent = np.cumsum(weights, axis=1)[rows, first] - copies
        gain = self._gain[first]
        with np.errstate(divide="ignore", invalid="ignore"):
            sent += np.ceil((needed - recovered[rows, first]) / gain + copies)
        return np.where(np.isnan(needed), np.nan, sent / n)

    def auroc(self, weights: Array) -> Array:
        """Area under the ROC curve, (b,), of the score for "the weak LLM is wrong" (performance below 0.5).

        That is the share of pairs of a wrong and a right answer in which the wrong one has the higher score,
        ties counting half. NaN where all answers are right, or all wrong.
        """
        weights = weights[:, self.order]
        wrong = self._weak < RIGHT
        positive = np.add.reduceat(weights * wrong, self._groups, axis=1)
        negative = np.add.reduceat(weights * ~wrong, self._groups, axis=1)
        below = negative.sum(axis=1, keepdims=True) - np.cumsum(negative, axis=1)
        pairs = positive.sum(axis=1) * negative.sum(axis=1)
        with np.errstate(invalid="ignore"):
            return np.asarray((positive * (below + negative / 2)).sum(axis=1) / pairs)

    def _gap(self, weights: Array) -> Array:
        """Sum over queries of what the strong LLM is better, (b,); NaN where that is nothing."""
        gap = weights @ self._gain
        return np.where(gap > _NO_GAP, gap, np.nan)
