"""The end of a process, which comes in time whatever its threads do."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from time import monotonic

logger = logging.getLogger(__name__)

# How long threads may take when nothing is left to do.
_THREADS_SECONDS = 1.0


def hold_hang_ups() -> Callable[[], bool]:
    """Note SIGHUPs from now on, in place of ending by one; returns what says whether one came."""
    came: list[int] = []
    signal.signal(signal.SIGHUP, lambda number, frame: came.append(number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])
    return lambda: bool(came)


def on_hang_up(loop: asyncio.AbstractEventLoop, act: Callable[[], object]) -> None:
    """Let SIGHUP call something in the event loop.

    Not by the loop's own handlers: as it closes, it leaves the signal to end the process.
    """
    signal.signal(signal.SIGHUP, lambda number, frame: loop.call_soon_threadsafe(act))


def ignore_signals() -> None:
    """Ignore signals that would end this process by default, now that it ends anyway.

    To block them would not do: a thread that does not would take them.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def end_within(seconds: float) -> None:
    """End this process after a time, with status 0, unless it has ended before."""
    timer = threading.Timer(seconds, _end, ["did not end in time"])
    timer.daemon = True
    timer.start()


def leave_threads() -> None:
    """Return once all threads have ended; where some do not, end this process without them, with status 0.

    Python would wait for them at its end, for as long as they take.
    """
    deadline = monotonic() + _THREADS_SECONDS
    for thread in _others():
        thread.join(max(0.0, deadline - monotonic()))
    if _others():
        _end("are left alone")


def _others() -> list[threading.Thread]:
    return [
        thread
        for thread in threading.enumerate()
        if not thread.daemon and thread not in (threading.main_thread(), threading.current_thread())
    ]


def _end(what: str) -> None:
    names = ", ".join(sorted({thread.name.rpartition("_")[0] or thread.name for thread in _others()}))
    logger.warning("The process ends now; threads that %s: %s", what, names or "none")
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(0)
