"""``llmrouter plugins``: what is plugged in, and what became of it."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from llmrouter.errors import LLMRouterError
from llmrouter.plugin_system import PluginRegistry
from llmrouter.plugin_system.registry import Declaration
from llmrouter_cli.app import COMMANDS, App, debug_option, pass_app
from llmrouter_cli.options import json_option
from llmrouter_cli.results import result_stream, shorten, show


@click.group(invoke_without_command=True)
@json_option
@debug_option
@click.pass_context
def plugins(ctx: click.Context, as_json: bool) -> None:
    """Show the plugins: where from, what they add, and what failed."""
    if ctx.invoked_subcommand is not None:
        return
    app = ctx.ensure_object(App)
    columns = {
        "name": "Plugin",
        "state": "State",
        "from": "From",
        "hooks": "Hooks",
        "load_ms": "Load (ms)",
        "routers": "Routers",
    }
    empty = "No plugin is installed; 'pip install llmrouter-random' adds a first one."
    show([*_installed(app.registry), *_directories(app.registry)], as_json, columns, empty, "reason")
    for name in app.registry.unused:
        click.echo(f"Warning: no installed plugin or distribution is named {name!r}", err=True)
    if app.debug:
        for plugin in app.registry.plugins:
            if plugin.cause is not None:
                click.echo("".join(traceback.format_exception(plugin.cause)), err=True)


@plugins.command()
@json_option
@debug_option
@pass_app
def check(app: App, as_json: bool) -> int:
    """Import everything that plugins declare, directory routers included, and report what fails.

    The exit status is 1 where anything does.
    """
    with result_stream():
        rows = list(_checked(app))
    columns = {"name": "Name", "what": "What", "from": "From", "ok": "Works"}
    show(rows, as_json, columns, note="reason")
    return 0 if all(row["ok"] for row in rows) else 1


@plugins.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@debug_option
@pass_app
def package(app: App, directory: Path) -> None:
    """Make a distribution of a router in a folder.

    DIR is the router's folder, such as custom_routers/my_router. llmrouter-NAME is written to the current
    folder: the router's files, and what they import from beside the folder, with imports that work in a
    package. DIR stays as it is.
    """
    from llmrouter_cli.packaging import write_distribution

    with result_stream():
        made = write_distribution(directory, app.registry)
    click.echo(f"written  {shorten(made.target.absolute())}", err=True)
    if made.unknown:
        click.echo(
            f"It imports {', '.join(made.unknown)}: add what provides that to the dependencies in "
            f"{made.target / 'pyproject.toml'}",
            err=True,
        )
    click.echo(f"Try:\ncd {made.target}\npip install --editable '.[dev]'\npytest", err=True)


def taken_commands(registry: PluginRegistry) -> Iterator[Declaration[Any]]:
    """The commands of plugins whose names are taken by the commands that are built in."""
    return (declaration for name, declaration in registry.commands.items() if name in COMMANDS)


def _installed(registry: PluginRegistry) -> Iterator[dict[str, Any]]:
    taken: dict[int, list[str]] = {}
    for declaration in taken_commands(registry):
        taken.setdefault(id(declaration.plugin), []).append(declaration.spec.name)
    for plugin in registry.plugins:
        reasons = [plugin.reason] if plugin.reason else []
        reasons += [f"command {name!r} is built in and stays so" for name in taken.get(id(plugin), [])]
        yield {
            "name": plugin.name,
            "state": "conflict" if id(plugin) in taken and plugin.state == "ready" else plugin.state,
            "distribution": plugin.distribution.name,
            "version": plugin.distribution.version,
            "module": plugin.module,
            "hooks": [hook.removeprefix("llmrouter_") for hook in plugin.hooks],
            "load_ms": round(plugin.load_ms, 2),
            "routers": [entry.name for entry in registry.routers if entry.plugin is plugin],
            "reason": "; ".join(reasons) or None,
            "from": str(plugin.distribution),
        }


def _directories(registry: PluginRegistry) -> Iterator[dict[str, Any]]:
    for directory in registry.directories:
        if not directory.routers and not directory.problem:
            continue
        failures = [
            f"{router.name}: {router.reading.failure}"
            for router in directory.routers
            if router.reading.failure
        ]
        reason = directory.problem or "; ".join(failures) or None
        yield {
            "name": shorten(directory.path),
            "state": "failed" if reason else "ready",
            "folder": str(directory.path),
            "routers": [router.name for router in directory.routers],
            "reason": reason,
            "from": directory.asked_by,
        }


def _checked(app: App) -> Iterator[dict[str, Any]]:
    registry = app.registry
    for plugin in registry.plugins:
        ok = plugin.state in ("ready", "blocked")
        yield _row("plugin", plugin.name, str(plugin.distribution), None if ok else plugin.reason, app)
    for entry in registry.routers:
        place = entry.label if entry.distribution else shorten(entry.origin)
        if entry.state == "failed" and entry.directory:
            yield _row("router", entry.name, place, entry.reason, app)
        if entry.state != "ready":
            continue
        yield _row("router", entry.name, place, _failure(registry.load_router, entry), app)
        if entry.trainable:
            yield _row("trainer", entry.name, place, _failure(registry.load_trainer, entry), app)
    for kind, declared in (
        ("encoder", registry.encoders),
        ("judge", registry.judges),
        ("command", registry.commands),
    ):
        for name, declaration in declared.items():
            if declaration.plugin not in registry.plugins:
                continue  # core's own; what they need is an extra
            place = str(declaration.plugin.distribution)
            yield _row(kind, name, place, _failure(registry.load, declaration), app)


def _row(what: str, name: str, place: str, problem: Any, app: App) -> dict[str, Any]:
    if isinstance(problem, Exception) and app.debug:
        click.echo("".join(traceback.format_exception(problem)), err=True)
    reason = None if problem is None else str(problem)
    return {"what": what, "name": name, "from": place, "ok": reason is None, "reason": reason}


def _failure(load: Any, subject: Any) -> LLMRouterError | None:
    try:
        load(subject)
    except LLMRouterError as error:
        return error
    return None
