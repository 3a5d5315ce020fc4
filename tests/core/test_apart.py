"""Plugins are imported in processes of their own, whatever they do there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from llmrouter.plugin_system import apart
from llmrouter.plugin_system.apart import Imported, import_apart

Import = Callable[..., Imported]


@pytest.fixture
def imported(install: Callable[..., Path]) -> Import:
    """Import a plugin module, and the name `Code` of another one, of these sources."""

    def imported(plugin: str, code: str = "class Code: ...", target: str = "fake_plugin") -> Imported:
        install("llmrouter-mine", {"fake_plugin": plugin, "fake_code": code}, {"mine": target})
        return import_apart(target, ["fake_code:Code"])

    return imported


@pytest.mark.processes
def test_what_the_plugin_module_imports_is_told_and_not_what_its_targets_do(imported: Import) -> None:
    found = imported("import asyncio", "import wave\nclass Code: ...")
    assert {"fake_plugin", "asyncio"} <= set(found.modules)
    assert not {"wave", "fake_code"} & set(found.modules)
    assert found.problem is None
    assert 0 < found.ms < 10_000


@pytest.mark.processes
def test_an_entry_point_may_name_an_object(imported: Import) -> None:
    assert imported("class Plugin: ...", target="fake_plugin:Plugin").problem is None


@pytest.mark.processes
def test_output_of_all_is_caught(imported: Import) -> None:
    found = imported(
        "print('one')", "import sys\nprint('two')\nprint('three', file=sys.stderr)\nclass Code: ..."
    )
    assert (found.out, found.err) == ("one\ntwo\n", "three\n")


@pytest.mark.processes
@pytest.mark.parametrize(
    ("plugin", "code", "problem"),
    [
        ("1 / 0", "", "ZeroDivisionError: division by zero (fake_plugin.py, line 1)"),
        ("raise KeyboardInterrupt", "", "KeyboardInterrupt (fake_plugin.py, line 1)"),
        ("", "raise SystemExit(3)", "SystemExit: 3 (fake_code.py, line 1)"),
        ("", "", "AttributeError: module 'fake_code' has no attribute 'Code'"),
        ("import os; os._exit(3)", "", "importing it ended the process with status 3: it said nothing"),
        (
            "",
            "import os\nos.write(2, b'no!')\nos._exit(0)",
            "importing it ended the process with status 0: no!",
        ),
    ],
)
def test_why_it_cannot_be_imported(imported: Import, plugin: str, code: str, problem: str) -> None:
    assert str(imported(plugin, code).problem).startswith(problem)


@pytest.mark.processes
def test_what_takes_too_long_is_ended(imported: Import, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "TIMEOUT", 0.5)
    assert imported("import time; time.sleep(60)").problem == "it was not imported within 0.5 s"
