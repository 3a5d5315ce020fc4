"""``llmrouter doctor``: look for trouble in this installation."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

import click

import llmrouter
from llmrouter.completion.keys import check_keys
from llmrouter.hookspecs import API_VERSION
from llmrouter.plugin_system import PluginRegistry
from llmrouter.plugin_system.directories import VARIABLE
from llmrouter.plugin_system.metadata import installed_version, missing_extras
from llmrouter.plugin_system.selection import BLOCK_VARIABLE, LOAD_VARIABLE
from llmrouter.spelling import nearest
from llmrouter_cli.app import App, debug_option, pass_app
from llmrouter_cli.commands.plugins import taken_commands
from llmrouter_cli.options import json_option
from llmrouter_cli.results import show

SLOW_MS = 50

PREFIX = "LLMROUTER_"
# What our packages read; a test compares it with their code.
VARIABLES = tuple(
    f"{PREFIX}{name}"
    for name in (
        "PLUGINS",
        "LOAD_PLUGINS",
        "BLOCK_PLUGINS",
        "TRACE_PLUGINS",
        "CONFIG",
        "LIFECYCLE",
        "API_KEY",
        "LONGFORMER",
    )
)


class Finding(NamedTuple):
    """One line of the doctor's report."""

    check: str
    status: Literal["ok", "note", "warning", "error"]
    detail: str


@click.command()
@json_option
@debug_option
@pass_app
def doctor(app: App, as_json: bool) -> int:
    """Look for trouble in this installation.

    The exit status is 1 where something is broken. Of keys, only the names of the variables are shown.
    """
    findings = [*_environment(), *_packages(), *_plugins(app.registry), *_keys(os.environ)]
    rows = [finding._asdict() for finding in findings]
    show(rows, as_json, {"check": "Check", "status": "Status", "detail": "Detail"})
    return 1 if any(finding.status == "error" for finding in findings) else 0


def _environment() -> Iterator[Finding]:
    yield Finding("python", "ok", f"{platform.python_version()} at {sys.executable}")
    inside = sys.prefix != sys.base_prefix
    yield Finding(
        "environment",
        "ok",
        f"{'virtual environment' if inside else 'not a virtual environment'}, {sys.prefix}",
    )
    for variable in (VARIABLE, LOAD_VARIABLE, BLOCK_VARIABLE):
        if variable in os.environ:
            yield Finding("environment", "note", f"{variable}={os.environ[variable]}")
    yield from _misspelt(os.environ)


def _misspelt(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Find the variables that nothing reads; a value may be a key, and is never shown."""
    known = [name.removeprefix(PREFIX) for name in VARIABLES]
    for name in sorted(environ):
        if name in VARIABLES or not name.upper().startswith("LLM"):
            continue
        ours = name.upper().startswith(PREFIX)
        near = nearest(name[len(PREFIX) :], known, 0.6) if ours else nearest(name, VARIABLES, 0.9)
        if near is not None:
            meant = PREFIX + near.removeprefix(PREFIX)
            yield Finding("environment", "warning", f"{name} is unknown; did you mean {meant}?")
        elif ours:
            detail = f"{name} is not read by llmrouter; there are {', '.join(VARIABLES)}"
            yield Finding("environment", "note", detail)


def _packages() -> Iterator[Finding]:
    cli_version = installed_version("llmrouter-cli")
    same = cli_version == llmrouter.__version__
    detail = f"llmrouter-core {llmrouter.__version__}, llmrouter-cli {cli_version}"
    yield Finding(
        "versions", "ok" if same else "warning", detail if same else f"{detail}; upgrade both together"
    )
    yield Finding("plugin API", "ok", ".".join(map(str, API_VERSION)))
    if other := installed_version("llmrouter-lib"):
        yield Finding(
            "llmrouter-lib",
            "error",
            f"llmrouter-lib {other} is installed too and has the same import package and command; "
            "uninstall it, then reinstall llmrouter-core and llmrouter-cli",
        )
    for extra, lacking in missing_extras().items():
        if lacking:
            detail = f"not installed: {', '.join(lacking)}; pip install 'llmrouter-core[{extra}]' adds it"
            yield Finding(f"extra {extra}", "note", detail)
        else:
            yield Finding(f"extra {extra}", "ok", "installed")


def _plugins(registry: PluginRegistry) -> Iterator[Finding]:
    for plugin in registry.plugins:
        if plugin.state != "ready":
            continue
        for deprecated in plugin.deprecated:
            yield Finding(f"plugin {plugin.name}", "warning", f"{plugin.distribution}: {deprecated}")
        if plugin.imported_torch:
            detail = (
                "its plugin module imports torch; import it where it is used, so that listing stays quick"
            )
            yield Finding(f"plugin {plugin.name}", "warning", f"{plugin.distribution}: {detail}")
        elif plugin.reason:
            yield Finding(f"plugin {plugin.name}", "warning", f"{plugin.distribution}: {plugin.reason}")
        elif plugin.load_ms > SLOW_MS:
            detail = f"its plugin module takes {plugin.load_ms:.0f} ms and slows every command"
            yield Finding(f"plugin {plugin.name}", "warning", f"{plugin.distribution}: {detail}")
        else:
            yield Finding(f"plugin {plugin.name}", "ok", f"{plugin.distribution}, {plugin.load_ms:.1f} ms")
    for directory in registry.directories:
        if directory.problem is None:
            names = ", ".join(router.name for router in directory.routers) or "no router"
            there = directory.path.is_dir()
            yield Finding("search path", "ok", f"{directory.path}: {names if there else 'not there'}")
    for problem in registry.problems():
        yield Finding("plugins", "error", problem)
    for declaration in taken_commands(registry):
        detail = (
            f"command {declaration.spec.name!r} of {declaration.plugin.distribution} is built in and stays so"
        )
        yield Finding("commands", "warning", detail)


def _keys(environ: Mapping[str, str]) -> Iterator[Finding]:
    names = sorted(name for name in environ if name == "API_KEYS" or name.endswith("_API_KEY"))
    set_names = [name for name in names if environ[name].strip()]
    if set_names:
        yield Finding("keys", "ok", f"set: {', '.join(set_names)}")
    else:
        yield Finding("keys", "note", "none is set")
    for name in names:
        if name not in set_names:
            yield Finding("keys", "warning", f"{name} is set but empty")
    for problem in check_keys(environ):
        yield Finding("keys", "error", problem)
