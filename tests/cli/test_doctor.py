"""`llmrouter doctor` tells what is broken, what is slow, and which keys are set, but never a key."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import llmrouter

SECRET = "sk-7e1f-not-to-be-shown"


def findings(done: Any, check: str) -> list[tuple[str, str]]:
    """Status and detail of each finding of a check."""
    return [(row["status"], row["detail"]) for row in done.json if row["check"] == check]


def test_a_sound_installation(invoke: Callable[..., Any]) -> None:
    done = invoke("doctor")
    assert (done.status, done.err) == (0, "")
    assert all(set(row) == {"check", "status", "detail"} for row in done.json)
    assert {row["status"] for row in done.json} <= {"ok", "note"}
    assert findings(done, "python") == [("ok", f"{platform.python_version()} at {sys.executable}")]
    ((status, detail),) = findings(done, "environment")
    assert status == "ok"
    assert sys.prefix in detail
    version = llmrouter.__version__
    assert findings(done, "versions") == [("ok", f"llmrouter-core {version}, llmrouter-cli {version}")]
    ((status, detail),) = findings(done, "plugin randomrouter")
    assert status == "ok"
    assert detail.startswith("llmrouter-random 0.1.0, ")
    assert findings(done, "plugin API") == [("ok", "1.0")]
    assert findings(done, "llmrouter-lib") == []


@pytest.mark.parametrize("name", ["llmrouter-lib", "LLMRouter_Lib"])
def test_llmrouter_lib_beside_us_is_an_error(
    invoke: Callable[..., Any], install: Callable[..., Path], name: str
) -> None:
    install(name, {}, {}, version="0.3.1")
    done = invoke("doctor")
    assert done.status == 1
    ((status, detail),) = findings(done, "llmrouter-lib")
    assert status == "error"
    assert detail.startswith("llmrouter-lib 0.3.1 is installed too")
    assert "uninstall it" in detail


def test_versions_that_do_not_belong_together(
    invoke: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llmrouter, "__version__", "0.1.5")
    done = invoke("doctor")
    ((status, detail),) = findings(done, "versions")
    assert (status, done.status) == ("warning", 0)
    assert detail == "llmrouter-core 0.1.5, llmrouter-cli 0.1.0; upgrade both together"


@pytest.mark.parametrize(("milliseconds", "status"), [(0, "ok"), (60, "warning")])
def test_a_slow_plugin_module_is_a_warning(
    invoke: Callable[..., Any], install: Callable[..., Path], milliseconds: int, status: str
) -> None:
    source = f"import time\ntime.sleep({milliseconds} / 1000)\n"
    install("llmrouter-slow", {"fake_slow": source}, {"slow": "fake_slow"})
    # On a busy machine a quick one may be slow once.
    for _ in range(10):
        done = invoke("doctor")
        assert done.status == 0
        ((found, detail),) = findings(done, "plugin slow")
        if found == status:
            break
    assert found == status
    assert ("slows every command" in detail) == (status == "warning")


@pytest.mark.torch
def test_a_plugin_module_that_imports_torch_is_a_warning(
    command: Callable[..., Any], install: Callable[..., Path]
) -> None:
    install("llmrouter-heavy", {"fake_heavy": "import torch"}, {"heavy": "fake_heavy"})
    done = command("doctor")
    assert done.status == 0
    ((status, detail),) = findings(done, "plugin heavy")
    assert status == "warning"
    assert detail.startswith("llmrouter-heavy 1.0: its plugin module imports torch; ")


@pytest.mark.parametrize(
    ("source", "requires", "state"),
    [("1 / 0", (), "failed"), ("", ("llmrouter-core>=9",), "incompatible")],
)
def test_a_plugin_that_cannot_be_used_is_an_error(
    invoke: Callable[..., Any],
    install: Callable[..., Path],
    source: str,
    requires: tuple[str, ...],
    state: str,
) -> None:
    install("llmrouter-broken", {"fake_broken": source}, {"broken": "fake_broken"}, requires=requires)
    done = invoke("doctor")
    assert done.status == 1
    ((status, detail),) = findings(done, "plugins")
    assert status == "error"
    assert detail.startswith(f"plugin 'broken' of llmrouter-broken 1.0, {state}: ")
    assert findings(done, "plugin broken") == []


def test_a_folder_that_cannot_be_used_is_an_error(
    invoke: Callable[..., Any], write: Callable[[str, str], Path]
) -> None:
    write("custom_routers/broken/router.py", "import (")
    done = invoke("doctor")
    assert done.status == 1
    ((status, detail),) = findings(done, "plugins")
    assert status == "error"
    assert "router 'broken' in " in detail
    assert "SyntaxError" in detail


def test_what_is_left_out_is_no_trouble(invoke: Callable[..., Any]) -> None:
    assert invoke("--no-plugin", "llmrouter-random", "doctor").status == 0


def test_a_misspelt_block_is_an_error(invoke: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMROUTER_BLOCK_PLUGINS", "randomruoter")
    done = invoke("doctor")
    assert done.status == 1
    assert ("note", "LLMROUTER_BLOCK_PLUGINS=randomruoter") in findings(done, "environment")
    ((status, detail),) = findings(done, "plugins")
    assert status == "error"
    assert "'randomruoter'" in detail


def test_a_command_whose_name_is_built_in_is_a_warning(
    invoke: Callable[..., Any], install: Callable[..., Path]
) -> None:
    source = """
        from llmrouter import CommandSpec, hookimpl

        @hookimpl
        def llmrouter_register_commands():
            return [CommandSpec("train", "fake_own:train")]
    """
    install("llmrouter-own", {"fake_own": source}, {"own": "fake_own"})
    done = invoke("doctor")
    assert done.status == 0
    ((status, detail),) = findings(done, "commands")
    assert status == "warning"
    assert detail.startswith("command 'train' of llmrouter-own 1.0 is built in")


def test_search_paths(
    invoke: Callable[..., Any], router: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    router()
    Path("empty").mkdir()
    monkeypatch.setenv("LLMROUTER_PLUGINS", "empty:nowhere")
    done = invoke("doctor")
    assert done.status == 1
    details = dict(detail.rpartition(": ")[::2] for _, detail in findings(done, "search path"))
    assert details == {
        str(Path("custom_routers").absolute()): "mine",
        str(Path("~/.llmrouter/plugins").expanduser()): "not there",
        str(Path("empty").absolute()): "no router",
    }
    ((status, detail),) = findings(done, "plugins")
    assert (status, detail) == ("error", f"plugin directory {Path('nowhere').absolute()} does not exist")


def test_extras_that_are_missing(invoke: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = {"torch": ["torch>=2", "safetensors>=0.4"], "numpy": []}
    monkeypatch.setattr("llmrouter_cli.commands.doctor.missing_extras", lambda: lacking)
    done = invoke("doctor")
    assert done.status == 0
    assert findings(done, "extra numpy") == [("ok", "installed")]
    assert findings(done, "extra torch") == [
        (
            "note",
            "not installed: torch>=2, safetensors>=0.4; pip install 'llmrouter-core[torch]' adds it",
        )
    ]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("LLMROUTER_CONFG", "LLMROUTER_CONFIG"),
        ("LLMROUTER_PLUGIN", "LLMROUTER_PLUGINS"),
        ("LLMROUTER_BLOCKED_PLUGINS", "LLMROUTER_BLOCK_PLUGINS"),
        ("LLMROUTER_APIKEY", "LLMROUTER_API_KEY"),
        ("llmrouter_lifecycle", "LLMROUTER_LIFECYCLE"),
        ("LLM_ROUTER_CONFIG", "LLMROUTER_CONFIG"),
        ("LLMROUTE_PLUGINS", "LLMROUTER_PLUGINS"),
    ],
)
def test_a_misspelt_variable_is_a_warning_with_what_was_meant(
    invoke: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, name: str, meant: str
) -> None:
    monkeypatch.setenv(name, SECRET)
    done = invoke("doctor")
    assert ("warning", f"{name} is unknown; did you mean {meant}?") in findings(done, "environment")
    assert (done.status, SECRET in done.out + done.err) == (0, False)


def test_other_variables_are_somebody_elses(
    invoke: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMROUTER_LIFECYCLE", "life.db")
    monkeypatch.setenv("LLM_MODEL", "x")
    monkeypatch.setenv("LLMROUTER_SMELL", "x")
    found = findings(invoke("doctor"), "environment")
    assert [status for status, _ in found] == ["ok", "note"]
    assert found[1][1].startswith("LLMROUTER_SMELL is not read by llmrouter; there are LLMROUTER_PLUGINS, ")


class TestKeys:
    def test_none(self, invoke: Callable[..., Any]) -> None:
        assert findings(invoke("doctor"), "keys") == [("note", "none is set")]

    @pytest.mark.parametrize("name", ["API_KEYS", "NVIDIA_API_KEY", "X_API_KEY"])
    def test_only_the_name_is_shown(
        self, invoke: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.setenv(name, SECRET)
        done = invoke("doctor", "--debug")
        assert findings(done, "keys") == [("ok", f"set: {name}")]
        assert SECRET not in done.out + done.err

    def test_several(self, invoke: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("OPENAI_API_KEY", "API_KEYS"):
            monkeypatch.setenv(name, SECRET)
        monkeypatch.setenv("NO_KEY", SECRET)
        done = invoke("doctor")
        assert findings(done, "keys") == [("ok", "set: API_KEYS, OPENAI_API_KEY")]
        assert SECRET not in done.out

    @pytest.mark.parametrize("value", ["", "  "])
    def test_set_but_empty(
        self, invoke: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, value: str
    ) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", value)
        done = invoke("doctor")
        assert findings(done, "keys") == [
            ("note", "none is set"),
            ("warning", "OPENAI_API_KEY is set but empty"),
        ]
        assert done.status == 0

    @pytest.mark.parametrize(
        ("name", "value", "told"),
        [
            ("API_KEYS", f'{{"openai": "{SECRET}"', "API_KEYS begins like JSON and is not valid JSON"),
            ("API_KEYS", f'{{"openai": {{"key": "{SECRET}"}}}}', "API_KEYS holds something other than keys"),
            ("API_KEYS", f"{SECRET} two", "API_KEYS holds a key with blanks"),
            ("OPENAI_API_KEY", f"{SECRET}\nx", "OPENAI_API_KEY holds a key with blanks"),
        ],
    )
    def test_malformed_ones_are_an_error_and_not_shown(
        self,
        invoke: Callable[..., Any],
        monkeypatch: pytest.MonkeyPatch,
        name: str,
        value: str,
        told: str,
    ) -> None:
        monkeypatch.setenv(name, value)
        done = invoke("doctor", "--debug")
        assert done.status == 1
        (known, (status, detail)) = findings(done, "keys")
        assert known == ("ok", f"set: {name}")
        assert (status, detail.startswith(told)) == ("error", True)
        assert SECRET not in done.out + done.err


def test_on_a_terminal_it_is_a_table(terminal: Callable[..., Any]) -> None:
    done = terminal("doctor")
    lines = done.out.splitlines()
    assert lines[0].split() == ["Check", "Status", "Detail"]
    assert all(len(line) <= 80 for line in lines)
    assert json.loads(terminal("doctor", "--json").out)[0]["check"] == "python"
