"""What checks of several kinds of plugin have in common."""

from __future__ import annotations

import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from llmrouter_testing.comparing import random_states, random_states_restored, same, seed_everything
from llmrouter_testing.report import fail

T = TypeVar("T")

THREADS = 8


def checked_random_state(do: Callable[[], Any]) -> None:
    """Check that something neither touches nor depends on the random numbers that a process shares."""
    do()  # what it loads when it is first used may have random numbers of its own
    with random_states_restored():
        seed_everything(2**31 - 1)  # no seed that it would set itself
        before = random_states()
        do()
        after = random_states()
        if changed := [name for name, state in before.items() if after[name] != state]:
            fail(f"it changes the random numbers that others use, of {', '.join(changed)}")
        found = []
        for seed in range(6):
            seed_everything(seed)
            found.append(do())
        if not all(same(found[0], other) for other in found):
            fail("its results depend on the random numbers that others use too")


def from_threads(call: Callable[[T], Any], items: Sequence[T]) -> list[list[Any]]:
    """Call something for each item in each of several threads at once.

    Returns:
        Each thread's results, in the order of the items.
    """
    start = threading.Barrier(THREADS)

    def work(thread: int) -> list[Any]:
        # Each begins elsewhere: threads in step would not see what they take from each other.
        first = thread * len(items) // THREADS
        start.wait()
        results = [call(item) for item in (*items[first:], *items[:first])]
        return results[len(items) - first :] + results[: len(items) - first]

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(THREADS) as pool:
            return [future.result() for future in [pool.submit(work, thread) for thread in range(THREADS)]]
    finally:
        sys.setswitchinterval(interval)


def median_seconds(call: Callable[[T], Any], items: Sequence[T]) -> float:
    """Return the median time of a call, the first one apart."""
    call(items[0])
    times = []
    for item in items:
        started = time.perf_counter()
        call(item)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def duration(seconds: float) -> str:
    """Tell a time in a unit that suits it."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"
