"""Time limits on waiting.

``asyncio.timeout`` does the same and more, for ten times the time: three in each request are a tenth of it.
"""

from __future__ import annotations

import asyncio
import sys
from types import TracebackType
from typing import Literal, cast


class TimeLimitError(Exception):
    """What was waited for did not come in time."""


class time_limit:
    """A time limit on what is awaited in a block.

    Args:
        when: When the time is over, by the event loop's clock.

    Raises:
        TimeLimitError: At the end of the block, where the time was over before.
    """

    __slots__ = ("_expired", "_handle", "_task", "_when")

    def __init__(self, when: float) -> None:
        self._when = when
        self._expired = False

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        self._task = cast("asyncio.Task[object]", asyncio.current_task(loop))
        self._handle = loop.call_at(self._when, self._expire)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        self._handle.cancel()
        if self._expired:
            if sys.version_info >= (3, 11):
                self._task.uncancel()
            if kind is asyncio.CancelledError:
                raise TimeLimitError from None
        return False

    def _expire(self) -> None:
        self._expired = True
        self._task.cancel()


def within(seconds: float) -> time_limit:
    """Return a time limit that begins now."""
    return time_limit(asyncio.get_running_loop().time() + seconds)
