"""A small world in which the queries that ask to prove something are hard."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from llmrouter_threshold.router import ThresholdRouter
    from llmrouter_threshold.trainer import ThresholdTrainer

WORDS = [
    *("river", "stone", "cloud", "garden", "winter", "number"),
    *("theorem", "planet", "market", "letter", "window", "engine"),
]


def texts(count: int, seed: int = 0) -> list[str]:
    """Different queries, of which one in four asks to prove something."""
    draw = random.Random(seed)
    return [
        f"{'prove' if number % 4 == 0 else 'name'} {number} {' '.join(draw.sample(WORDS, 4))}"
        for number in range(count)
    ]


def performances(queries: Sequence[str]) -> list[dict[str, Any]]:
    """What the small LLM does well on easy queries, and the large one on all."""
    return [
        {"query": query, "model_name": name, "performance": good}
        for query in queries
        for name, good in (("small", 0.0 if query.startswith("prove") else 1.0), ("large", 1.0))
    ]


@pytest.fixture
def hidden() -> tuple[str, ...]:
    return ()


@pytest.fixture
def project(config: Callable[..., str]) -> Callable[..., str]:
    """Write routing data and a configuration; keywords are hyperparameters. Returns the configuration."""

    def project(
        rows: Any = None, candidates: Any = None, *, query_data_train: str | None = None, **hparam: Any
    ) -> str:
        rows = performances(texts(160)) if rows is None else rows
        Path("train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        sections: dict[str, Any] = {
            "data_path": {"routing_data_train": "train.jsonl", "query_data_train": query_data_train},
            "model_path": {"save_model_path": "model.safetensors"},
            "hparam": {"train_epoch": 5, "learning_rate": 0.05, **hparam},
        }
        return config(candidates, **sections) if candidates else config(**sections)

    return project


@pytest.fixture
def trainer(project: Callable[..., str]) -> Callable[..., ThresholdTrainer]:
    """Make a trainer and its router; arguments are those of `project`."""

    def trainer(*arguments: Any, **hparam: Any) -> ThresholdTrainer:
        from llmrouter_threshold.router import ThresholdRouter
        from llmrouter_threshold.trainer import ThresholdTrainer

        router = ThresholdRouter(project(*arguments, **hparam))
        return ThresholdTrainer(router, router.cfg)

    return trainer


@pytest.fixture
def trained(trainer: Callable[..., ThresholdTrainer]) -> Callable[..., ThresholdRouter]:
    """Train a router and save it to model.safetensors; arguments are those of `project`."""

    def trained(*arguments: Any, **hparam: Any) -> ThresholdRouter:
        made = trainer(*arguments, **hparam)
        made.train()
        return made.router

    return trained


@pytest.fixture
def loaded() -> Callable[..., ThresholdRouter]:
    """Make a router with the configuration there is, and load a checkpoint."""

    def loaded(path: str = "model.safetensors") -> ThresholdRouter:
        from llmrouter_threshold.router import ThresholdRouter

        router = ThresholdRouter("config.yaml")
        router.load_router(path)
        return router

    return loaded


@pytest.fixture
def unseen() -> list[dict[str, Any]]:
    """Queries that are in no routing data."""
    return [{"query": text} for text in texts(100, seed=1)]
