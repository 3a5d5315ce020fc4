"""A small world: proofs are hard, poems are long, and the LLMs differ in what they do well."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from llmrouter_pareto.router import ParetoRouter

WORDS = ["river", "stone", "cloud", "garden", "winter", "number", "planet", "market", "letter", "window"]
CANDIDATES: dict[str, dict[str, Any]] = {
    "small": {"input_price": 0.1, "output_price": 0.4},
    "large": {"input_price": 2.0, "output_price": 8.0},
}


def texts(count: int, seed: int = 0) -> list[str]:
    """Different queries, every other of which asks to prove something."""
    draw = random.Random(seed)
    return [
        f"{'prove the theorem' if number % 2 else 'name a thing'} {' '.join(draw.sample(WORDS, 4))} {number}"
        for number in range(count)
    ]


def outcomes(queries: Sequence[str], llms: Sequence[str] = ("small", "large")) -> list[dict[str, Any]]:
    """The first LLM fails at proofs, the others do well; proofs are long, and longer with a later LLM."""
    return [
        {
            "query": query,
            "model_name": name,
            "performance": 0.0 if hard and number == 0 else 1.0,
            "prompt_tokens": 20,
            "completion_tokens": (400 if hard else 40) * (number + 1),
        }
        for query in queries
        for hard in [query.startswith("prove")]
        for number, name in enumerate(llms)
    ]


@pytest.fixture
def hidden() -> tuple[str, ...]:
    return ()


@pytest.fixture(scope="session")
def learned() -> bytes:
    """The checkpoint of a router that was trained on the small world."""
    from llmrouter_pareto import train

    return train(outcomes(texts(120)), CANDIDATES)


@pytest.fixture
def router(learned: bytes) -> ParetoRouter:
    from llmrouter_pareto import ParetoRouter

    return ParetoRouter.from_checkpoint(learned, CANDIDATES)


@pytest.fixture
def project(config: Callable[..., str]) -> Callable[..., str]:
    """Write routing data and a configuration; keywords are hyperparameters. Returns the configuration."""

    def project(rows: Any = None, candidates: Any = None, **hparam: Any) -> str:
        rows = outcomes(texts(120)) if rows is None else rows
        Path("train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return config(
            candidates or CANDIDATES,
            data_path={"routing_data_train": "train.jsonl"},
            model_path={"save_model_path": "model.safetensors"},
            hparam=hparam,
        )

    return project
