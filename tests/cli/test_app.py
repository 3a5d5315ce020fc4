"""The command group: its help, its options, and the commands that plugins add."""

from __future__ import annotations

import importlib
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import llmrouter
from llmrouter_cli.app import COMMANDS

GREET = """
    import click

    @click.command()
    @click.option("--name", default="world")
    def greet(name):
        \"\"\"Say hello.\"\"\"
        click.echo(f"Hello {name}")
"""


@pytest.fixture
def add_command(install: Callable[..., Path]) -> Callable[..., None]:
    """Install a plugin with one command; `source` is the module that its target names."""

    def add_command(
        source: str = GREET,
        name: str = "greet",
        target: str = "greet",
        distribution: str = "llmrouter-greet",
    ) -> None:
        module = "fake_" + distribution.replace("-", "_")
        plugin = f"""
            from llmrouter import CommandSpec, hookimpl

            @hookimpl
            def llmrouter_register_commands():
                return [CommandSpec({name!r}, "{module}_command:{target}", "Say hello.")]
        """
        install(distribution, {module: plugin, f"{module}_command": source}, {distribution: module})

    return add_command


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_every_command_has_help_that_begins_with_its_summary(
    invoke: Callable[..., Any], command: str, option: str
) -> None:
    done = invoke(command, option)
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(f"Usage: llmrouter {command} [OPTIONS]")
    assert " ".join(done.out.split("\n\n")[1].split()) == COMMANDS[command]
    assert "--debug" in done.out


@pytest.mark.parametrize("command", COMMANDS)
def test_the_summary_is_the_first_line_of_the_commands_help(command: str) -> None:
    name = command.replace("-", "_")
    found = getattr(importlib.import_module(f"llmrouter_cli.commands.{name}"), name)
    assert (found.help or "").splitlines()[0] == COMMANDS[command]
    assert found.name == command


@pytest.mark.parametrize("arguments", [("--help",), ("-h",)])
def test_help_lists_the_commands_with_their_summaries(
    invoke: Callable[..., Any], arguments: tuple[str, ...]
) -> None:
    done = invoke(*arguments)
    assert (done.status, done.err) == (0, "")
    listed = done.out.partition("Commands:\n")[2]
    for command, summary in COMMANDS.items():
        assert any(line.split() == [command, *summary.split()] for line in listed.splitlines()), command


def test_without_a_command_the_help_is_shown(invoke: Callable[..., Any]) -> None:
    done = invoke()
    assert done.status == 2
    assert "Usage: llmrouter [OPTIONS] COMMAND" in done.err
    assert done.out == ""


def test_version_option(invoke: Callable[..., Any]) -> None:
    assert invoke("--version").out == f"llmrouter, version {llmrouter.__version__}\n"


def test_help_imports_no_torch_rich_or_yaml(add_command: Callable[..., None]) -> None:
    add_command("import torch")
    program = (
        "import sys; from llmrouter_cli.__main__ import run; run(['--help']); "
        "print(sorted({'torch', 'rich', 'yaml'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert "greet" in done.stdout
    assert done.stdout.endswith("[]\n")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("infre", "infer"),
        ("list-router", "list-routers"),
        ("trian", "train"),
        ("plugin", "plugins"),
        ("gret", "greet"),
    ],
)
def test_an_unknown_command_suggests_the_nearest(
    invoke: Callable[..., Any], add_command: Callable[..., None], typed: str, meant: str
) -> None:
    add_command()
    done = invoke(typed)
    assert done.status == 2
    assert f"No such command {typed!r}; did you mean {meant!r}?" in done.err


def test_an_unknown_command_that_is_like_none_points_to_the_help(invoke: Callable[..., Any]) -> None:
    assert "No such command 'xyzzy'; 'llmrouter --help' lists them" in invoke("xyzzy").err


def test_a_plugin_adds_a_command(invoke: Callable[..., Any], add_command: Callable[..., None]) -> None:
    add_command()
    assert invoke("greet", "--name", "you").out == "Hello you\n"
    assert "greet         Say hello." in invoke("--help").out
    assert "--name" in invoke("greet", "--help").out


def test_commands_of_plugins_stand_last_and_sorted(
    invoke: Callable[..., Any], add_command: Callable[..., None]
) -> None:
    for name in ("zebra", "ant"):
        add_command(name=name, distribution=f"llmrouter-{name}")
    listed = invoke("--help").out.partition("Commands:\n")[2].splitlines()
    names = [line.split()[0] for line in listed if line.startswith("  ") and line[2] != " "]
    assert names[: len(COMMANDS) + 2] == [*COMMANDS, "ant", "zebra"]


def test_a_built_in_command_stays_so(invoke: Callable[..., Any], add_command: Callable[..., None]) -> None:
    add_command("import click\ngreet = click.Command('greet', callback=lambda: print('taken'))", "version")
    assert "taken" not in invoke("version").out
    assert invoke("--help").out.count("\n  version ") == 1


def test_two_plugins_with_one_command_name(
    invoke: Callable[..., Any], add_command: Callable[..., None]
) -> None:
    add_command(distribution="llmrouter-one")
    add_command(distribution="llmrouter-two")
    done = invoke("greet")
    assert (done.status, done.out) == (1, "")
    assert done.err.count("\n") == 1
    assert "llmrouter-one 1.0" in done.err
    assert "llmrouter-two 1.0" in done.err
    assert invoke("--no-plugin", "llmrouter-two", "greet").out == "Hello world\n"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("import absent_module", "'absent_module'"),
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("1 / 0", "ZeroDivisionError"),
        ("other = 1", "'greet'"),
        ("greet = print", "is not a click command"),
        ("greet = 1", "'greet' is not a click command but 1"),
    ],
)
def test_a_command_that_cannot_be_used_is_one_sentence(
    invoke: Callable[..., Any], add_command: Callable[..., None], source: str, told: str
) -> None:
    add_command(source)
    done = invoke("greet")
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("Error: ")
    assert done.err.count("\n") == 1
    assert told in done.err
    assert "greet" in invoke("--help").out


def test_debug_shows_why_a_command_cannot_be_imported(
    invoke: Callable[..., Any], add_command: Callable[..., None]
) -> None:
    add_command("1 / 0")
    err = invoke("--debug", "greet").err
    assert "Traceback" in err
    assert "    1 / 0" in err


def test_a_command_module_that_prints_when_it_is_imported_adds_nothing_to_the_result(
    command: Callable[..., Any], add_command: Callable[..., None]
) -> None:
    add_command(f"import os\nos.write(1, b'noise\\n')\nprint('noise')\n{textwrap.dedent(GREET)}")
    done = command("greet")
    assert done.out == "Hello world\n"
    assert done.err.split() == ["noise", "noise"]


def test_help_counts_the_problems_with_plugins(
    invoke: Callable[..., Any], install: Callable[..., Path]
) -> None:
    assert "problem" not in invoke("--help").out
    install("llmrouter-broken", {"fake_broken": "1 / 0"}, {"broken": "fake_broken"})
    done = invoke("--help")
    assert done.status == 0
    assert "1 problem(s) with plugins; 'llmrouter plugins' shows them." in done.out


@pytest.mark.parametrize("name", ["llmrouter-greet", "LLMROUTER_GREET", "llmrouter.greet"])
def test_no_plugin_leaves_one_out(
    invoke: Callable[..., Any], add_command: Callable[..., None], name: str
) -> None:
    add_command()
    assert invoke("--no-plugin", name, "greet").status == 2
    assert "greet" not in invoke("--no-plugin", name, "--help").out


def test_no_plugin_may_be_given_several_times(
    invoke: Callable[..., Any], add_command: Callable[..., None]
) -> None:
    add_command(name="one", distribution="llmrouter-one")
    add_command(name="two", distribution="llmrouter-two")
    out = invoke("--no-plugin", "llmrouter-one", "--no-plugin", "llmrouter-two", "plugins", "--json").json
    states = {row["name"]: row["state"] for row in out}
    assert (states["llmrouter-one"], states["llmrouter-two"]) == ("blocked", "blocked")


def test_a_misspelt_no_plugin_is_told(invoke: Callable[..., Any]) -> None:
    done = invoke("--no-plugin", "randomruoter", "plugins")
    assert done.status == 0
    assert "Warning: no installed plugin or distribution is named 'randomruoter'" in done.err


def test_no_plugin_dirs_looks_into_no_directory(
    invoke: Callable[..., Any], router: Callable[..., list[str]]
) -> None:
    chosen = router()
    assert invoke("infer", *chosen, "--query", "hi", "--route-only").status == 0
    done = invoke("--no-plugin-dirs", "infer", *chosen, "--query", "hi", "--route-only")
    assert done.status == 1
    assert done.err.startswith("Error: Unknown router: mine")
    assert [row["name"] for row in invoke("--no-plugin-dirs", "list-routers").json] == ["randomrouter"]
