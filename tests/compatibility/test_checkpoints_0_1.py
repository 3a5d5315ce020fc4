"""What version 0.1 trained and saved decides today as it did then."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from llmrouter.plugin_system import PluginRegistry
from llmrouter.routing import DecisionEngine, open_engine
from tests.compatibility.checkpoints_0_1.world import CHECKPOINTS, asked_of, configuration, recorded

FOLDER = Path(__file__).parent / "checkpoints_0_1"

pytestmark = pytest.mark.torch


@pytest.fixture
def hidden() -> tuple[str, ...]:
    return ()


@pytest.fixture(params=CHECKPOINTS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def engine(name: str) -> DecisionEngine:
    checkpoint = Path(f"{name}.safetensors")
    checkpoint.write_bytes(gzip.decompress((FOLDER / f"{name}.safetensors.gz").read_bytes()))
    shutil.copy(FOLDER / "candidates.json", "candidates.json")
    Path("config.yaml").write_text(json.dumps(configuration(name, checkpoint)))
    return open_engine(PluginRegistry(), CHECKPOINTS[name][0], "config.yaml")


def decisions_then(name: str) -> list[dict[str, Any]]:
    lines = (FOLDER / f"{name}.decisions.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def same(then: Any, now: Any) -> bool:
    """Compare, numbers but for what another processor rounds differently."""
    if isinstance(then, dict) and isinstance(now, dict):
        return then.keys() == now.keys() and all(same(then[key], now[key]) for key in then)
    return bool(then == (pytest.approx(now, rel=1e-5) if isinstance(now, float) else now))


def test_each_decision_is_what_it_was(name: str, engine: DecisionEngine) -> None:
    then = decisions_then(name)
    now = [recorded(engine.decide(query)) for query in asked_of(CHECKPOINTS[name][0])]
    assert len(then) == len(now) == 200
    assert [(a, b) for a, b in zip(then, now, strict=True) if not same(a, b)] == []


def test_a_batch_decides_the_same(name: str, engine: DecisionEngine) -> None:
    asked = asked_of(CHECKPOINTS[name][0])
    assert [getattr(decided, "model_name", decided) for decided in engine.decide_batch(asked)] == [
        decision["model_name"] for decision in decisions_then(name)
    ]
