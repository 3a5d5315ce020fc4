"""``llmrouter plugins``: what is plugged in, and what became of it."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from llmrouter.files import replacing
from llmrouter.plugin_system import PluginRegistry
from llmrouter.plugin_system.metadata import entry_points, normalize
from llmrouter.plugin_system.registry import Declaration
from llmrouter.specs import Spec, TrainerSpec
from llmrouter_cli.app import COMMANDS, App, debug_option, pass_app
from llmrouter_cli.installer import requirement_of
from llmrouter_cli.options import json_option
from llmrouter_cli.results import result_stream, shorten, show

if TYPE_CHECKING:
    from llmrouter_cli.checking import Checked


@click.group(invoke_without_command=True)
@json_option
@debug_option
@click.pass_context
def plugins(ctx: click.Context, as_json: bool) -> None:
    """Show, check and choose the plugins there are."""
    if ctx.invoked_subcommand is None:
        _show_all(ctx.ensure_object(App), as_json)


@plugins.command("list")
@json_option
@debug_option
@pass_app
def list_plugins(app: App, as_json: bool) -> None:
    """List the plugins, as 'llmrouter plugins' does."""
    _show_all(app, as_json)


@plugins.command("show")
@click.argument("name")
@json_option
@debug_option
@pass_app
def show_plugin(app: App, name: str, as_json: bool) -> None:
    """Show all of one plugin: what it declares, and what became of it.

    NAME is that of a distribution, such as llmrouter-knn or knn, or of its entry point.
    """
    wanted = {normalize(name), normalize(requirement_of(name))}
    rows = [
        {
            **row,
            "declares": [_declared(spec) for spec in plugin.declared],
            "deprecated": list(plugin.deprecated),
        }
        for plugin, row in zip(app.registry.plugins, _installed(app.registry), strict=True)
        if wanted & {normalize(plugin.name), normalize(plugin.distribution.name)}
    ]
    if not rows:
        known = ", ".join(sorted({plugin.distribution.name for plugin in app.registry.plugins}))
        raise click.UsageError(f"no plugin is named {name!r}; there are {known or 'none'}")
    columns = {"name": "Plugin", "state": "State", "from": "From", "declares": "Declares", "module": "Module"}
    columns["deprecated"] = "Deprecated"
    show(rows, as_json, columns, note="reason")


project_option = click.option(
    "--project", is_flag=True, help="In llmrouter.toml of the current folder, not in that of your home."
)


@plugins.command()
@click.argument("name")
@project_option
@debug_option
def disable(name: str, project: bool) -> None:
    """Leave a plugin out from now on.

    NAME is that of a distribution or of an entry point; it is listed under plugins.block in llmrouter.toml.
    """
    from llmrouter_cli.plugin_settings import set_blocked, settings_file

    # No plugin is imported, for this is what helps where that ends the process.
    points = {
        normalize(one): one for point in entry_points() for one in (point.name, point.distribution.name)
    }
    known = points.get(normalize(name)) or points.get(normalize(requirement_of(name)))
    if known is None:
        raise click.UsageError(f"no plugin is named {name!r}; 'llmrouter plugins' lists them")
    path = settings_file(project)
    changed = set_blocked(path, known, blocked=True)
    click.echo(f"{known} {'is left out' if changed else 'was left out already'}, by {path}", err=True)


@plugins.command()
@click.argument("name")
@project_option
@debug_option
@pass_app
def enable(app: App, name: str, project: bool) -> int:
    """Let a plugin in again that 'disable' left out."""
    from llmrouter_cli.plugin_settings import set_blocked, settings_file

    path = settings_file(project)
    # Each on its own, for both names may be listed.
    changed = [set_blocked(path, one, blocked=False) for one in dict.fromkeys((name, requirement_of(name)))]
    if not any(changed):
        click.echo(f"Error: {path} does not leave out {name!r}", err=True)
        return 1
    click.echo(f"{name} is let in, by {path}", err=True)
    return 0


@plugins.command()
@click.argument("output", type=click.Path(dir_okay=False), default="-", metavar="[FILE]")
@debug_option
@pass_app
def export(app: App, output: str) -> None:
    """Write which plugins are installed, for 'restore' to bring back: one requirement a line.

    By default to standard output.
    """
    distributions = {str(plugin.distribution): plugin.distribution for plugin in app.registry.plugins}
    lines = [f"{one.name}=={one.version}\n" for _, one in sorted(distributions.items())]
    with result_stream() as stream:
        if output == "-":
            stream.write("".join(lines).encode())
            return
    with replacing(output) as file:
        file.write("".join(lines).encode())
    click.echo(f"Wrote {len(lines)} plugins to {output}", err=True)


@plugins.command()
@click.argument("file", type=click.File("rb"))
@debug_option
@pass_app
def restore(app: App, file: BinaryIO) -> None:
    """Install the plugins that 'export' wrote to FILE, if they are missing or have another version."""
    from llmrouter.plugin_system.metadata import is_met
    from llmrouter_cli.installer import install, read_requirements

    missing = [line for line in read_requirements(file.read(), file.name) if not is_met(line)]
    if missing:
        install(missing)
    click.echo(f"Restored {', '.join(missing)}" if missing else "Nothing is missing.", err=True)


def _declared(spec: Spec) -> str:
    kind = type(spec).__name__.removesuffix("Spec").lower()
    return f"{kind} {spec.router if isinstance(spec, TrainerSpec) else spec.name}"


def _show_all(app: App, as_json: bool) -> None:
    columns = {
        "name": "Plugin",
        "state": "State",
        "from": "From",
        "hooks": "Hooks",
        "load_ms": "Load (ms)",
        "routers": "Routers",
    }
    empty = "No plugin is installed; 'llmrouter install random' adds a first one."
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
    """Check everything that plugins declare, directory routers included; tell what is wrong and what to do.

    Whether it loads and can be called as it will be, fits this llmrouter-core, imports nothing heavy and
    prints nothing when it is listed, and says what it is: one row for each finding, and for what has none.
    The exit status is 1 where there are any.
    """
    from llmrouter_cli.checking import check_everything

    with result_stream():
        rows = [row for checked in check_everything(app.registry) for row in _rows(checked, app.debug)]
    columns = {"name": "Name", "what": "What", "from": "From", "ok": "Works"}
    show(rows, as_json, columns, note="reason", subject=("what", "name", "from"))
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


def _rows(checked: Checked, debug: bool) -> Iterator[dict[str, Any]]:
    row = {"what": checked.what, "name": checked.name, "from": checked.place}
    for problem in checked.problems:
        if isinstance(problem, Exception) and debug:
            click.echo("".join(traceback.format_exception(problem)), err=True)
        yield {**row, "ok": False, "reason": str(problem)}
    for note in checked.notes or (() if checked.problems else (None,)):
        yield {**row, "ok": True, "reason": note}


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
