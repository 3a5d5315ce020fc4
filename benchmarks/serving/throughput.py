"""Requests a second at 32 connections, and latency at one, of every gateway in turn."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from result import Result
from serving.load import Load, Target, drive

CONNECTIONS = 32
SECONDS = 4
LATENCY_SECONDS = 2
WARM_UP_SECONDS = 3
UPSTREAM, BARE, LITELLM, RANDOM, THRESHOLD = NAMES = (
    "upstream",
    "bare",
    "litellm",
    "randomrouter",
    "thresholdrouter",
)


def throughput(targets: Mapping[str, Target], bodies: Path, rounds: int) -> Iterator[Result]:
    """Compare requests a second, round by round."""
    loads = _interleaved(targets, bodies, rounds, connections=CONNECTIONS, seconds=SECONDS)
    rates = {name: [load.rate for load in loads[name]] for name in targets}
    for name in targets:
        yield result(f"{name}, {CONNECTIONS} connections", rates[name], None, "req/s")
    yield _ratio("randomrouter / LiteLLM", rates[RANDOM], rates[LITELLM], 40)
    yield _ratio("randomrouter / bare", rates[RANDOM], rates[BARE], 0.8)
    yield _ratio("thresholdrouter / bare", rates[THRESHOLD], rates[BARE], None)
    yield _ratio("thresholdrouter / LiteLLM", rates[THRESHOLD], rates[LITELLM], None)
    # What these do not depend on is how much of the processor others had meanwhile.
    cpu = {name: [load.cpu for load in loads[name]] for name in targets}
    for name in targets:
        yield result(f"{name}, processor time a request", cpu[name], None, "ms")
    yield _ratio("bare / randomrouter, processor time", cpu[BARE], cpu[RANDOM], None)
    yield _ratio("bare / thresholdrouter, processor time", cpu[BARE], cpu[THRESHOLD], None)


def latency(targets: Mapping[str, Target], bodies: Path, rounds: int) -> Iterator[Result]:
    """Compare the median latency at one connection with that of the upstream itself."""
    loads = _interleaved(targets, bodies, rounds, connections=1, seconds=LATENCY_SECONDS)
    direct = loads[UPSTREAM]
    yield result("upstream, one connection", [load.median for load in direct], None, "ms")
    for name in targets:
        if name != UPSTREAM:
            added = [load.median - least.median for load, least in zip(loads[name], direct, strict=True)]
            yield result(f"{name} adds, one connection", added, 1 if name == RANDOM else None, "ms")


def result(what: str, figures: Sequence[float], limit: float | None, unit: str, **more: bool) -> Result:
    """The median of figures, with their span."""
    return Result(what, statistics.median(figures), min(figures), max(figures), limit, unit, **more)


def in_turn(names: Sequence[str], rounds: int) -> Iterator[tuple[int, str]]:
    """The rounds and who is measured in them, another one first in each: nobody always follows the same."""
    for number in range(rounds):
        first = number % len(names)
        for name in (*names[first:], *names[:first]):
            yield number, name


def _interleaved(
    targets: Mapping[str, Target], bodies: Path, rounds: int, *, connections: int, seconds: int
) -> dict[str, list[Load]]:
    for target in targets.values():
        drive(target, bodies, connections=connections, seconds=WARM_UP_SECONDS)
    loads: dict[str, list[Load]] = {name: [] for name in targets}
    for _, name in in_turn(list(targets), rounds):
        loads[name].append(drive(targets[name], bodies, connections=connections, seconds=seconds))
    return loads


def _ratio(what: str, ours: Sequence[float], theirs: Sequence[float], limit: float | None) -> Result:
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    return result(what, ratios, limit, "x", at_least=True)
