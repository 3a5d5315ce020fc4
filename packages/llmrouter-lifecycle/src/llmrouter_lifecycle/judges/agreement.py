"""How well a judge agrees with people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Agreement:
    """A judge's scores beside gold scores of the same answers.

    Attributes:
        judged: How many answers were compared.
        failed: How many the judge gave no score for.
        kappa: Cohen's kappa of the categories: scores rounded to whole numbers, or, where the judge's range
            is no wider than 1, whether they are in its upper half. None where it is not defined.
        spearman: Spearman's rank correlation of the scores; None where it is not defined.
    """

    judged: int
    failed: int
    kappa: float | None
    spearman: float | None


def agreement(
    scores: Sequence[float | None], gold: Sequence[float], min_score: float, max_score: float
) -> Agreement:
    """Compare a judge's scores with gold scores on the same scale; None stands for no score."""
    known = [(score, right) for score, right in zip(scores, gold, strict=True) if score is not None]

    def category(score: float) -> int:
        if max_score - min_score > 1:
            return round(score)
        return int(score >= (min_score + max_score) / 2)

    return Agreement(
        judged=len(known),
        failed=len(scores) - len(known),
        kappa=cohen_kappa([(category(score), category(right)) for score, right in known]),
        spearman=spearman(known),
    )


def cohen_kappa(pairs: Sequence[tuple[int, int]]) -> float | None:
    """Return Cohen's kappa (1960) of two raters' categories; None where chance alone would agree always."""
    if not pairs:
        return None
    n = len(pairs)
    observed = sum(one == other for one, other in pairs) / n
    categories = {category for pair in pairs for category in pair}
    expected = sum(
        sum(one == category for one, _ in pairs) * sum(other == category for _, other in pairs)
        for category in categories
    ) / (n * n)
    return None if expected == 1 else (observed - expected) / (1 - expected)


def spearman(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Return Spearman's rank correlation, ties sharing their mean rank; None where one side is constant."""
    if len(pairs) < 2:
        return None
    one, other = (_ranks([pair[side] for pair in pairs]) for side in (0, 1))
    mean = (len(pairs) + 1) / 2
    covariance = sum((a - mean) * (b - mean) for a, b in zip(one, other, strict=True))
    spread = sum((a - mean) ** 2 for a in one) * sum((b - mean) ** 2 for b in other)
    return None if spread == 0 else float(covariance / spread**0.5)


def _ranks(values: Sequence[float]) -> list[float]:
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end + 1 < len(order) and values[order[end + 1]] == values[order[start]]:
            end += 1
        for place in order[start : end + 1]:
            ranks[place] = (start + end) / 2 + 1
        start = end + 1
    return ranks
