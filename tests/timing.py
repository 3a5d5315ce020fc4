"""Time limits that hold on a busy machine too."""

from __future__ import annotations

import os


def allowed(seconds: float) -> float:
    """Return a time limit: so many seconds on an idle machine, more as others use its processors.

    With three processes for each processor, as while the tests run side by side, what takes a second by
    itself takes three or four.
    """
    return seconds * (1 + os.getloadavg()[0] / (os.cpu_count() or 1))
