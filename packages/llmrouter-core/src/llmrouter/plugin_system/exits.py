"""Keep an import of other people's code from ending the process by `os._exit`."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import NoReturn

_exit = os._exit
# The threads that import other people's code, once for each import.
_importing: list[int] = []
if hasattr(os, "register_at_fork"):
    # What forks, such as multiprocessing, ends its child so.
    os.register_at_fork(after_in_child=_importing.clear)


@contextlib.contextmanager
def exits_raise() -> Iterator[None]:
    """Let `os._exit` raise SystemExit within, as `sys.exit` does; other threads may end the process."""
    thread = threading.get_ident()
    _importing.append(thread)
    os._exit = _exit_or_raise
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # this is a fork
            _importing.remove(thread)
        if not _importing:
            os._exit = _exit


def _exit_or_raise(status: int) -> NoReturn:
    if threading.get_ident() in _importing:
        raise SystemExit(f"os._exit({status})")
    _exit(status)
