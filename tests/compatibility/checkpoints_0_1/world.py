"""The made-up world that the checkpoints of version 0.1 were trained in, and how they were.

Version 0.1 trained them and recorded its decisions: ``python -m tests.compatibility.checkpoints_0_1.world``.
A later version trains others, so running it again would record the wrong thing; it is kept to show where they
came from.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmrouter.decision import RoutingDecision

# Each kind of query with how well the small, the medium and the large LLM answer it, from 0 to 1.
KINDS: dict[str, tuple[float, float, float]] = {
    "What is the capital of {place}?": (0.97, 0.98, 0.99),
    "Translate the word {thing} into Spanish.": (0.9, 0.93, 0.95),
    "Write a short poem about a {thing} in {place}.": (0.7, 0.75, 0.8),
    "Summarise this in one sentence: the {thing} was left in {place} for {number} days.": (0.8, 0.88, 0.9),
    "A train leaves {place} at {number} km/h. When has it gone {more} km?": (0.25, 0.6, 0.92),
    "Write a Python function that sorts a list of {number} {thing}s by weight.": (0.4, 0.7, 0.88),
    "Prove that the sum of {number} consecutive odd numbers is divisible by {number}.": (0.08, 0.3, 0.72),
    "Explain in {number} steps how a {thing} is made.": (0.6, 0.75, 0.8),
    "Which is heavier, {number} {thing}s or {more} {thing}s, and why?": (0.5, 0.72, 0.9),
    "def f(x):\n    return x * {number} + {more}\n\nWhat does f({number}) return?": (0.2, 0.65, 0.94),
}
PLACES = ["Lisbon", "Nairobi", "Oslo", "Lima", "Kyoto", "Cairo", "Quebec", "Perth", "Tartu", "Bergen"]
THINGS = [
    "lantern",
    "bicycle",
    "kettle",
    "violin",
    "ladder",
    "compass",
    "teapot",
    "bridge",
    "carpet",
    "engine",
]
CANDIDATES: dict[str, dict[str, Any]] = {
    "small": {"size": "8B", "input_price": 0.1, "output_price": 0.2, "model": "vendor/small"},
    "medium": {"size": "70B", "input_price": 0.6, "output_price": 0.9, "model": "vendor/medium"},
    "large": {"size": "400B", "input_price": 3.0, "output_price": 15.0, "model": "vendor/large"},
}


def queries(count: int, seed: int) -> list[tuple[str, tuple[float, float, float]]]:
    """Return different queries, each with how well the LLMs answer it."""
    draw = random.Random(seed)
    found: dict[str, tuple[float, float, float]] = {}
    while len(found) < count:
        kind = draw.choice(list(KINDS))
        text = kind.format(
            place=draw.choice(PLACES),
            thing=draw.choice(THINGS),
            number=draw.randrange(2, 90),
            more=draw.randrange(100, 900),
        )
        found[text] = KINDS[kind]
    return list(found.items())


def performance_rows(tokens: bool) -> list[dict[str, Any]]:
    """Return one row for each of 400 queries and each LLM, with tokens or with USD."""
    draw = random.Random(5)
    rows = []
    for text, chances in queries(400, seed=1):
        for (name, candidate), chance in zip(CANDIDATES.items(), chances, strict=True):
            prompt, answer = len(text) // 4 + 8, draw.randrange(20, 60) + int(300 * (1 - chances[0]))
            usd = (prompt * candidate["input_price"] + answer * candidate["output_price"]) / 1e6
            spent = {"prompt_tokens": prompt, "completion_tokens": answer} if tokens else {"cost": usd}
            rows.append(
                {"query": text, "model_name": name, "performance": float(draw.random() < chance), **spent}
            )
    return rows


def vote_rows() -> list[dict[str, Any]]:
    """Return one row for each of 400 queries, with the LLM that was the best."""
    draw = random.Random(6)
    rows = []
    for text, chances in queries(400, seed=1):
        good = [name for name, chance in zip(CANDIDATES, chances, strict=True) if draw.random() < chance]
        rows.append({"query": text, "best_llm": (good or ["large"])[0]})
    return rows


# Each checkpoint: its router, the rows that it learned from, and its hyperparameters.
CHECKPOINTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "threshold-gain": (
        "thresholdrouter",
        "tokens",
        {"small_model": "small", "large_model": "large", "embedding_dim": 32, "strong_share": 0.4},
    ),
    "threshold-hidden": (
        "thresholdrouter",
        "tokens",
        {
            "small_model": "small",
            "large_model": "large",
            "embedding_dim": 1,
            "hidden_dim": 2,
            "quality": 0.8,
            "train_epoch": 3,
        },
    ),
    "threshold-tiers": ("thresholdrouter", "votes", {"target": "difficulty", "embedding_dim": 32}),
    "pareto-tokens": ("paretorouter", "tokens", {"cost_constraint": 0.0025, "neighbors": 50, "memory": 200}),
    "pareto-usd": ("paretorouter", "usd", {"quality_constraint": 0.7, "neighbors": 50, "memory": 200}),
    "knn-costs": ("knnrouter", "usd", {"k": 40, "trade_off": 20.0}),
    "knn-votes": ("knnrouter", "votes", {"k": 40}),
}
ROWS = {"tokens": lambda: performance_rows(True), "usd": lambda: performance_rows(False), "votes": vote_rows}


def write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows as JSON lines."""
    path.write_text("".join(json.dumps(row, sort_keys=True) + "\n" for row in rows), encoding="utf-8")


def configuration(name: str, checkpoint: Path) -> dict[str, Any]:
    """Return the configuration of one of the checkpoints; paths are relative to the current folder."""
    _, kind, hparam = CHECKPOINTS[name]
    return {
        "data_path": {"llm_data": "candidates.json", "routing_data_train": f"{kind}.jsonl"},
        "model_path": {"save_model_path": str(checkpoint), "load_model_path": str(checkpoint)},
        "hparam": hparam,
    }


def asked_of(router: str) -> list[dict[str, Any]]:
    """Return the queries; of a router that keeps constraints, some bring their own."""
    own: list[dict[str, Any]] = [
        {},
        {"allowed_llms": ["small", "large"]},
        {"routing_constraint": {"quality_constraint": {"numeric_value": 0.85}}},
        {"routing_constraint": {"cost_constraint": {"model_name": "medium"}}},
        {"max_tokens": 20},
    ]
    lines = Path(__file__).with_name("queries.jsonl").read_text(encoding="utf-8").splitlines()
    extra = own if router == "paretorouter" else own[:2]
    return [{**json.loads(line), **extra[number % len(extra)]} for number, line in enumerate(lines)]


def recorded(decision: RoutingDecision) -> dict[str, Any]:
    """Return what is compared of a decision."""
    return {
        "model_name": decision.model_name,
        "scores": decision.scores,
        "confidence": decision.confidence,
        "expected_cost": decision.expected_cost,
        "constraint": decision.constraint,
        "fallback": decision.fallback,
    }


def main() -> None:
    """Train every router and record what it decides, into this folder."""
    from llmrouter.plugin_system import PluginRegistry
    from llmrouter.routing import open_engine
    from llmrouter_cli.__main__ import run

    folder = Path(__file__).parent
    write_lines(folder / "queries.jsonl", [{"query": text} for text, _ in queries(200, seed=2)])
    (folder / "candidates.json").write_text(json.dumps(CANDIDATES, indent=2) + "\n", encoding="utf-8")
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        shutil.copy(folder / "candidates.json", work)
        for kind, rows in ROWS.items():
            write_lines(Path(f"{kind}.jsonl"), rows())
        for name, (router, _, _) in CHECKPOINTS.items():
            checkpoint = Path(f"{name}.safetensors")
            Path("config.yaml").write_text(json.dumps(configuration(name, checkpoint)), encoding="utf-8")
            if run(["train", "--router", router, "--config", "config.yaml"]):
                raise SystemExit(f"{name} was not trained")
            # Most of a checkpoint is zeros: features that no query of this world has.
            (folder / f"{name}.safetensors.gz").write_bytes(gzip.compress(checkpoint.read_bytes(), mtime=0))
            engine = open_engine(PluginRegistry(), router, "config.yaml")
            write_lines(
                folder / f"{name}.decisions.jsonl", map(recorded, map(engine.decide, asked_of(router)))
            )


if __name__ == "__main__":
    main()
