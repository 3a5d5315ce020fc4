"""A small world of two subjects, in which each of two LLMs knows one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from llmrouter_knn.router import KnnRouter
from llmrouter_knn.trainer import KnnTrainer

CANDIDATES = {"botanist": {"cost": 1}, "sailor": {"cost": 2}}
PLANTS = ["oak leaf", "rose garden", "pine needle", "moss on a stone", "fern in the shade", "tulip bulb"]
SHIPS = ["sail and mast", "anchor chain", "harbour pilot", "storm at sea", "compass course", "rope and knot"]


def outcomes(**costs: float) -> list[dict[str, Any]]:
    """Routing data: who knows the subject is right."""
    rows: list[dict[str, Any]] = [
        {"query": f"tell me of the {subject}", "model_name": name, "performance": float(name == knows)}
        for knows, subjects in (("botanist", PLANTS), ("sailor", SHIPS))
        for subject in subjects
        for name in CANDIDATES
    ]
    return [{**row, "cost": costs[row["model_name"]]} if costs else row for row in rows]


@pytest.fixture
def hidden() -> tuple[str, ...]:
    return ()


@pytest.fixture
def configured(tmp_path: Path) -> Callable[..., Path]:
    """Write a configuration, with its candidates and routing data, and return its path."""

    def configured(
        rows: Sequence[Mapping[str, Any]] | None = None,
        candidates: Mapping[str, Any] = CANDIDATES,
        **hparam: Any,
    ) -> Path:
        (tmp_path / "llms.json").write_text(json.dumps(candidates))
        (tmp_path / "train.jsonl").write_text(
            "".join(json.dumps(row) + "\n" for row in (outcomes() if rows is None else rows))
        )
        config = tmp_path / "config.yaml"
        sections = {
            "data_path": {"llm_data": "llms.json", "routing_data_train": "train.jsonl"},
            "model_path": {"save_model_path": str(tmp_path / "knn.safetensors")},
            "hparam": {"k": 3, **hparam},
        }
        config.write_text(json.dumps(sections))
        return config

    return configured


@pytest.fixture
def trained(configured: Callable[..., Path]) -> Callable[..., KnnRouter]:
    """Train a router; arguments as of `configured`."""

    def trained(*arguments: Any, **hparam: Any) -> KnnRouter:
        router = KnnRouter(str(configured(*arguments, **hparam)))
        KnnTrainer(router, router.cfg).train()
        return router

    return trained
