"""A plugin that was written against the first version works as it did, on the llmrouter of today."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmrouter.encoders import create_encoder
from llmrouter.hookspecs import API_VERSION
from llmrouter.plugin_system import PluginRegistry
from llmrouter.routing import open_engine
from tests.compatibility import old_plugin

Invoke = Callable[..., Any]

SHORT, LONG = "Hi", "What is machine learning, and why?"
LENGTHS = [{"query": "x" * length, "model_name": "small", "performance": 1.0} for length in (10, 70)]

pytestmark = pytest.mark.skipif(API_VERSION[0] != 1, reason="the version that it was written against is gone")


@pytest.fixture(autouse=True)
def frozen(install: Callable[..., Path]) -> None:
    project = old_plugin.read_project()
    install(project.name, project.modules, project.entry_points, project.version, project.requires)


@pytest.fixture
def path(config: Callable[..., str], write: Callable[[str, str], Path]) -> str:
    write("routing.jsonl", "".join(json.dumps(row) + "\n" for row in LENGTHS))
    return config(
        data_path={"routing_data_train": "routing.jsonl"},
        model_path={"save_model_path": "saved/model"},
        hparam={"train_epoch": 2},
    )


def decided(invoke: Invoke, path: str, query: str, *more: str) -> Any:
    done = invoke("infer", "--router", "frozen", "--config", path, "--query", query, "--route-only", *more)
    assert done.status == 0, done.err
    return done.json


def test_it_is_as_it_was_written() -> None:
    # Not to be brought up to date: see the README.md in the folder.
    assert old_plugin.digest() == "c3018c9b9defcffee6cd418464943cbb3d341d272f8c57c29f4f2fa0e463784a"


def test_it_is_loaded_with_all_its_hooks() -> None:
    registry = PluginRegistry()
    (plugin,) = [plugin for plugin in registry.plugins if plugin.name == "frozen"]
    assert (plugin.state, plugin.reason) == ("ready", None)
    kinds = ("routers", "trainers", "encoders", "judges", "commands")
    hooks = {*(f"llmrouter_register_{kind}" for kind in kinds), "llmrouter_after_route"}
    assert hooks <= set(plugin.hooks)
    assert len(plugin.declared) == 9


def test_it_is_listed(invoke: Invoke) -> None:
    rows = {row["name"]: row for row in invoke("list-routers").json}
    row = rows["frozen"]
    assert (row["state"], row["trainable"], row["origin"]) == ("ready", True, "llmrouter-frozen")
    assert (row["version"], row["summary"]) == ("1.0.3", "Goes by length.")
    assert (rows["frozen-torch"]["state"], rows["frozen-torch"]["summary"]) == ("ready", "")


def test_it_routes_and_all_that_it_tells_arrives(invoke: Invoke, path: str) -> None:
    assert decided(invoke, path, SHORT)["model_name"] == "small"
    decision = decided(invoke, path, LONG)
    assert decision.pop("latency_ms") >= 0
    assert decision == {
        "model_name": "large",
        "predicted_llm": "large",
        "query": LONG,
        "id": None,
        "scores": {"small": 0.0, "large": 1.0},
        "confidence": 0.75,
        "expected_cost": 0.001,
        "constraint": {"kind": "length"},
        "fallback": False,
        "fallback_reason": None,
        "router": "frozen",
        "router_version": "1.0.3",
        "extra": {"max_length": 20},
    }


def test_it_routes_files_and_its_errors_concern_single_rows(
    invoke: Invoke, path: str, write: Callable[[str, str], Path]
) -> None:
    write("in.txt", f"{SHORT}\nunroutable\n{LONG}\n")
    done = invoke("infer", "--router", "frozen", "--config", path, "--input", "in.txt", "--route-only")
    assert done.status == 1
    rows = {row["query"]: row for row in done.lines}
    assert (rows[SHORT]["model_name"], rows[LONG]["model_name"]) == ("small", "large")
    assert "it was told to fail" in rows["unroutable"]["error"]


def test_it_observes_what_is_decided(path: str) -> None:
    open_engine(PluginRegistry(), "frozen", path).decide({"query": LONG, "id": 7})
    seen = importlib.import_module("llmrouter_frozen.plugin").SEEN
    assert seen == [(LONG, "large", "frozen", {"max_length": 20})]


def test_it_trains_and_loads_what_it_learned(invoke: Invoke, path: str) -> None:
    done = invoke("train", "--router", "frozen", "--config", path)
    assert done.status == 0, done.err
    assert done.json["saved"] == "saved/model"
    assert decided(invoke, path, LONG, "--load-model-path", "saved/model")["model_name"] == "small"


@pytest.mark.torch
def test_its_torch_model_is_trained_saved_and_loaded(invoke: Invoke, path: str) -> None:
    pytest.importorskip("torch")
    using = ("--router", "frozen-torch", "--config", path)
    done = invoke("train", *using)
    assert done.status == 0, done.err
    loading = ("--load-model-path", "saved/model", "--query", SHORT, "--route-only")
    assert invoke("infer", *using, *loading).json["model_name"] == "large"


def test_its_encoder_is_chosen_by_name(frozen: None) -> None:
    encoder = create_encoder("frozen-letters:an argument")
    encoder.fit(["ab", "abcd"])
    assert encoder.encode(["abba"])[0][:3].tolist() == [0.5, 0.5, 0.0]
    again = create_encoder("frozen-any")
    again.restore(*encoder.state())
    assert again.encode(["abba"]).tolist() == encoder.encode(["abba"]).tolist()  # type: ignore[union-attr]


def test_its_judge_scores() -> None:
    registry = PluginRegistry()
    judge = registry.load(registry.judges["frozen-brevity"])({"model_type": "frozen-brevity", "limit": 10})
    request = {"messages": [{"role": "user", "content": SHORT}]}
    judgement = judge.score(request, {"role": "assistant", "content": "Hello"})
    assert (judgement.score, judgement.reason, judgement.cost) == (5.0, "5 characters", 0.0)
    assert (judge.min_score, judge.max_score) == (0.0, 10.0)


def test_its_command_is_one_of_ours(invoke: Invoke) -> None:
    assert invoke("frozen", "--upper").out == "FROZEN, FROZEN-TORCH, RANDOMROUTER\n"
    assert "Print the routers there are." in invoke("--help").out
