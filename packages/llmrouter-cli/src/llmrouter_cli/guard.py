"""Survive plugins whose import ends the process, or never ends, or at least name them.

A command that shows what is installed goes on in a fork of this process, which reports what it imports. If
that ends the fork, the command starts again in another one, without that plugin. Nothing is written before
plugins are imported. Other commands stay in this process, and if an import ends it, a fork names the plugin.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from typing import NoReturn

import click

from llmrouter.plugin_system.installed import Plugin

# Seconds that an import may take, and what is left to a process that should end.
LIMIT = 30.0
PATIENCE = 3.0
# Seconds between looks whether either is over.
_POLL = 0.2
# Reports of a fork; others name the plugin that it imports next.
_IMPORTED = "imported"
_STATUS = "status "


class Guard:
    """Keeps a command alive, whatever importing plugins does to its process.

    Attributes:
        problems: Why importing a plugin was given up, by what `_label` says of it.
    """

    def __init__(self) -> None:
        self.problems: dict[str, str] = {}
        self._pipe: int | None = None
        self._is_fork = False

    def enter(self) -> None:
        """Go on in a fork; this process waits for it and exits with its status.

        Raises:
            KeyboardInterrupt: The user pressed Ctrl-C, and the import in hand did not end.
        """
        while hasattr(os, "fork") and self._pipe is None:
            sys.stdout.flush()
            sys.stderr.flush()
            reading, writing = os.pipe()
            gc.freeze()  # or collecting garbage would copy all the memory that the fork shares
            child = os.fork()
            if not child:
                os.close(reading)
                os.setpgid(0, 0)  # Ctrl-C in a terminal reaches it through this process alone
                self._pipe, self._is_fork = writing, True
                return
            os.close(writing)
            watch = _Watch(child, reading)
            problem = watch.wait()
            if problem is None:
                # Nothing is left to be done here, and to end without more takes 10 ms less.
                sys.stderr.flush()
                os._exit(watch.status)
            self.problems[watch.importing] = problem
            click.echo(
                f"Warning: plugin {watch.importing}, failed: {problem}; "
                "'llmrouter plugins disable' leaves it out",
                err=True,
            )

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """Import plugins in this process; should that end it, a fork says which one was being imported."""
        if not hasattr(os, "fork"):
            yield
            return
        reading, writing = os.pipe()
        # What ends a process must not end the fork before it has said so.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
        parent, child = os.getpid(), os.fork()
        if not child:
            os.close(writing)
            _tell_end(parent, reading)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(reading)
        self._pipe = writing
        try:
            yield
        finally:
            self._pipe = None
            with contextlib.suppress(ProcessLookupError, ChildProcessError):  # a plugin waited for it
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
            with contextlib.suppress(OSError):  # a plugin closed it
                os.close(writing)

    def problem(self, plugin: Plugin) -> str | None:
        """Return why a plugin must not be imported, or None."""
        return self.problems.get(_label(plugin))

    def importing(self, plugin: Plugin) -> None:
        """Report that a plugin is imported next."""
        if self._is_fork:
            signal.alarm(2 * int(LIMIT) + 1)  # in case nobody watches any more
        self._report(_label(plugin))

    def imported(self) -> None:
        """Report that all plugins are imported."""
        if self._is_fork:
            signal.alarm(0)
        self._report(_IMPORTED)

    def ended(self, status: int) -> None:
        """Report the status of the command, which then counts, whatever plugins do at exit."""
        self._report(f"{_STATUS}{status}")

    def _report(self, what: str) -> None:
        if self._pipe is None:
            return
        with contextlib.suppress(OSError):  # a plugin closed it
            os.write(self._pipe, f"{what}\n".encode())


class _Watch:
    """Waits for a fork, and passes on the signals that should end it.

    Attributes:
        importing: The plugin that it imports, or what else it reported last.
        status: The status to exit with.
    """

    def __init__(self, child: int, pipe: int) -> None:
        self.importing = ""
        self.status = 0
        self._child = child
        self._pipe = pipe
        self._told_to_end: float | None = None

    def wait(self) -> str | None:
        """Wait for its end; returns what was wrong if importing a plugin ended it, or did not end."""
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = [signal.signal(number, self._pass_on) for number in numbers]
        try:
            return self._wait()
        finally:
            os.close(self._pipe)
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)

    def _pass_on(self, number: int, frame: object) -> None:
        self._told_to_end = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._child, number)

    def _wait(self) -> str | None:
        since = time.monotonic()
        while True:
            busy = self.importing not in ("", _IMPORTED) and not self.importing.startswith(_STATUS)
            if select.select([self._pipe], [], [], _POLL)[0]:
                reported = os.read(self._pipe, 65536).decode(errors="replace")
                if not reported:
                    return self._ended(busy)
                self.importing = reported.splitlines()[-1]
                since = time.monotonic()
            now = time.monotonic()
            if self.importing.startswith(_STATUS):
                if now - since > PATIENCE:
                    self._kill()
            elif self._told_to_end is not None and now - self._told_to_end > PATIENCE:
                self._kill()
                os.waitpid(self._child, 0)
                raise KeyboardInterrupt(f"while importing the plugin {self.importing}" if busy else "")
            elif busy and now - since > LIMIT:
                self._kill()
                os.waitpid(self._child, 0)
                return f"importing it took longer than {LIMIT:g} s"

    def _kill(self) -> None:
        os.kill(self._child, signal.SIGKILL)

    def _ended(self, busy: bool) -> str | None:
        _, raw = os.waitpid(self._child, 0)
        status = os.waitstatus_to_exitcode(raw)
        self.status = 128 - status if status < 0 else status
        if self.importing.startswith(_STATUS):
            self.status = int(self.importing.removeprefix(_STATUS))
        if not busy:
            return None
        how = f"with status {status}" if status >= 0 else f"by {signal.Signals(-status).name}"
        return f"importing it ended the process {how}"


def _tell_end(parent: int, pipe: int) -> NoReturn:
    """Wait until the process that imports plugins ends, and say what it imported; then end."""
    try:
        os.close(1)  # a reader of the output must not wait for this process
        importing = b""
        while reported := os.read(pipe, 65536):
            importing = reported.splitlines()[-1]
        while os.getppid() == parent:
            time.sleep(0.01)
        if importing not in (b"", _IMPORTED.encode()):
            advice = b"'llmrouter plugins disable' leaves it out"
            os.write(2, b"Error: the process ended while importing the plugin %s; %s\n" % (importing, advice))
    finally:
        os._exit(0)


def _label(plugin: Plugin) -> str:
    return " ".join(f"{plugin.name!r} of {plugin.distribution}".split())
