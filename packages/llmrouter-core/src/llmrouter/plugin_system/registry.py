"""The one place that knows which routers, trainers, encoders, judges and commands there are."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import llmrouter
from llmrouter.errors import PluginError, RouterValidationError, UnknownRouterError
from llmrouter.plugin_system.directories import PluginDirectory, find_folder, scan, search_path
from llmrouter.plugin_system.entries import DIRECTORY_PREFIX, RouterEntry, router_entries
from llmrouter.plugin_system.installed import (
    BUILTIN,
    ImportGuard,
    InstalledPlugins,
    Observer,
    Plugin,
    load_target,
)
from llmrouter.plugin_system.metadata import is_met, normalize, requirement_name
from llmrouter.plugin_system.selection import Selection
from llmrouter.plugin_system.settings import Settings, read_settings
from llmrouter.plugin_system.surroundings import importing
from llmrouter.specs import CommandSpec, EncoderSpec, JudgeSpec

if TYPE_CHECKING:
    from llmrouter.models.base_trainer import BaseTrainer
    from llmrouter.models.router import Router

logger = logging.getLogger(__name__)

NamedSpecT = TypeVar("NamedSpecT", EncoderSpec, JudgeSpec, CommandSpec)


@dataclass(eq=False)
class Declaration(Generic[NamedSpecT]):
    """An encoder, judge or command, with the plugin that declares it.

    Attributes:
        reason: With which other plugin it collides, or None.
    """

    spec: NamedSpecT
    plugin: Plugin
    reason: str | None = None


class PluginRegistry:
    """What is installed and what lies in plugin directories, with the state of each and its reason.

    Args:
        plugin_dirs: Directories to search instead of the default ones; empty: none.
        block: Names of distributions or entry points to leave out, beside those that the environment names.
        directories: Whether to search the default ones; None: as the settings say.
        advice: What brings the default ones back where `directories` is False, told to whoever asks for a
            router in one of them.
        guard: Watches the imports of installed plugins.

    Attributes:
        plugins: One for each entry point of the group ``llmrouter``.
        directories: The search path, each directory with the routers it holds.
        routers: Every router, usable or not, by name.
        encoders: Every declared encoder, by name.
        judges: Every declared judge, by name.
        commands: Every declared command, by name.
        observers: The implementations of ``llmrouter_after_route``.
        unused: Names in the selection of plugins that nothing installed bears.
        settings: What the user's and the project's file say.
        missing: What is wrong with the plugins that these require, one sentence each.
        announced: Folders that were said to be run; each is said once.
    """

    def __init__(
        self,
        plugin_dirs: Iterable[str | os.PathLike[str]] | None = None,
        block: Iterable[str] = (),
        *,
        directories: bool | None = None,
        advice: str = "",
        guard: ImportGuard | None = None,
    ) -> None:
        self.settings = read_settings()
        selection = Selection.from_environ(block=block, settings=self.settings)
        installed = InstalledPlugins(llmrouter.__version__, selection, guard)
        self.plugins: list[Plugin] = installed.plugins
        self.observers: list[Observer] = installed.observers
        self.unused: list[str] = installed.unused
        self.missing: list[str] = list(_missing(self.settings, self.plugins))
        self.announced: set[str] = set()
        # Why the default directories are not searched, or None.
        self._unsearched: str | None = None
        if plugin_dirs is None and directories is False:
            self._unsearched = f"plugin directories are off{advice and '; '}{advice}"
        elif plugin_dirs is None and directories is None and self.settings.no_directories:
            self._unsearched = f"{self.settings.no_directories} turns plugin directories off"
        if self._unsearched is not None:
            plugin_dirs = ()
        self.directories: list[PluginDirectory] = [scan(*place) for place in search_path(plugin_dirs)]
        self.routers: list[RouterEntry] = router_entries(self.plugins, self.directories, self.settings.pins)
        declaring = [installed.builtin, *self.plugins]
        self.encoders = _declarations(declaring, EncoderSpec)
        self.judges = _declarations(declaring, JudgeSpec)
        self.commands = _declarations(declaring, CommandSpec)

    def get_router_names(self) -> list[str]:
        """Return the names of the routers that can be used, sorted."""
        return sorted(entry.name for entry in self.routers if entry.state == "ready")

    def find(self, name: str) -> RouterEntry:
        """Return the router that a user means.

        Args:
            name: ``NAME``, or ``DISTRIBUTION:NAME`` or ``dir:NAME`` where several bear it.

        Raises:
            UnknownRouterError: There is none.
            RouterValidationError: The source of a folder shows that its class is no router's.
            PluginError: There is one, or several, but it cannot be used; or a required plugin is missing.
        """
        if self.missing:
            raise PluginError(self.missing[0])
        origin, _, bare = name.strip().rpartition(":")
        bare = bare.lower()
        if not origin:
            origin = self.settings.pins.get(bare, ("", ""))[0]
        named = [entry for entry in self.routers if entry.name == bare]
        if origin == DIRECTORY_PREFIX:
            found = [entry for entry in named if entry.directory][:1]
        elif origin:
            found = [entry for entry in named if entry.distribution and _same(entry.distribution, origin)]
        else:
            found = named
        if not found:
            raise self._unknown(name, named, origin)
        usable = [
            entry
            for entry in found
            if entry.state == "ready" or (origin and entry.state in ("conflict", "shadowed"))
        ]
        if len(usable) == 1:
            return usable[0]
        entry = next((entry for entry in found if entry.state not in ("shadowed", "blocked")), found[0])
        if entry.directory and entry.directory.reading.misnamed:
            raise UnknownRouterError(name, f": {entry.label}: {entry.reason}; name it {_class_name(bare)}")
        if entry.directory and entry.directory.reading.invalid:
            raise RouterValidationError(f"{entry.label}: {entry.reason}")
        raise PluginError(f"Router {name!r} from {entry.label} cannot be used, {entry.state}: {entry.reason}")

    def load_router(self, entry: RouterEntry) -> type[Router]:
        """Import a router's class; for a folder this is the first time that its code runs.

        Raises:
            PluginError: Its code fails; the message names the cause.
            RouterValidationError: The class does not fulfil the contract.
        """
        from llmrouter.models.router import Router

        return self._load_class(entry, Router, entry.target or "", ("router.py", "model.py"))

    def load_trainer(self, entry: RouterEntry) -> type[BaseTrainer]:
        """Import a router's trainer class.

        Raises:
            PluginError: It has none, several, or its code fails.
            RouterValidationError: The class does not fulfil the contract.
        """
        from llmrouter.models.base_trainer import BaseTrainer

        if not entry.trainable:
            why = f": {entry.reason}" if entry.reason else "; a trainer makes it trainable"
            raise PluginError(f"Router {entry.name!r} from {entry.label} cannot be trained{why}")
        target = entry.trainers[0].target if entry.trainers else ""
        return self._load_class(entry, BaseTrainer, target, ("trainer.py", "router.py", "model.py"))

    def load(self, declaration: Declaration[Any]) -> Any:
        """Import what a declaration of an encoder, judge or command names.

        Raises:
            PluginError: It collides with another, or its code fails.
        """
        if declaration.reason:
            raise PluginError(declaration.reason)
        spec = declaration.spec
        with importing(f"{spec.name!r} from {declaration.plugin.distribution}"):
            return load_target(spec.target)

    def problems(self) -> list[str]:
        """Tell what needs attention, one sentence each; what the user left out does not."""
        return [
            *self.failures(),
            *(_told(plugin) for plugin in self.plugins if plugin.state == "conflict"),
            *(
                f"no installed plugin or distribution is named {name!r}, nothing to load or block"
                for name in self.unused
            ),
        ]

    def failures(self) -> list[str]:
        """Tell what failed to load, one sentence each."""
        return [
            *self.missing,
            *(_told(plugin) for plugin in self.plugins if plugin.state in ("failed", "incompatible")),
            *(
                f"router {entry.name!r} in {entry.origin}, failed: {entry.reason}"
                for entry in self.routers
                if entry.directory and entry.state == "failed"
            ),
            *(
                f"plugin directory {place.path} {place.problem}"
                for place in self.directories
                if place.problem
            ),
        ]

    def _load_class(
        self, entry: RouterEntry, base: type[Any], target: str, files: tuple[str, ...]
    ) -> type[Any]:
        with importing(f"Router {entry.name!r} from {entry.label}"):
            if entry.directory is None:
                from llmrouter.plugin_system.contract import validated

                return validated(load_target(target), base, target)
            # Imported here, for it puts a finder in front of every import.
            from llmrouter.plugin_system.classes import class_in_folder

            if entry.origin not in self.announced:
                self.announced.add(entry.origin)
                logger.warning("Running router %r from %s", entry.name, entry.origin)
            return class_in_folder(entry.directory.folder, base, files)

    def _unknown(self, name: str, named: Sequence[RouterEntry], origin: str) -> UnknownRouterError:
        bare = name.rpartition(":")[2].strip().lower()
        if self._unsearched and origin in ("", DIRECTORY_PREFIX) and (folder := find_folder(bare)):
            return UnknownRouterError(name, f"; it is the folder {folder}, and {self._unsearched}")
        if named:
            choices = " or ".join(entry.qualified_name for entry in named)
            return UnknownRouterError(name, f"; there is {choices}")
        names = self.get_router_names()
        nearest = _nearest(bare, names)
        if nearest:
            return UnknownRouterError(name, f"; did you mean {' or '.join(nearest)}?", nearest)
        known = f"there are {', '.join(names)}" if names else "none is installed"
        places = ", ".join(str(place.path) for place in self.directories) or "no directory"
        advice = f"; {known}. Install the package that provides it, or put its folder in {places}"
        if self._unsearched:
            advice += f"; {self._unsearched}"
        if left_out := [plugin.name for plugin in self.plugins if plugin.state == "blocked"]:
            advice += f"; these plugins are left out: {', '.join(left_out)}"
        return UnknownRouterError(name, advice)


def _nearest(wanted: str, names: Sequence[str]) -> list[str]:
    """Names that look like `wanted`, best first; that both end in "router" makes no two alike."""
    from difflib import get_close_matches

    stems = {name.removesuffix("router"): name for name in names}
    alike = [stems[stem] for stem in get_close_matches(wanted.removesuffix("router"), stems)]
    return alike or get_close_matches(wanted, names, cutoff=0.8)


def _declarations(plugins: Iterable[Plugin], kind: type[NamedSpecT]) -> dict[str, Declaration[NamedSpecT]]:
    by_name: dict[str, list[tuple[NamedSpecT, Plugin]]] = defaultdict(list)
    for plugin in plugins:
        for spec in plugin.specs(kind):
            by_name[spec.name].append((spec, plugin))
    found = {}
    for name, declared in sorted(by_name.items()):
        reason = None
        (spec, plugin), *others = declared
        if plugin.module == BUILTIN:
            for _, other in others:
                other.conflict(
                    f"{kind.__name__.removesuffix('Spec').lower()} {name!r} is built in and stays so"
                )
        elif others:
            sources = " and ".join(str(other.distribution) for _, other in declared)
            reason = f"{name!r} is declared by {sources}; leave one out with LLMROUTER_BLOCK_PLUGINS"
            for _, other in declared:
                other.conflict(f"{kind.__name__.removesuffix('Spec').lower()} {reason}")
        found[name] = Declaration(spec, plugin, reason)
    return found


def _missing(settings: Settings, plugins: Iterable[Plugin]) -> Iterator[str]:
    by_name = {normalize(plugin.distribution.name): plugin for plugin in plugins}
    for requirement, file in settings.required.items():
        said = f"{file} requires the plugin {requirement}"
        plugin = by_name.get(normalize(requirement_name(requirement)))
        if not is_met(requirement):
            found = f"{plugin.distribution} is installed" if plugin else "it is not installed"
            yield f"{said}, and {found}; run: llmrouter install {requirement!r}"
        elif plugin is not None and plugin.state not in ("ready", "conflict"):
            yield f"{said}, which is {plugin.state}: {plugin.reason}"


def _told(plugin: Plugin) -> str:
    return f"plugin {plugin.name!r} of {plugin.distribution}, {plugin.state}: {plugin.reason}"


def _same(distribution: str, other: str) -> bool:
    return normalize(distribution) == normalize(other)


def _class_name(router: str) -> str:
    stem = "".join(part.capitalize() for part in router.replace("-", "_").split("_"))
    return stem if stem.endswith("Router") else f"{stem.removesuffix('router')}Router"
