"""A plugin of the first version, built and installed as it was published, beside the wheels of today."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.compatibility.old_plugin import FOLDER
from tests.packaging.conftest import build_into

pytestmark = pytest.mark.slow

Command = Callable[..., Any]


@pytest.fixture(scope="module")
def frozen_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_into(tmp_path_factory.mktemp("frozen"), FOLDER, "--wheel")


def test_it_is_installed_listed_trained_and_routes(
    bare: Any, frozen_wheel: Path, llmrouter: Command, config: Callable[..., str]
) -> None:
    bare.pip("install", frozen_wheel)
    assert "No broken requirements" in bare.pip("check")

    rows = {row["name"]: row for row in json.loads(llmrouter("list-routers", "--json").stdout)}
    assert (rows["frozen"]["state"], rows["frozen"]["version"]) == ("ready", "1.0.3")
    states = {row["name"]: row["state"] for row in json.loads(llmrouter("plugins", "--json").stdout)}
    assert states == {"frozen": "ready", "randomrouter": "ready"}

    Path("routing.jsonl").write_text('{"query": "Hello", "model_name": "small", "performance": 1.0}\n')
    path = config(data_path={"routing_data_train": "routing.jsonl"}, model_path={"save_model_path": "saved"})
    using = ("--router", "frozen", "--config", path)
    asking = (*using, "--query", "hello there", "--route-only")
    before = json.loads(llmrouter("infer", *asking).stdout)
    assert (before["model_name"], before["extra"]) == ("small", {"max_length": 20})
    assert json.loads(llmrouter("train", *using).stdout)["saved"] == "saved"
    after = json.loads(llmrouter("infer", *asking, "--load-model-path", "saved").stdout)
    assert (after["model_name"], after["extra"]) == ("large", {"max_length": 5.0})

    assert llmrouter("frozen").stdout == "frozen, frozen-torch, randomrouter\n"
