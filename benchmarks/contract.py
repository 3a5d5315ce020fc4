"""What a decision costs within one process: the router's contract and ours around the quickest router."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from time import perf_counter

from result import Result
from surroundings import Bare, environ, folder, make_config

QUERIES = 100 * 1024
BATCH = 1024
REPEATS = 15


def measure(bare: Bare) -> Iterator[Result]:
    """Measure randomrouter in batches and one by one, in the bare environment's Python."""
    done = subprocess.run(
        [bare.python, __file__, make_config()],
        cwd=folder("empty"),
        env=environ(),
        stdout=subprocess.PIPE,
        check=True,
    )
    for what, figures in json.loads(done.stdout).items():
        yield Result(what, statistics.median(figures), min(figures), max(figures), 2, "µs/query")


def _timed(config: str) -> dict[str, list[float]]:
    from llmrouter.plugin_system import get_plugin_registry
    from llmrouter.routing import open_engine

    engine = open_engine(get_plugin_registry(), "randomrouter", config)
    queries = [{"id": f"query-{number}", "query": f"What is {number}?"} for number in range(QUERIES)]
    batches = [queries[start : start + BATCH] for start in range(0, QUERIES, BATCH)]

    def in_batches() -> None:
        for batch in batches:
            engine.decide_batch(batch)

    def one_by_one() -> None:
        for query in queries:
            engine.decide(query)

    figures: dict[str, list[float]] = {}
    for _ in range(REPEATS):
        for what, route in ((f"decide_batch of {BATCH}", in_batches), ("decide", one_by_one)):
            started = perf_counter()
            route()
            seconds = perf_counter() - started
            figures.setdefault(f"DecisionEngine.{what}", []).append(seconds / QUERIES * 1e6)
    return figures


if __name__ == "__main__":
    json.dump(_timed(sys.argv[1]), sys.stdout)
