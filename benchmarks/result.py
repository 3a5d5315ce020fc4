"""One line of the report, and the report."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from typing import NamedTuple

LINE = "{:<52} {:>9} {:>15}  {:>7}  {:<9}  {}"
HEADER = LINE.format("what", "median", "lowest-highest", "limit", "unit", "").rstrip()


class Result(NamedTuple):
    """What was measured and what it may be.

    Attributes:
        what: In words.
        measured: The median.
        low: The lowest of the measurements.
        high: The highest.
        limit: What the median may be at most; None where it is only reported.
        unit: Of all these; ``x`` is a multiple of the floor.
        at_least: The limit is one to reach, not one to keep below.
    """

    what: str
    measured: float
    low: float
    high: float
    limit: float | None
    unit: str
    at_least: bool = False

    @property
    def ok(self) -> bool:
        """Whether the limit holds."""
        if self.limit is None:
            return True
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit

    @property
    def line(self) -> str:
        """The line of the table."""
        # Without a unit it is a count.
        digits = 0 if self.measured >= 1000 or not self.unit else 2
        measured, low, high = (f"{value:,.{digits}f}" for value in (self.measured, self.low, self.high))
        if self.limit is None:
            limit = verdict = ""
        else:
            limit = f"{'>= ' if self.at_least else ''}{self.limit:.3g}"
            verdict = "ok" if self.ok else "missed" if self.at_least else "over"
        return LINE.format(self.what, measured, f"{low}-{high}", limit, self.unit, verdict).rstrip()


def as_json(results: Iterable[Result]) -> dict[str, object]:
    """The report as it is written with ``--json``: where it was measured, and every result."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "results": [{**result._asdict(), "ok": result.ok} for result in results],
    }
