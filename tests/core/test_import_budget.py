"""What starts often imports little: each heavy package only where it is needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SHOW = "import json, sys\n{}\nsys.stderr.write('MODULES ' + json.dumps(sorted(sys.modules)))"
COMMAND = SHOW.format("from llmrouter_cli.__main__ import run\nassert run({!r}) == 0")

HEAVY = {"torch", "rich", "numpy", "transformers", "pandas", "asyncio", "http.client"}
# What calls LLMs: not imported to list routers or to decide.
HEAVY |= {"anyio", "httpx", "httpx2", "openai", "pydantic", "llmrouter.completion.client"}
FILES = {"yaml", "msgspec"}


def imported(source: str, **environ: str) -> set[str]:
    """Return the modules in a process of its own after it ran `source`, which shows them."""
    done = subprocess.run(
        [sys.executable, "-c", source],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **environ},
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.partition("MODULES ")[2]))


@pytest.fixture
def fifty_routers(install: Callable[..., Path]) -> None:
    """Install plugins whose routers would give themselves away."""
    names = [f"fake_{number}" for number in range(50)]
    source = (
        "from llmrouter import RouterSpec, hookimpl\n@hookimpl\ndef llmrouter_register_routers():\n"
        "    return [RouterSpec(__name__.replace('_', '-'), 'fake_router.' + __name__ + ':Router')]\n"
    )
    install("llmrouter-fifty", dict.fromkeys(names, source), {name: name for name in names})


def test_importing_llmrouter_is_light() -> None:
    modules = imported(SHOW.format("import llmrouter"))
    assert not modules & {*HEAVY, *FILES, "importlib_metadata", "packaging", "click", "llmrouter_random"}
    assert {name for name in modules if name.startswith("llmrouter")} == {
        "llmrouter",
        "llmrouter.hookspecs",
        "llmrouter.specs",
    }


@pytest.mark.parametrize(
    "arguments",
    [["list-routers", "--json"], ["--help"], ["--version"], ["plugins", "--json"]],
    ids=" ".join,
)
def test_listing_imports_no_router_and_nothing_heavy(fifty_routers: None, arguments: list[str]) -> None:
    modules = imported(COMMAND.format(arguments))
    assert not modules & {*HEAVY, *FILES}
    assert not {name for name in modules if name.startswith("fake_router")}
    assert not modules & {"llmrouter_random.router", "llmrouter.models.router", "llmrouter.plugin_dirs"}
    assert not modules & {"llmrouter_cli.commands.infer", "llmrouter_cli.commands.train"}


def test_listing_asks_every_plugin(fifty_routers: None) -> None:
    modules = imported(COMMAND.format(["list-routers", "--json"]))
    assert {"llmrouter_random.plugin", *(f"fake_{number}" for number in range(50))} <= modules


def test_routing_one_query_imports_nothing_heavy(config: Callable[..., str]) -> None:
    arguments = ["infer", "--router", "randomrouter", "--config", config(), "--query", "Hi", "--route-only"]
    modules = imported(COMMAND.format(arguments))
    assert not modules & HEAVY
    assert {"llmrouter_random.router", *FILES} <= modules


def test_routing_a_file_imports_nothing_heavy(
    config: Callable[..., str], write: Callable[[str, str], Path]
) -> None:
    write("in.txt", "one\ntwo\n")
    arguments = [
        "infer",
        "--router",
        "randomrouter",
        "--config",
        config(),
        "--input",
        "in.txt",
        "--route-only",
    ]
    assert not imported(COMMAND.format(arguments)) & {*HEAVY, "llmrouter.completion.catalogue"}


@pytest.mark.parametrize("name", ["services", "keys", "prices", "catalogue", "messages", "result"])
def test_what_is_known_of_llms_does_without_a_client(name: str) -> None:
    assert not imported(SHOW.format(f"import llmrouter.completion.{name}")) & HEAVY


def test_a_router_folder_is_listed_without_being_run(write: Callable[[str, str], Path]) -> None:
    write("custom_routers/my_router/router.py", "import fake_missing\nclass MyRouter(Router): ...\n")
    modules = imported(COMMAND.format(["list-routers", "--json"]))
    assert not modules & {*HEAVY, *FILES, "llmrouter.plugin_dirs"}


@pytest.mark.parametrize(
    "module", ["llmrouter.models.router", "llmrouter.plugin_system", "llmrouter.routing"]
)
def test_the_library_does_without_torch(module: str) -> None:
    assert not imported(SHOW.format(f"import {module}")) & HEAVY
