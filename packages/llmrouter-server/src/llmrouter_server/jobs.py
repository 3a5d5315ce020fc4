"""The process beside the workers that does the lifecycle's training jobs."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio import StreamWriter
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

from llmrouter_server.options import ServeOptions

# What it may take to end by itself. To kill it loses nothing: its calls are committed one by one.
_GRACE_SECONDS = 10.0


class JobWorker:
    """A program of its own, as the workers are: training keeps a processor busy.

    Args:
        options: What the command line asks for.
        held: Returns what it is to read in place of files that have changed since they were accepted.
    """

    def __init__(self, options: ServeOptions, held: Callable[[], Mapping[str, bytes]]) -> None:
        self._options = options
        self._held = held
        self._process: Process | None = None
        self._replacing = False
        self._stopping = False

    async def work(self) -> int | None:
        """Run it until it ends; returns its exit status, or None where it was to be replaced."""
        from llmrouter_lifecycle.worker import settings_line

        self._replacing = False
        self._process = process = await asyncio.create_subprocess_exec(
            *program("llmrouter_lifecycle.worker"),
            "--settings-from-stdin",
            stdin=PIPE,
            # Signals of the terminal come through the supervisor.
            start_new_session=True,
        )
        # It stays open: that it closes is how the process learns that the supervisor is gone.
        stdin = cast(StreamWriter, process.stdin)
        try:
            with contextlib.suppress(ConnectionError):
                config = Path(self._options.config).absolute()
                told = settings_line(
                    self._options.lifecycle or "",
                    config,
                    block=self._options.block,
                    directories=self._options.use_directories,
                    supervised=True,
                    held=self._held(),
                )
                stdin.write(told)
                await stdin.drain()
            if self._stopping:
                self._end()
            status = await process.wait()
        finally:
            stdin.close()
            self._process = None
        return None if self._replacing else status

    def stop(self) -> None:
        """Have it end, soon; asked twice, at once."""
        if self._stopping and self._process is not None:
            self._kill(self._process)
        self._stopping = True
        self._end()

    def restart(self) -> None:
        """Have another take its place, which reads the configuration anew."""
        self._replacing = True
        self._end()

    def _end(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            asyncio.get_running_loop().call_later(_GRACE_SECONDS, self._kill, self._process)

    def _kill(self, process: Process) -> None:
        if process.returncode is None:
            process.kill()


def program(module: str) -> list[str]:
    """Return the command that runs a module, not through the current folder, which may hide modules."""
    return [sys.executable, *(["-P"] if sys.version_info >= (3, 11) else []), "-m", module]
