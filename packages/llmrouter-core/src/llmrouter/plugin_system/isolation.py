"""The boundary around other people's code: what it raises, and what it changes, stays on its side.

Every call of code that is not ours goes through `plugin_code`, or, where a context manager costs too much,
through ``except BaseException`` and `failure`. `own_copy` keeps what is passed to it from being edited, and
`llmrouter.plugin_system.time_limit` bounds how long it takes.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Iterator
from typing import Any, TypeVar

from llmrouter.errors import LLMRouterError, PluginError, describe, text_of

logger = logging.getLogger(__name__)

ErrorT = TypeVar("ErrorT", bound=LLMRouterError)
T = TypeVar("T")


@contextlib.contextmanager
def plugin_code(whose: str) -> Iterator[None]:
    """Run somebody else's code: turn whatever it raises into a `PluginError`, and undo `os.chdir`.

    Our own errors pass as they are, and so does the user's Ctrl-C.

    Args:
        whose: Whose code it is, as the error should name it.
    """
    with same_folder(whose):
        try:
            yield
        except BaseException as error:  # other people's code may raise anything, SystemExit included
            if isinstance(error, LLMRouterError) and text_of(error):
                raise
            raise failure(whose, error) from error


def failure(whose: str, error: BaseException, kind: type[ErrorT] = PluginError) -> ErrorT:  # type: ignore[assignment]
    """Return the error to raise in place of what somebody else's code raised.

    Raises:
        KeyboardInterrupt: The user pressed Ctrl-C while the code ran.
    """
    if is_interrupt(error):
        raise error
    advice = ""
    if isinstance(error, ModuleNotFoundError) and isinstance(error.name, str):
        advice = f"; {_advice(error.name)}"
    return kind(f"{whose} failed: {describe(error)}{advice}")


def is_interrupt(error: BaseException) -> bool:
    """Tell the user's Ctrl-C (or SIGTERM) from a KeyboardInterrupt that the code raised by itself.

    A signal interrupts the main thread alone, between any two instructions. If the innermost frame stopped at
    a ``raise`` statement instead, the code raised it, unless that frame is the signal's handler.
    """
    if not isinstance(error, KeyboardInterrupt) or threading.current_thread() is not threading.main_thread():
        return False
    # Imported here, for this is rare and the registry is imported by every command.
    import signal
    from opcode import opmap

    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    codes = [getattr(getattr(handler, "func", handler), "__code__", None) for handler in handlers]
    trace, instruction = error.__traceback__, None
    while trace is not None:
        code = trace.tb_frame.f_code
        if code in codes:
            return True
        instruction = code.co_code[trace.tb_lasti]
        trace = trace.tb_next
    return instruction != opmap["RAISE_VARARGS"]


def own_copy(value: T) -> T:
    """Copy dicts and lists all the way down, so that code given the copy cannot edit the original."""
    copied: Any = value
    if isinstance(value, dict):
        for item in value.values():
            if item.__class__ is not str and isinstance(item, _NESTED):
                copied = {key: own_copy(item) for key, item in value.items()}
                break
        else:  # most queries hold texts alone
            copied = value.copy()
    elif isinstance(value, list):
        copied = [own_copy(item) if isinstance(item, _NESTED) else item for item in value]
    elif isinstance(value, set):
        copied = set(value)
    return copied  # type: ignore[no-any-return]


_NESTED = (dict, list, set)


class _Folder:
    """The current folder as it was before other people's code began to run, in any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = 0
        self._before: str | None = None

    def enter(self) -> None:
        with self._lock:
            if not self._running:
                self._before = _current_folder()
            self._running += 1

    def leave(self, whose: str) -> None:
        with self._lock:
            self._running -= 1
            before = self._before
            if before is None or _current_folder() == before:
                return
            with contextlib.suppress(OSError):  # it was deleted meanwhile
                os.chdir(before)
        logger.warning("%s changed the current folder; it is %s again", whose, before)


_folder = _Folder()


@contextlib.contextmanager
def same_folder(whose: str) -> Iterator[None]:
    """Go back to the current folder if the code within leaves it, and log whose code that was."""
    _folder.enter()
    try:
        yield
    finally:
        _folder.leave(whose)


def _current_folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was deleted
        return None


def _advice(missing: str) -> str:
    """Say what to do about a module that is missing."""
    if missing.startswith("llmrouter.plugin_dirs."):
        inside = "/".join(missing.split(".")[3:])
        return f"there is no {inside!r} in the plugin directory, add it or mend the import"
    return f"install what provides {missing.partition('.')[0]!r}, or mend the import"
