"""Time limits on waiting.

Each request has several, of which hardly one is ever reached. A timer of the event loop for each, or
``asyncio.timeout``, would take a tenth of a request's time; here they stand in a set that is looked through
some times a second.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Literal, cast

# How late an alarm may be.
TICK_SECONDS = 0.05


class Alarm:
    """Calls a function once a time has come, unless it is cleared before.

    Args:
        when: The time, by the event loop's clock.
        call: The function.
    """

    __slots__ = ("call", "when")

    def __init__(self, when: float, call: Callable[[], None]) -> None:
        self.when = when
        self.call = call

    def set(self) -> None:
        """Begin to wait for the time."""
        pending = _pending.alarms
        pending.add(self)
        loop = asyncio.get_running_loop()
        if _pending.loop is not loop:
            # What a loop that was run before in this thread left.
            pending.clear()
            pending.add(self)
            _pending.loop = loop
            loop.call_later(TICK_SECONDS, _tick)

    def clear(self) -> None:
        """Wait no longer."""
        _pending.alarms.discard(self)


class _Pending(threading.local):
    """The alarms of a thread's event loop."""

    def __init__(self) -> None:
        self.alarms: set[Alarm] = set()
        self.loop: asyncio.AbstractEventLoop | None = None


_pending = _Pending()


def _tick() -> None:
    loop = asyncio.get_running_loop()
    now = loop.time()
    for alarm in [alarm for alarm in _pending.alarms if alarm.when <= now]:
        alarm.clear()
        alarm.call()
    if _pending.alarms:
        loop.call_later(TICK_SECONDS, _tick)
    else:
        # The next alarm begins anew.
        _pending.loop = None


class TimeLimitError(Exception):
    """What was waited for did not come in time."""


class time_limit:
    """A time limit on what is awaited in a block, within `TICK_SECONDS`.

    Args:
        when: When the time is over, by the event loop's clock.

    Raises:
        TimeLimitError: At the end of the block, where the time was over before.
    """

    __slots__ = ("_alarm", "_expired", "_task")

    def __init__(self, when: float) -> None:
        self._alarm = Alarm(when, self._expire)
        self._expired = False

    def __enter__(self) -> None:
        self._task = cast("asyncio.Task[object]", asyncio.current_task())
        self._alarm.set()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        self._alarm.clear()
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
