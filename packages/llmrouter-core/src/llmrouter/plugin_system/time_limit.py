"""Bound how long other people's code takes: what takes longer is left to itself in its thread."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Generic, TypeVar

from llmrouter.errors import PluginError
from llmrouter.plugin_system.isolation import plugin_code

T = TypeVar("T")

# Calls of one function at once; more wait their turn, which does not count as their time.
AT_ONCE = 8
# Calls of one `TimeLimit` that may exceed it before it makes no more.
PATIENCE = 3
# Threads of one owner's code that may hang in this process before it is called no more.
HANGING = 16

_hanging: dict[str, list[threading.Thread]] = {}


class TimeLimitError(PluginError):
    """The code took longer than its limit."""


class GivenUpError(PluginError):
    """The code exceeded its limit so often that it is not called any more."""


class TimeLimit(Generic[T]):
    """Calls somebody else's function in threads, each call for a limited time.

    Python cannot end a thread. One that exceeds the limit is a daemon that nobody waits for: it keeps neither
    the caller nor the end of the process waiting. Use an instance within one event loop.

    Args:
        whose: Whose code it is, as errors should name it.
        function: The function.
        seconds: Time limit of a call.
    """

    def __init__(self, whose: str, function: Callable[..., T], seconds: float) -> None:
        self._whose = whose
        self._function = function
        self._seconds = seconds
        self._exceeded = 0
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def __call__(self, *arguments: object) -> T:
        """Call the function.

        Raises:
            PluginError: It raised, whatever that was.
            TimeLimitError: It took too long.
            GivenUpError: It took too long too often, and was not called.
        """
        async with self._turns:
            if self._exceeded >= PATIENCE:
                raise GivenUpError(
                    f"{self._whose} took longer than {self._seconds:g} s {self._exceeded} times; it is not "
                    "called any more"
                )
            future, thread = _start(self._whose, self._function, arguments)
            waiting = asyncio.wrap_future(future)
            try:
                done, _ = await asyncio.wait([waiting], timeout=self._seconds)
            finally:
                waiting.cancel()  # nothing that comes later is looked at
            if done:
                return await waiting
            self._exceeded += 1
            raise _exceeded(self._whose, thread, self._seconds)


def call_within(seconds: float, whose: str, function: Callable[..., T], *arguments: object) -> T:
    """Call somebody else's function in a thread, for a limited time.

    Raises:
        PluginError: It raised, whatever that was.
        TimeLimitError: It took too long.
        GivenUpError: It hangs in many threads already, and was not called.
    """
    future, thread = _start(whose, function, arguments)
    done, _ = wait([future], timeout=seconds)
    if not done:
        future.cancel()
        raise _exceeded(whose, thread, seconds)
    return future.result()


def _start(
    whose: str, function: Callable[..., T], arguments: tuple[object, ...]
) -> tuple[Future[T], threading.Thread]:
    alive = [thread for thread in _hanging.get(whose, ()) if thread.is_alive()]
    _hanging[whose] = alive
    if len(alive) >= HANGING:
        raise GivenUpError(f"{whose} hangs in {len(alive)} threads; it is not called until they end")
    future: Future[T] = Future()
    # Tracing and the like go by the context.
    run = contextvars.copy_context().run
    thread = threading.Thread(
        target=run, args=(_run, future, whose, function, arguments), name=whose, daemon=True
    )
    thread.start()
    return future, thread


def _run(future: Future[T], whose: str, function: Callable[..., T], arguments: tuple[object, ...]) -> None:
    try:
        with plugin_code(whose):
            result = function(*arguments)
    except BaseException as error:  # one of ours by now; raised where the result is awaited
        if future.set_running_or_notify_cancel():
            future.set_exception(error)
    else:
        if future.set_running_or_notify_cancel():
            future.set_result(result)


def _exceeded(whose: str, thread: threading.Thread, seconds: float) -> TimeLimitError:
    _hanging.setdefault(whose, []).append(thread)
    return TimeLimitError(f"{whose} took longer than {seconds:g} s")
