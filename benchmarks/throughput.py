"""How long a file of a million queries takes, and how much memory."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from pathlib import Path

from paired import run
from result import Result
from surroundings import Bare, folder, make_config

QUERIES = 1_000_000
RUNS = 3
TEXTS = (
    "What is machine learning?",
    "Translate thank you into Italian.",
    "Explain step by step how antibiotic resistance spreads, and derive a simple model for its frequency.",
    "¿Cómo creo una lista vacía en Python?",
)


def measure(bare: Bare) -> Iterator[Result]:
    """Route a million queries from JSON lines to JSON lines."""
    queries, answers = _write_queries(), folder("throughput") / "answers.jsonl"
    files = ("--input", queries, "--output", answers)
    using = ("--router", "randomrouter", "--config", make_config())
    runs = []
    for _ in range(RUNS):
        runs.append(run(bare.llmrouter("infer", *using, *files, "--route-only")))
        with answers.open("rb") as stream:
            if sum(1 for _ in stream) != QUERIES:
                raise RuntimeError(f"{answers} does not hold {QUERIES} rows")
        answers.unlink()
    queries.unlink()
    what = f"{QUERIES:,} queries, JSONL to JSONL"
    seconds = [one.seconds for one in runs]
    yield Result(what, statistics.median(seconds), min(seconds), max(seconds), 4, "s")
    peaks = [one.peak / 1e6 for one in runs]
    yield Result(f"{what}, peak memory", statistics.median(peaks), min(peaks), max(peaks), 80, "MB")


def _write_queries() -> Path:
    path = folder("throughput") / "queries.jsonl"
    texts = [json.dumps(text, ensure_ascii=False) for text in TEXTS]
    with path.open("w", encoding="utf-8") as stream:
        for number in range(QUERIES):
            stream.write(f'{{"id":"query-{number}","query":{texts[number % len(texts)]}}}\n')
    return path
