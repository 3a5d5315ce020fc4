"""Put back what importing other people's code changed for the whole process."""

from __future__ import annotations

import contextlib
import locale
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from llmrouter.plugin_system.exits import exits_raise
from llmrouter.plugin_system.isolation import plugin_code

logger = logging.getLogger(__name__)

_STREAMS = ("stdin", "stdout", "stderr")
_SIGNALS = [name for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGPIPE", "SIGCHLD") if hasattr(signal, name)]


class _Setting(NamedTuple):
    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object]


def _umask() -> int:
    # It can only be read by setting it; other threads see a stricter one meanwhile, never a laxer one.
    before = os.umask(0o077)
    os.umask(before)
    return before


def _handler(name: str) -> _Setting:
    number = getattr(signal, name)
    return _Setting(
        f"the handler of {name}", lambda: signal.getsignal(number), lambda one: signal.signal(number, one)
    )


def _stream(name: str) -> _Setting:
    return _Setting(f"sys.{name}", lambda: getattr(sys, name), lambda stream: setattr(sys, name, stream))


_SETTINGS = [
    _Setting("the current folder", os.getcwd, os.chdir),
    _Setting("the umask", _umask, os.umask),
    _Setting(
        "the locale",
        lambda: locale.setlocale(locale.LC_ALL),
        lambda one: locale.setlocale(locale.LC_ALL, one),
    ),
    *map(_stream, _STREAMS),
]
# Only the main thread may set these.
_HANDLERS = list(map(_handler, _SIGNALS))


class Surroundings:
    """The current folder, standard streams, signal handlers, umask and locale of this process.

    Use it as a context, which holds copies of the streams' descriptors.
    """

    def __enter__(self) -> Surroundings:
        in_main = threading.current_thread() is threading.main_thread()
        self._before = [(each, _read(each)) for each in (*_SETTINGS, *(_HANDLERS if in_main else ()))]
        self._files: list[tuple[int, int, tuple[int, int]]] = []
        for number in range(len(_STREAMS)):
            with contextlib.suppress(OSError):  # it is closed
                self._files.append((number, os.dup(number), _identity(number)))
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            os.close(file[1])

    def restore(self) -> list[str]:
        """Put back what changed since the context was entered; returns the names of what did."""
        changed = []
        for number, copy, before in self._files:
            try:
                same = _identity(number) == before
            except OSError:  # it was closed
                same = False
            if not same:
                os.dup2(copy, number)
                changed.append(f"the file behind sys.{_STREAMS[number]}")
        for setting, before_it in self._before:
            if before_it is not None and _read(setting) != before_it:
                with contextlib.suppress(OSError, ValueError):  # such as a folder that was deleted
                    setting.write(before_it)
                changed.append(setting.name)
        for number, name in enumerate(_STREAMS):
            stream = getattr(sys, name)
            if getattr(stream, "closed", False):
                setattr(sys, name, _reopened(number, stream))
                changed.append(f"sys.{name}")
        return changed


@contextlib.contextmanager
def importing(whose: str) -> Iterator[None]:
    """Import somebody else's code: `plugin_code`, and put back what that changed, with a warning.

    Args:
        whose: Whose code it is, as errors and the warning should name it.
    """
    with Surroundings() as surroundings:
        try:
            with plugin_code(whose), exits_raise():
                yield
        finally:
            if changed := surroundings.restore():
                logger.warning("%s changed %s; all of it was put back", whose, ", ".join(changed))


def _read(setting: _Setting) -> Any:
    try:
        return setting.read()
    except OSError:  # the current folder was deleted
        return None


def _identity(number: int) -> tuple[int, int]:
    status = os.fstat(number)
    return status.st_dev, status.st_ino


def _reopened(number: int, stream: Any) -> Any:
    """Open a standard stream again that was closed."""
    mode = "r" if number == 0 else "w"
    encoding, errors = getattr(stream, "encoding", "utf-8"), getattr(stream, "errors", "backslashreplace")
    try:
        return open(number, mode, encoding=encoding, errors=errors, closefd=False)
    except OSError:  # there is no such file any more
        return open(os.devnull, mode)
