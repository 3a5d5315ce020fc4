"""`llmrouter completion` prints the script by which a shell completes commands, options and routers."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmrouter_cli.app import COMMANDS


@pytest.fixture
def complete(command: Callable[..., Any]) -> Callable[[str], list[str]]:
    """What bash is offered for the last word of a command line."""

    def complete(line: str) -> list[str]:
        words = line.split(" ")
        done = command(_LLMROUTER_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1))
        assert "Traceback" not in done.err
        return [offer.partition(",")[2] for offer in done.out.split()]

    return complete


@pytest.mark.processes
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_prints_a_script(invoke: Callable[..., Any], shell: str) -> None:
    done = invoke("completion", shell)
    assert (done.status, done.err) == (0, "")
    assert "_LLMROUTER_COMPLETE" in done.out
    assert f"{shell}_complete" in done.out


@pytest.mark.parametrize(
    ("shell", "check"), [("bash", ("bash", "-n")), ("zsh", ("zsh", "-n")), ("fish", ("fish", "--no-execute"))]
)
def test_the_script_is_well_formed(invoke: Callable[..., Any], shell: str, check: tuple[str, ...]) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    Path("script").write_text(invoke("completion", shell).out)
    done = subprocess.run([*check, "script"], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("shell", [(), ("tcsh",), ("bash", "zsh")])
def test_a_shell_must_be_named(invoke: Callable[..., Any], shell: tuple[str, ...]) -> None:
    done = invoke("completion", *shell)
    assert (done.status, done.out) == (2, "")


def test_commands(complete: Callable[[str], list[str]]) -> None:
    assert complete("llmrouter ") == list(COMMANDS)
    assert complete("llmrouter in") == ["infer", "install", "init"]


def test_options(complete: Callable[[str], list[str]]) -> None:
    assert complete("llmrouter infer --output") == ["--output", "--output-format"]
    assert complete("llmrouter infer --output-format ") == ["json", "jsonl", "csv"]


@pytest.mark.parametrize("command_name", ["infer", "train"])
@pytest.mark.parametrize(
    ("typed", "offered"), [("", ["mine", "randomrouter"]), ("r", ["randomrouter"]), ("x", [])]
)
def test_routers(
    complete: Callable[[str], list[str]],
    router: Callable[..., list[str]],
    write: Callable[[str, str], Path],
    command_name: str,
    typed: str,
    offered: list[str],
) -> None:
    router()
    write("custom_routers/broken/router.py", "import (")
    assert complete(f"llmrouter {command_name} --router {typed}") == offered


def test_routers_that_are_left_out_are_not_offered(
    complete: Callable[[str], list[str]], router: Callable[..., list[str]]
) -> None:
    router()
    assert complete("llmrouter --no-plugin llmrouter-random infer --router ") == ["mine"]
    assert complete("llmrouter --no-plugin-dirs infer --router ") == ["randomrouter"]


def test_commands_of_plugins(complete: Callable[[str], list[str]], install: Callable[..., Path]) -> None:
    plugin = """
        from llmrouter import CommandSpec, hookimpl

        @hookimpl
        def llmrouter_register_commands():
            return [CommandSpec("greet", "fake_greet_command:greet")]
    """
    code = "import click\n\n@click.command()\n@click.option('--name')\ndef greet(name):\n    pass\n"
    install("llmrouter-greet", {"fake_greet": plugin, "fake_greet_command": code}, {"greet": "fake_greet"})
    assert complete("llmrouter gr") == ["greet"]
    assert complete("llmrouter greet --n") == ["--name"]


def test_a_broken_plugin_does_not_break_it(
    complete: Callable[[str], list[str]], install: Callable[..., Path]
) -> None:
    plugin = """
        from llmrouter import CommandSpec, hookimpl

        @hookimpl
        def llmrouter_register_commands():
            return [CommandSpec("greet", "fake_absent:greet")]
    """
    install("llmrouter-greet", {"fake_greet": plugin}, {"greet": "fake_greet"})
    install("llmrouter-broken", {"fake_broken": "1 / 0"}, {"broken": "fake_broken"})
    assert complete("llmrouter infer --router ") == ["randomrouter"]
    assert "greet" in complete("llmrouter ")
    assert complete("llmrouter greet --n") == []
