"""One line of the report."""

from __future__ import annotations

from typing import NamedTuple


class Result(NamedTuple):
    """What was measured and what it may be at most.

    Attributes:
        what: In words.
        measured: The median.
        low: The lowest of the measurements.
        high: The highest.
        limit: What the median may be at most.
        unit: Of all these; ``x`` is a multiple of the floor.
    """

    what: str
    measured: float
    low: float
    high: float
    limit: float
    unit: str

    @property
    def ok(self) -> bool:
        """Whether the limit holds."""
        return self.measured <= self.limit
