"""Measure whole processes in turn, so that what slows the machine meanwhile slows all of them alike."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from result import Result

ROUNDS = 21


class Command(NamedTuple):
    """A command line, where it is run and with what environment."""

    arguments: Sequence[str | Path]
    folder: Path
    environ: dict[str, str]


class Run(NamedTuple):
    """What a process took, seconds of wall-clock time and bytes of memory at its peak."""

    seconds: float
    peak: int


def run(command: Command) -> Run:
    """Run a process to its end, its output thrown away; it has to succeed."""
    with tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        process = subprocess.Popen(
            command.arguments,
            cwd=command.folder,
            env=command.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        # Not process.wait(), which does not tell what this one child used.
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            raise RuntimeError(f"{command.arguments} failed: {errors.read().decode()}")
    # Linux counts kibibytes, macOS bytes.
    return Run(seconds, usage.ru_maxrss * (1 if os.uname().sysname == "Darwin" else 1024))


def compare(
    what: str,
    commands: Sequence[Command],
    figure: Callable[..., float],
    limit: float,
    unit: str = "x",
    rounds: int = ROUNDS,
) -> Result:
    """Run the commands in turn, round by round, after a round to warm up that does not count.

    Args:
        what: For the report.
        commands: In the order in which they are run.
        figure: From the seconds of the commands in one round to that round's figure.
        limit: What the median of the figures may be at most.
        unit: Of the figure.
        rounds: How many rounds count.
    """
    timed = [[run(command).seconds for command in commands] for _ in range(rounds + 1)][1:]
    figures = [figure(*seconds) for seconds in timed]
    return Result(what, statistics.median(figures), min(figures), max(figures), limit, unit)
