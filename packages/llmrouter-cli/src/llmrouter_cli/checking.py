"""What ``llmrouter plugins check`` finds: what does not load, and what is wrong with how it is declared."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import click

from llmrouter.errors import LLMRouterError
from llmrouter.plugin_system import PluginRegistry, RouterEntry
from llmrouter.plugin_system.apart import Imported, import_apart
from llmrouter.plugin_system.contract import contract_problem
from llmrouter.plugin_system.installed import Plugin
from llmrouter.plugin_system.registry import Declaration
from llmrouter.plugin_system.static_checks import heavy_import, output_on_import, unbounded, undescribed
from llmrouter.specs import CommandSpec, RouterSpec
from llmrouter_cli.results import shorten

# Processes that import plugins at once.
AT_ONCE = min(4, os.cpu_count() or 1)

Problem = str | LLMRouterError


class Checked(NamedTuple):
    """What came of one thing that was looked at.

    Attributes:
        what: ``plugin``, ``router``, ``trainer``, ``encoder``, ``judge``, ``command`` or ``settings``.
        name: Its name.
        place: The distribution or folder that it is from.
        problems: What is wrong and what to do, one each; an error is one that code raised.
        notes: What is not wrong yet.
    """

    what: str
    name: str
    place: str
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


def check_everything(registry: PluginRegistry) -> Iterator[Checked]:
    """Import everything that plugins declare, here and in processes of their own, and look at all of it."""
    for problem in registry.missing:
        yield Checked("settings", "required", "llmrouter.toml", (problem,))
    apart = _import_apart(plugin for plugin in registry.plugins if plugin.state in ("ready", "conflict"))
    declared = [*_routers(registry), *_others(registry)]
    broken = {each.place for each in declared if any(isinstance(p, LLMRouterError) for p in each.problems)}
    for plugin in registry.plugins:
        place = str(plugin.distribution)
        problems = tuple(_problems(plugin, apart.get(plugin), place in broken))
        yield Checked("plugin", plugin.name, place, problems, plugin.deprecated)
    yield from declared


def _import_apart(plugins: Iterable[Plugin]) -> dict[Plugin, Imported]:
    """Import each plugin in another process, for what others imported here before would not show."""

    def imported(plugin: Plugin) -> Imported:
        return import_apart(plugin.module, [spec.target for spec in plugin.declared])

    wanted = list(plugins)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(wanted, pool.map(imported, wanted), strict=True))


def _problems(plugin: Plugin, imported: Imported | None, told: bool) -> Iterator[str]:
    """Yield what is wrong with a plugin.

    Args:
        plugin: The plugin.
        imported: What came of importing it in another process.
        told: Whether something that it declares was found not to load, which is not to be told again.
    """
    if plugin.state != "blocked" and (plugin.reason or plugin.state != "ready"):
        yield plugin.reason or plugin.state
    if imported is None:
        return
    if imported.problem and not told:
        yield f"in a process of its own: {imported.problem}"
    wrong = (heavy_import(plugin.module, imported), output_on_import(imported))
    yield from filter(None, (*wrong, unbounded(plugin.distribution)))


def _routers(registry: PluginRegistry) -> Iterator[Checked]:
    for entry in registry.routers:
        place = entry.label if entry.distribution else shorten(entry.origin)
        if entry.state == "failed" and entry.directory:
            yield Checked("router", entry.name, place, (entry.reason or entry.state,))
        if entry.state != "ready":
            continue
        failure = _failure(registry.load_router, entry)
        yield Checked("router", entry.name, place, _all(failure, _undescribed(entry)))
        if entry.trainable:
            yield Checked("trainer", entry.name, place, _all(_failure(registry.load_trainer, entry)))


def _undescribed(entry: RouterEntry) -> str | None:
    # A folder's summary is a docstring, which is its owner's business.
    specs = entry.plugin.specs(RouterSpec) if entry.plugin else []
    return next((undescribed(spec) for spec in specs if spec.name == entry.name), None)


def _others(registry: PluginRegistry) -> Iterator[Checked]:
    kinds: Iterable[tuple[str, Mapping[str, Declaration[Any]]]] = (
        ("encoder", registry.encoders),
        ("judge", registry.judges),
        ("command", registry.commands),
    )
    for kind, declarations in kinds:
        for name, declaration in declarations.items():
            if declaration.plugin not in registry.plugins:
                continue  # core's own; what they need is an extra
            place = str(declaration.plugin.distribution)
            problem = _failure(registry.load, declaration) or _unusable(kind, registry, declaration)
            yield Checked(kind, name, place, _all(problem, undescribed(declaration.spec)))


def _unusable(kind: str, registry: PluginRegistry, declaration: Declaration[Any]) -> str | None:
    found, spec = registry.load(declaration), declaration.spec
    if not isinstance(spec, CommandSpec):
        return contract_problem(found, kind.capitalize(), spec.target)
    if isinstance(found, click.Command):
        return None
    return f"{spec.target} is not a click command but {found!r}; decorate it with @click.command()"


def _failure(load: Callable[[Any], object], subject: object) -> LLMRouterError | None:
    try:
        load(subject)
    except LLMRouterError as error:
        return error
    return None


def _all(*problems: Problem | None) -> tuple[Problem, ...]:
    return tuple(problem for problem in problems if problem is not None)
