"""How long a candidate is left alone after a fault."""

from __future__ import annotations

# Faults in a row after which the time is not doubled any more; the setting bounds it earlier.
_DOUBLINGS = 10


class Cooldown:
    """The state of one candidate; times are the event loop's.

    Args:
        seconds: After the first fault; doubled with each further one.
        longest: Bound on that, and on what an upstream may ask for.

    Attributes:
        until: When it ends.
        asked: Whether the upstream said how long to wait.
        status: With which a client is sent away meanwhile.
    """

    def __init__(self, seconds: float, longest: float) -> None:
        self._seconds = seconds
        self._longest = longest
        self._faults = 0
        self.until = 0.0
        self.asked = False
        self.status = 503

    def fault(self, now: float, retry_after: float | None = None, status: int = 503) -> None:
        """Begin, or go on, after a fault.

        Args:
            now: The time.
            retry_after: Seconds that the upstream asked for, or None.
            status: 429 where it has too much to do, else 503.
        """
        own = self._seconds * 2 ** min(self._faults, _DOUBLINGS)
        self._faults += 1
        self.asked = retry_after is not None
        self.status = status
        self.until = now + min(own if retry_after is None else retry_after, self._longest)

    def success(self) -> None:
        """End."""
        self._faults = 0
        self.until = 0.0
        self.asked = False
