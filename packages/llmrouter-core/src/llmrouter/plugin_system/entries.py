"""The routers there are: where each is from, and which of those of one name is used."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from llmrouter.plugin_system.directories import DirectoryRouter, PluginDirectory
from llmrouter.plugin_system.installed import Plugin, State
from llmrouter.plugin_system.metadata import normalize
from llmrouter.specs import RouterSpec, TrainerSpec

DIRECTORY_PREFIX = "dir"


@dataclass(frozen=True)
class RouterEntry:
    """A router: where it is from and whether it can be used.

    Attributes:
        name: The name by which users call it.
        origin: Name of the distribution, or path of the folder.
        version: Version of the distribution; None for a folder.
        summary: A sentence about it.
        target: ``module:Class``; for a folder its class, or ``unknown`` where only running it would tell.
        trainable: Whether it has a trainer.
        state: ``ready`` is declared, and proven only when it is used.
        reason: Why it is in that state, or what else should be known; None where there is nothing to say.
    """

    name: str
    origin: str
    version: str | None
    summary: str = ""
    target: str | None = None
    trainable: bool = False
    state: State = "ready"
    reason: str | None = None
    plugin: Plugin | None = None
    trainers: tuple[TrainerSpec, ...] = ()
    directory: DirectoryRouter | None = None

    @property
    def label(self) -> str:
        """Origin and version in words."""
        return self.origin if self.version is None else f"{self.origin} {self.version}"

    @property
    def distribution(self) -> str | None:
        """The distribution's name, or None for a folder."""
        return None if self.directory else self.origin

    @property
    def qualified_name(self) -> str:
        """The name that chooses this one among those of one name."""
        return f"{DIRECTORY_PREFIX if self.directory else self.origin}:{self.name}"


def router_entries(
    plugins: Iterable[Plugin],
    directories: Iterable[PluginDirectory],
    pins: Mapping[str, tuple[str, str]] | None = None,
) -> list[RouterEntry]:
    """List every router, usable or not, by name; what collides is told in the state and reason of each.

    Conflicts between plugins are noted in these plugins too.

    Args:
        plugins: What is installed.
        directories: What lies in folders.
        pins: Names of routers to the origin that is used of several, and who said so.
    """
    pins = pins or {}
    by_name: dict[str, list[RouterEntry]] = defaultdict(list)
    for entry in (*_installed_routers(plugins), *_directory_routers(directories)):
        by_name[entry.name].append(entry)
    return [
        entry
        for name in sorted(by_name)
        for entry in (_pinned(by_name[name], *pins[name]) if name in pins else _settled(by_name[name]))
    ]


def _installed_routers(plugins: Iterable[Plugin]) -> Iterator[RouterEntry]:
    owners = {(normalize(p.distribution.name), spec.name) for p in plugins for spec in p.specs(RouterSpec)}
    trainers: dict[tuple[str, str], list[TrainerSpec]] = defaultdict(list)
    for plugin in plugins:
        home = normalize(plugin.distribution.name)
        for spec in plugin.specs(TrainerSpec):
            if (home, spec.router) in owners:
                trainers[home, spec.router].append(spec)
            else:
                plugin.conflict(
                    f"declares a trainer for {spec.router!r}, which {plugin.distribution} does not declare; "
                    "a trainer comes from its router's distribution"
                )
    for plugin in plugins:
        home = normalize(plugin.distribution.name)
        distribution = plugin.distribution
        if plugin.state in ("failed", "incompatible", "blocked"):
            yield RouterEntry(
                plugin.name.lower(),
                distribution.name,
                distribution.version,
                state=plugin.state,
                reason=plugin.reason,
                plugin=plugin,
            )
        for router in plugin.specs(RouterSpec):
            own = tuple(trainers[home, router.name])
            reason = None
            if len(own) > 1:
                targets = " and ".join(spec.target for spec in own)
                reason = f"it has two trainers, {targets}; {distribution} must declare one"
                plugin.conflict(f"router {router.name!r}: {reason}")
            yield RouterEntry(
                router.name,
                distribution.name,
                distribution.version,
                router.summary,
                router.target,
                trainable=len(own) == 1,
                reason=reason,
                plugin=plugin,
                trainers=own,
            )


def _directory_routers(directories: Iterable[PluginDirectory]) -> Iterator[RouterEntry]:
    for directory in directories:
        for router in directory.routers:
            reading = router.reading
            reason = reading.failure
            if reason is None and reading.trainer_failure:
                reason = f"cannot be trained: {reading.trainer_failure}"
            yield RouterEntry(
                router.name,
                str(router.folder),
                None,
                reading.summary,
                reading.class_name,
                trainable=reading.trainer_name is not None,
                state="failed" if reading.failure else "ready",
                reason=reason,
                directory=router,
            )


def _pinned(entries: list[RouterEntry], origin: str, said_by: str) -> list[RouterEntry]:
    """Settle that the router of one origin is used; without one of it, as if nothing had been said."""
    wanted = normalize(origin)
    chosen = next(
        (
            entry
            for entry in entries
            if wanted == (DIRECTORY_PREFIX if entry.directory else normalize(entry.origin))
        ),
        None,
    )
    if chosen is None:
        return _settled(entries)
    reason = f"{said_by} takes that of {chosen.label}"
    return [
        replace(entry, state="shadowed", reason=reason)
        if entry is not chosen and entry.state == "ready"
        else entry
        for entry in entries
    ]


def _settled(entries: list[RouterEntry]) -> list[RouterEntry]:
    """Settle which of the routers of one name is used, and write it into all of them."""
    ready = [entry for entry in entries if entry.state == "ready" and not entry.directory]
    holders = ready or [entry for entry in entries if not entry.directory and entry.state != "blocked"]
    holders = holders or [entry for entry in entries if entry.directory][:1]
    hidden = [entry for entry in entries if entry.directory and entry not in holders]
    settled = []
    for entry in entries:
        changes: dict[str, Any] = {}
        if len(ready) > 1 and entry in ready:
            changes = {"state": "conflict", "reason": _collision(entry, ready)}
            if entry.plugin:
                entry.plugin.conflict(f"router {entry.name!r}: {changes['reason']}")
        elif entry in hidden and entry.state == "ready":
            way = f"; {entry.qualified_name} chooses it" if entry is _first_directory(entries) else ""
            changes = {"state": "shadowed", "reason": f"hidden by {holders[0].label}{way}"}
        elif entry in holders and hidden and entry.state == "ready":
            note = f"hides {', '.join(other.origin for other in hidden)}"
            changes = {"reason": f"{entry.reason}; {note}" if entry.reason else note}
        settled.append(replace(entry, **changes))
    return settled


def _collision(entry: RouterEntry, entries: list[RouterEntry]) -> str:
    if len({other.origin for other in entries}) == 1:
        modules = " and ".join(other.plugin.module for other in entries if other.plugin)
        return f"{entry.label} declares it in {modules}; it must declare it once"
    others = [other.label for other in entries if other is not entry]
    choices = " or ".join(dict.fromkeys(other.qualified_name for other in entries))
    return f"{' and '.join(others)} provide{'s' * (len(others) == 1)} it too; choose with {choices}"


def _first_directory(entries: Iterable[RouterEntry]) -> RouterEntry | None:
    return next((entry for entry in entries if entry.directory), None)
