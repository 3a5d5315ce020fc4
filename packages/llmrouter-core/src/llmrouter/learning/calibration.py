"""Make predicted qualities mean what they say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from llmrouter.learning.outcomes import Array
from llmrouter.models.calibration import expected_calibration_error, fit_logistic, logistic

_LEAST = 1e-4


@dataclass(frozen=True)
class Calibration:
    """A logistic function from uncalibrated qualities to calibrated ones, one for all LLMs (Platt 1999).

    Attributes:
        slope: Of the function, on the logits.
        intercept: Of the same.
        error: Expected calibration error over ten bins of equal count, of each LLM, averaged by outcomes; on
            queries that the predictions have not seen. None where it was not measured.
    """

    slope: float = 1.0
    intercept: float = 0.0
    error: float | None = None

    @classmethod
    def fit(cls, raw: Array, truth: Array) -> Calibration:
        """Fit it to predictions, (n, m), of queries that they have not seen; truth is NaN where unknown."""
        known = ~np.isnan(truth)
        slope, intercept = fit_logistic(_logit(raw)[known], truth[known])
        found = cls(slope, intercept)
        calibrated = found(raw)
        errors = [
            expected_calibration_error(calibrated[mask, number], truth[mask, number]) * mask.sum()
            for number, mask in enumerate(known.T)
            if mask.any()
        ]
        return cls(slope, intercept, float(sum(errors) / known.sum()))

    def __call__(self, raw: Array) -> Array:
        """Return calibrated qualities, in the same order."""
        if self == Calibration(error=self.error):
            return raw
        return logistic(self.slope * _logit(raw) + self.intercept)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return asdict(self)

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Calibration:
        """Read again what `to_json` gave.

        Raises:
            KeyError, TypeError, ValueError: It is something else.
        """
        slope, intercept, error = float(told["slope"]), float(told["intercept"]), told["error"]
        if not (slope > 0 and np.isfinite([slope, intercept]).all()):
            raise ValueError("the calibration is out of range")
        return cls(slope, intercept, None if error is None else float(error))


def _logit(chances: Array) -> Array:
    chances = np.clip(chances, _LEAST, 1 - _LEAST)
    return np.asarray(np.log(chances / (1 - chances)))
