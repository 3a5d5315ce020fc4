"""From raw scores to probabilities, and from what the user wants to thresholds."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from llmrouter.models.calibration import Doubles, expected_calibration_error, fit_logistic, logistic
from llmrouter_threshold.examples import Examples
from llmrouter_threshold.hyperparameters import Hyperparameters

QUANTILES = 201
_STEPS = np.linspace(0, 1, QUANTILES)
NO_GAP = "needs routing data with the performance of both LLMs, in which the large one does better"
# What is recovered of the gap where the user asks for nothing else, and it is known.
USUAL_QUALITY = 0.8


@dataclass(frozen=True)
class Calibration:
    """What the validation part of the data taught about the scores.

    Attributes:
        slope: Of the logistic function from raw scores to probabilities (Platt 1999).
        intercept: Of the same.
        error: Expected calibration error over ten bins of equal count.
        quantiles: Of the probabilities, at equal steps from 0 to 1.
        traffic: The same of the user's own traffic; empty where that is not known.
        traffic_queries: How many queries of traffic that comes from.
        recovered: At each share of queries for the large LLM, in the same steps, the share of the gap between
            small and large that is recovered; None where performances of both are unknown or equal.
    """

    slope: float = 1.0
    intercept: float = 0.0
    error: float | None = None
    quantiles: tuple[float, ...] = ()
    recovered: tuple[float, ...] | None = None
    traffic: tuple[float, ...] = ()
    traffic_queries: int = 0

    @property
    def apgr(self) -> float | None:
        """Average performance gap recovered (RouteLLM, arXiv 2406.18665), where it is known."""
        if self.recovered is None:
            return None
        inner = sum(self.recovered) - (self.recovered[0] + self.recovered[-1]) / 2
        return inner / (len(self.recovered) - 1)

    def probabilities(self, raw: Doubles) -> Doubles:
        """Return calibrated probabilities for raw scores, in the same order."""
        return logistic(self.slope * raw + self.intercept)

    def with_traffic(self, raw: Doubles) -> Calibration:
        """Return a calibration that also knows the raw scores of the user's traffic, shape (n,)."""
        return replace(self, traffic=_quantiles(self.probabilities(raw)), traffic_queries=len(raw))

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return asdict(self)

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Calibration:
        """Read it again.

        Raises:
            KeyError, TypeError, ValueError: It is not what `to_json` gave.
        """
        recovered = told["recovered"]
        return cls(
            slope=float(told["slope"]),
            intercept=float(told["intercept"]),
            error=None if told["error"] is None else float(told["error"]),
            quantiles=tuple(float(value) for value in told["quantiles"]),
            recovered=None if recovered is None else tuple(float(value) for value in recovered),
            traffic=tuple(float(value) for value in told["traffic"]),
            traffic_queries=int(told["traffic_queries"]),
        )

    def thresholds(self, wanted: Hyperparameters, tiers: int) -> tuple[list[float], str]:
        """Choose the scores at which the next larger of the LLMs begins.

        Returns:
            Ascending thresholds, one less than tiers, and the words that say how they were chosen.

        Raises:
            ValueError: The user wants what is unknown.
        """
        if wanted.thresholds is not None:
            return list(wanted.thresholds), "given"
        if wanted.strong_share is not None:
            of = f"{self.traffic_queries} queries of traffic" if self.traffic else "the part kept apart"
            thresholds = _by_share(self.traffic or self.quantiles, wanted.strong_share, tiers)
            return thresholds, f"strong_share {wanted.strong_share:g} of {of}"
        if wanted.quality is not None:
            if self.recovered is None:
                raise ValueError(NO_GAP)
            share = next(
                (
                    step / (QUANTILES - 1)
                    for step, value in enumerate(self.recovered)
                    if value >= wanted.quality
                ),
                1.0,
            )
            # Of the queries on which it was measured what it takes.
            return _by_share(
                self.quantiles, share, tiers
            ), f"quality {wanted.quality:g}, a strong share of {share:g}"
        if wanted.threshold is not None:
            return list(np.linspace(wanted.threshold, 1, tiers)[:-1]), "given"
        if self.recovered is not None:
            return self.thresholds(replace(wanted, quality=USUAL_QUALITY), tiers)
        return list(np.linspace(0.5, 1, tiers)[:-1]), "default"


def calibrate(raw: Doubles, examples: Examples) -> Calibration:
    """Fit a calibration to raw scores of the validation part.

    Args:
        raw: Uncalibrated scores of shape (n,).
        examples: The n examples that they are for.
    """
    truth = examples.hard.astype(np.float64)
    slope, intercept = fit_logistic(raw, truth)
    probabilities = logistic(slope * raw + intercept)
    return Calibration(
        slope,
        intercept,
        expected_calibration_error(probabilities, truth),
        _quantiles(probabilities),
        _recovered(raw, examples),
    )


def has_gap(examples: Examples) -> bool:
    """Whether a share of the gap between small and large LLM can be recovered on these examples."""
    return examples.gain is not None and bool(examples.gain.mean() > 0)


def _recovered(raw: Doubles, examples: Examples) -> tuple[float, ...] | None:
    gain = examples.gain
    if gain is None or not has_gap(examples):
        return None
    best_first = gain[np.argsort(-raw, kind="stable")]
    curve = np.concatenate([[0.0], np.cumsum(best_first)]) / gain.sum()
    shares = np.linspace(0, 1, len(curve))
    return tuple(float(value) for value in np.interp(_STEPS, shares, curve))


def _quantiles(probabilities: Doubles) -> tuple[float, ...]:
    return tuple(float(value) for value in np.quantile(probabilities, _STEPS))


def _by_share(quantiles: tuple[float, ...], share: float, tiers: int) -> list[float]:
    """Return the thresholds above which a share of the queries lies, in equal parts between the tiers."""
    if not quantiles:
        raise ValueError("needs a trained router")
    steps = np.linspace(1 - share, 1, tiers)[:-1]
    return [float(np.interp(step, np.linspace(0, 1, len(quantiles)), quantiles)) for step in steps]
