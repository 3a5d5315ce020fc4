"""The gateway runs code of directories only when it is told to, and says from where."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Outcome
from tests.server.serving import wait_until
from tests.server.test_serve import Process

Command = Callable[..., Outcome]
Write = Callable[[str, str], Path]

ROUTER = """
    from pathlib import Path
    from llmrouter.models.router import Router

    Path("it_ran").touch()

    class MineRouter(Router):
        def route_single(self, query_input):
            return {"model_name": "large"}
"""


@pytest.fixture
def arguments(write: Write, config: Callable[..., str], candidates: dict[str, Any]) -> list[str]:
    """Write a directory router; returns what has it served."""
    write("custom_routers/mine/router.py", ROUTER)
    return ["--router", "mine", "--config", config(candidates), "--port", "0"]


@pytest.fixture
def run() -> Iterator[Callable[..., Process]]:
    """Start gateways, and stop them after the test."""
    running: list[Process] = []

    def run(*arguments: str) -> Process:
        running.append(Process(*arguments))
        return running[-1]

    yield run
    for process in running:
        process.close()


@pytest.mark.parametrize("name", ["mine", "dir:mine"])
@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("settings", ["", "[plugins]\ndirectories = true\n"])
def test_it_is_not_served_unless_asked_and_the_error_names_the_option(
    command: Command, write: Write, arguments: list[str], name: str, workers: str, settings: str
) -> None:
    write("llmrouter.toml", settings)
    done = command("serve", "--router", name, *arguments[2:], "--workers", workers)
    assert done.status == 1
    folder = Path("custom_routers/mine").absolute()
    assert (
        f"Unknown router: {name}; it is the folder {folder}, and plugin directories are off; "
        "--plugin-dirs turns them on"
    ) in done.err
    assert not Path("it_ran").exists()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_asked_for_it_is_served_and_one_line_says_from_where(
    run: Callable[..., Process], arguments: list[str], workers: str
) -> None:
    process = run(*arguments, "--plugin-dirs", "--workers", workers)
    line = f"Running router 'mine' from {Path('custom_routers/mine').absolute()}"
    assert process.chat().json()["llmrouter"]["router"] == "mine"
    assert process.err.count(line) == 1
    process.send(signal.SIGHUP)
    wait_until(lambda: process.err.count("The configuration was reloaded") == int(workers))
    assert process.chat().json()["model"] == "large"
    assert process.err.count("Running router") == 1


def test_the_command_line_goes_before_the_settings(
    run: Callable[..., Process], write: Write, arguments: list[str]
) -> None:
    write("llmrouter.toml", "[plugins]\ndirectories = false\n")
    assert run(*arguments, "--plugin-dirs").chat().status_code == 200


def test_a_router_that_lies_nowhere_is_told_that_directories_are_off(
    command: Command, arguments: list[str]
) -> None:
    done = command("serve", "--router", "nowhere", *arguments[2:])
    assert done.status == 1
    assert "Unknown router: nowhere; there are " in done.err
    assert "plugin directories are off; --plugin-dirs turns them on" in done.err


def test_on_and_off_contradict_each_other(command: Command, arguments: list[str]) -> None:
    done = command("--no-plugin-dirs", "serve", *arguments, "--plugin-dirs")
    assert done.status == 2
    assert "contradict" in done.err


@pytest.mark.parametrize("asked", [False, True])
def test_a_router_that_asks_another_one_finds_it_in_a_directory_only_then(
    run: Callable[..., Process], arguments: list[str], candidates: dict[str, Any], config: Any, asked: bool
) -> None:
    path = config(candidates, hparam={"rules": [], "otherwise": {"router": "mine", "config": arguments[3]}})
    rules = ["--router", "rulesrouter", "--config", path, "--port", "0"]
    process = run(*rules, *(["--plugin-dirs"] if asked else []))
    assert process.chat().status_code == (200 if asked else 500)
    assert Path("it_ran").exists() == asked
    assert ("--plugin-dirs turns them on" in process.err) == (not asked)
    assert process.err.count("Running router 'mine'") == asked
