"""How soon the gateway is ready, and whether its memory grows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from result import Result
from serving.load import Target, drive
from serving.processes import Program, resident, running
from serving.throughput import result

REQUESTS = 100_000
WARM_UP = 20_000
CONNECTIONS = 32
SLICE_SECONDS = 3


def start_to_ready(program: Program, rounds: int) -> Iterator[Result]:
    """Start it again and again, and measure from the start of the process to its answer that it is ready."""
    seconds = []
    for _ in range(rounds + 1):
        with running(program) as server:
            seconds.append(server.ready_seconds)
    # The first run reads its files from the disk.
    yield result("start to ready, randomrouter", seconds[1:], 1, "s")


def memory_growth(program: Program, key: str, bodies: Path) -> Iterator[Result]:
    """Measure how much resident memory a fresh gateway adds over many requests after a warm-up."""
    with running(program) as server:
        target = Target(program.port, key, server.process.pid)
        for _ in _slices(target, bodies, WARM_UP):
            continue
        before = resident(target.process)
        grown = []
        for _ in _slices(target, bodies, REQUESTS):
            grown.append((resident(target.process) - before) / 1e6)
    yield result("resident memory after a warm-up", [before / 1e6], None, "MB")
    yield Result(f"{REQUESTS:,} more requests add to it", grown[-1], min(grown), max(grown), 20, "MB")


def _slices(target: Target, bodies: Path, requests: int) -> Iterator[None]:
    """Send at least so many requests, in slices of some seconds, for wrk counts in time alone."""
    sent = 0
    while sent < requests:
        sent += drive(target, bodies, connections=CONNECTIONS, seconds=SLICE_SECONDS).requests
        yield
