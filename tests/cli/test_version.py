"""`llmrouter version` shows which versions are at work."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llmrouter


def test_core_python_and_plugins(invoke: Callable[..., Any], install: Callable[..., Path]) -> None:
    install("llmrouter-own", {"fake_own": ""}, {"own": "fake_own"}, version="2.5rc1")
    done = invoke("version")
    assert (done.status, done.err) == (0, "")
    assert {row["name"]: row["version"] for row in done.json} == {
        "llmrouter-core": llmrouter.__version__,
        "llmrouter-cli": "0.1.0",
        "llmrouter-random": "0.1.0",
        "llmrouter-own": "2.5rc1",
        "python": platform.python_version(),
    }


def test_a_broken_plugin_has_a_version_too(invoke: Callable[..., Any], install: Callable[..., Path]) -> None:
    install("llmrouter-broken", {"fake_broken": "1 / 0"}, {"broken": "fake_broken"})
    assert {"name": "llmrouter-broken", "version": "1.0"} in invoke("version").json


def test_on_a_terminal_it_is_a_table(terminal: Callable[..., Any]) -> None:
    lines = [line.split() for line in terminal("version").out.splitlines()]
    assert lines[0] == ["Name", "Version"]
    assert ["llmrouter-core", llmrouter.__version__] in lines
    assert json.loads(terminal("version", "--json").out)[0]["name"] == "llmrouter-core"
