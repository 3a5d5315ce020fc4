"""The exit status says how a run ended, and an expected error is one sentence."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmrouter_cli.__main__ import run
from llmrouter_cli.app import OURS
from tests.cli.conftest import WAITING

INFER = ("infer", "--route-only", "--router", "randomrouter", "--config")


@pytest.fixture
def command_of_a_plugin(install: Callable[..., Path]) -> Callable[[str], None]:
    """Install a plugin with the command `act`, given the body of its function."""

    def command_of_a_plugin(body: str) -> None:
        plugin = """
            from llmrouter import CommandSpec, hookimpl

            @hookimpl
            def llmrouter_register_commands():
                return [CommandSpec("act", "fake_act_command:act", "Acts.")]
        """
        source = f"import os, sys, click\n\n@click.command()\ndef act():\n    {body}\n"
        install("llmrouter-act", {"fake_act": plugin, "fake_act_command": source}, {"act": "fake_act"})

    return command_of_a_plugin


def test_success_is_0(invoke: Callable[..., Any], config: Callable[..., str]) -> None:
    assert invoke(*INFER, config(), "--query", "hi").status == 0


@pytest.mark.parametrize("debug", [(), ("--debug",)])
def test_an_expected_error_is_1_in_one_sentence(invoke: Callable[..., Any], debug: tuple[str, ...]) -> None:
    done = invoke(*INFER, "missing.yaml", "--query", "hi")
    assert done.status == 1
    assert (
        done.err == "Error: missing.yaml: there is no such file; name the router's YAML file with --config\n"
    )
    assert done.out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("--debug", *INFER, "missing.yaml", "--query", "hi"),
        (*INFER, "missing.yaml", "--query", "hi", "--debug"),
    ],
)
def test_debug_before_or_after_the_command_shows_the_traceback(
    invoke: Callable[..., Any], arguments: tuple[str, ...]
) -> None:
    done = invoke(*arguments)
    assert done.status == 1
    assert "Traceback (most recent call last)" in done.err
    assert done.err.endswith("there is no such file; name the router's YAML file with --config\n")
    assert done.out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("infer",),
        ("infer", "--nonsense"),
        ("list-routers", "surplus"),
        ("--nonsense",),
        ("nonsense",),
        ("completion", "tcsh"),
        ("plugins", "nonsense"),
    ],
)
def test_wrong_usage_is_2(invoke: Callable[..., Any], arguments: tuple[str, ...]) -> None:
    done = invoke(*arguments)
    assert done.status == 2
    assert "Error: " in done.err
    assert "Traceback" not in done.err
    assert done.out == ""


def test_interruption_is_130(
    interrupted: Callable[..., Any], command_of_a_plugin: Callable[[str], None]
) -> None:
    command_of_a_plugin(f"open('started', 'w').close(); import time; {WAITING}")
    done = interrupted("act")
    assert done.status == 130
    assert done.err.strip() == "Interrupted"


def test_interruption_while_plugins_are_imported_is_130(
    interrupted: Callable[..., Any], install: Callable[..., Path]
) -> None:
    source = f"import time\nopen('started', 'w').close()\n{WAITING}\n"
    install("llmrouter-slow", {"fake_slow": source}, {"slow": "fake_slow"})
    done = interrupted("list-routers")
    assert (done.status, done.out) == (130, "")
    assert done.err.strip() == "Interrupted while importing the plugin 'slow' of llmrouter-slow 1.0"


@pytest.mark.parametrize(
    ("body", "status"), [("sys.exit(3)", 3), ("raise click.Abort", 130), ("raise click.UsageError('no')", 2)]
)
def test_the_command_of_a_plugin_ends_as_it_says(
    command: Callable[..., Any], command_of_a_plugin: Callable[[str], None], body: str, status: int
) -> None:
    command_of_a_plugin(body)
    assert command("act").status == status


def test_what_the_command_of_a_plugin_prints_is_its_result(
    command: Callable[..., Any], command_of_a_plugin: Callable[[str], None]
) -> None:
    command_of_a_plugin("print('printed'); os.write(1, b'written\\n')")
    done = command("act")
    assert set(done.out.split()) == {"printed", "written"}


@pytest.mark.parametrize("body", ["print('x')", "print('x' * 300_000)", "click.echo('x' * 300_000)"])
def test_a_reader_that_stops_reading_sees_no_traceback(
    command_of_a_plugin: Callable[[str], None], body: str
) -> None:
    command_of_a_plugin(body)
    program = [str(Path(sys.executable).with_name("llmrouter")), "act"]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == b""
    assert process.wait(300) == 1


@pytest.mark.parametrize("arguments", [("list-routers",), ("--help",), ("version",)])
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_are_no_trouble(arguments: tuple[str, ...], closed: str) -> None:
    program = Path(sys.executable).with_name("llmrouter")
    done = subprocess.run(
        ["sh", "-c", f'"$0" "$@" {closed}', str(program), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert bool(done.stdout) == (closed == "2>&-")


def test_the_module_runs_too(config: Callable[..., str]) -> None:
    program = [sys.executable, "-m", "llmrouter_cli", *INFER, config(), "--query", "hi"]
    assert subprocess.run(program, capture_output=True, timeout=300).returncode == 0


def test_run_returns_the_status() -> None:
    assert run(["--version"]) == 0
    assert run(["nonsense"]) == 2


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise OSError('no such device')", "OSError: no such device"),
        ("raise BaseException", "BaseException"),
        ("raise EOFError", "EOFError"),
        ("raise type('Odd', (Exception,), {'__str__': lambda self: 1 / 0})", "Odd"),
        ("from llmrouter.errors import LLMRouterError; raise LLMRouterError('')", "LLMRouterError"),
    ],
)
def test_what_a_command_of_a_plugin_raises_is_one_sentence_that_names_the_plugin(
    invoke: Callable[..., Any], command_of_a_plugin: Callable[[str], None], body: str, told: str
) -> None:
    command_of_a_plugin(body)
    done = invoke("act")
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("Error: the command 'act' of llmrouter-act 1.0 failed: ")
    assert told in done.err
    assert done.err.count("\n") == 1
    assert f"    {body}" in invoke("--debug", "act").err


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("open('nowhere')", "Error: [Errno 2] No such file or directory: 'nowhere'\n"),
        ("raise OSError", "Error: the command 'act' of llmrouter-act 1.0 failed: OSError"),
        ("1 / 0", "Error: the command 'act' of llmrouter-act 1.0 failed: ZeroDivisionError"),
    ],
)
def test_an_error_of_the_system_in_a_command_of_our_own_plugins_says_enough(
    invoke: Callable[..., Any],
    command_of_a_plugin: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    body: str,
    told: str,
) -> None:
    monkeypatch.setattr("llmrouter_cli.app.OURS", {"llmrouter-act"})
    command_of_a_plugin(body)
    done = invoke("act")
    assert done.status == 1
    assert done.err.startswith(told)
    assert done.err.count("\n") == 1


def test_our_own_plugins_with_commands_are_known() -> None:
    packages = Path(__file__).parents[2] / "packages"
    found = packages.glob("*/src/*/plugin.py")
    with_commands = {
        path.parents[2].name for path in found if "llmrouter_register_commands" in path.read_text()
    }
    assert with_commands == OURS


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("sys.exit(3)", 3),
        ("sys.exit(0)", 0),
        ("click.get_current_context().exit(4)", 4),
        ("raise click.ClickException('no')", 1),
        ("raise click.UsageError('no')", 2),
        ("raise KeyboardInterrupt", 130),
    ],
)
def test_a_command_of_a_plugin_may_choose_how_it_ends(
    command: Callable[..., Any], command_of_a_plugin: Callable[[str], None], body: str, status: int
) -> None:
    command_of_a_plugin(body)
    done = command("act")
    assert done.status == status
    assert "llmrouter-act" not in done.err


def test_control_characters_in_logs_are_escaped(
    command: Callable[..., Any], command_of_a_plugin: Callable[[str], None]
) -> None:
    command_of_a_plugin(r"import logging; logging.getLogger('act').warning('a\x1b[31m\nb')")
    assert command("act").err == "a\\x1b[31m\\nb\n"
