"""`llmrouter install`, `uninstall` and `plugins restore`, with pip, in an environment of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

SOURCE = """
from llmrouter import RouterSpec, hookimpl

@hookimpl
def llmrouter_register_routers():
    return [RouterSpec("managedrouter", "llmrouter_random.router:RandomRouter")]
"""


def test_a_plugin_comes_goes_and_comes_back(
    bare: Any, llmrouter: Callable[..., Any], wheel: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    built = wheel(
        "llmrouter-managed", {"llmrouter_managed/__init__.py": SOURCE}, {"managed": "llmrouter_managed"}
    )
    bare.pip("install", "pip")
    # As from an index, but of this folder alone.
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(built.parent))

    done = llmrouter("install", "managed")
    assert done.stdout == ""
    assert "adds managedrouter" in done.stderr
    assert "managedrouter" in llmrouter("list-routers").stdout
    assert "No plugin was added" in llmrouter("install", str(built)).stderr

    llmrouter("plugins", "export", "plugins.txt")
    assert llmrouter("uninstall", "managed", status=130).stderr.startswith("Remove llmrouter-managed")
    llmrouter("uninstall", "managed", "--yes")
    assert "managedrouter" not in llmrouter("list-routers").stdout

    assert "Restored llmrouter-managed==" in llmrouter("plugins", "restore", "plugins.txt").stderr
    assert "managedrouter" in llmrouter("list-routers").stdout

    done = llmrouter("install", "nosuchplugin", status=1)
    assert "Error: pip failed with status 1" in done.stderr
