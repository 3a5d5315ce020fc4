"""Load the plugins that installed distributions advertise, one at a time, whatever each of them does.

pluggy's own loader stops at the first broken plugin and skips a second entry point of the same name
silently, and one plugin's ``SystemExit`` ends a collective hook call; here each plugin fails alone.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

import pluggy

from llmrouter import hookspecs, specs
from llmrouter.errors import PluginError, describe, text_of
from llmrouter.plugin_system.exits import exits_raise
from llmrouter.plugin_system.isolation import is_interrupt
from llmrouter.plugin_system.metadata import (
    CORE,
    Distribution,
    EntryPoint,
    entry_points,
    incompatibility,
)
from llmrouter.plugin_system.selection import Selection
from llmrouter.plugin_system.surroundings import Surroundings

logger = logging.getLogger(__name__)

State = Literal["ready", "failed", "shadowed", "conflict", "incompatible", "blocked"]
SpecT = TypeVar("SpecT", bound=specs.Spec)

_REGISTERING: dict[str, type[specs.Spec]] = {
    "llmrouter_register_routers": specs.RouterSpec,
    "llmrouter_register_trainers": specs.TrainerSpec,
    "llmrouter_register_encoders": specs.EncoderSpec,
    "llmrouter_register_judges": specs.JudgeSpec,
    "llmrouter_register_commands": specs.CommandSpec,
}
_OBSERVING = "llmrouter_after_route"

BUILTIN = "llmrouter.encoders.plugin"
TRACE_VARIABLE = "LLMROUTER_TRACE_PLUGINS"


@dataclass(eq=False)
class Plugin:
    """One entry point: what became of it and what it declares.

    Attributes:
        name: The entry point's name.
        module: The plugin module.
        distribution: Where it comes from.
        state: ``ready``, ``failed``, ``incompatible``, ``blocked``, or ``conflict`` where one of its
            declarations collides with another plugin's.
        reason: Why it is not ready, or what importing it changed and was put back; None if nothing is wrong.
        cause: The exception behind a failure.
        hooks: Names of the hooks that it implements.
        declared: What it declares, in order.
        load_ms: Time to import it and to ask it for its declarations.
        imported_torch: Whether importing it imported torch.
        deprecated: What it implements that is on its way out, a sentence each.
    """

    name: str
    module: str
    distribution: Distribution
    state: State = "ready"
    reason: str | None = None
    cause: BaseException | None = None
    hooks: tuple[str, ...] = ()
    declared: list[specs.Spec] = field(default_factory=list)
    load_ms: float = 0.0
    imported_torch: bool = False
    deprecated: tuple[str, ...] = ()

    def specs(self, kind: type[SpecT]) -> list[SpecT]:
        """Return what it declares of one kind."""
        return [spec for spec in self.declared if isinstance(spec, kind)]

    def conflict(self, reason: str) -> None:
        """Note that one of its declarations collides with another."""
        self.state = "conflict"
        self.reason = reason if self.reason is None else f"{self.reason}; {reason}"


class ImportGuard(Protocol):
    """Watches imports for a program that has to survive all of them."""

    def problem(self, plugin: Plugin) -> str | None:
        """Return why a plugin must not be imported, or None."""

    def importing(self, plugin: Plugin) -> None:
        """Note that a plugin is imported next."""

    def imported(self) -> None:
        """Note that all of them are imported."""


class Observer(NamedTuple):
    """One plugin's implementation of ``llmrouter_after_route``."""

    plugin: str
    call: Callable[..., object]
    wants: tuple[str, ...]

    def __call__(self, arguments: Mapping[str, Any]) -> None:
        """Call it with those of the hook's arguments that it asks for."""
        with traced(_OBSERVING, self.plugin):
            self.call(*[arguments[name] for name in self.wants])


class InstalledPlugins:
    """The installed plugins, in the order in which they were found.

    Attributes:
        builtin: What core itself declares; it cannot be left out.
        plugins: One for each entry point.
        observers: The implementations of ``llmrouter_after_route``.
        unused: Names in the selection that no plugin bears.
    """

    def __init__(self, core_version: str, selection: Selection, guard: ImportGuard | None = None) -> None:
        self._guard = guard
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._core_version = core_version
        self.builtin = Plugin("core", BUILTIN, Distribution(CORE, core_version))
        points = entry_points()
        self.unused = selection.unused(points)
        self.plugins: list[Plugin] = []
        with Surroundings() as self._surroundings, exits_raise():
            self._execute(self.builtin)
            for same in _by_module(points):
                self.plugins.append(self._load(same, selection))
        if guard:
            guard.imported()
        self.observers = [
            Observer(impl.plugin_name, impl.function, impl.argnames)
            for impl in self._manager.hook.llmrouter_after_route.get_hookimpls()
        ]

    def _load(self, points: list[EntryPoint], selection: Selection) -> Plugin:
        point = points[0]
        plugin = Plugin(point.name, point.module, point.distribution)
        if refusal := selection.refusal(points):
            plugin.state, plugin.reason = "blocked", refusal
        elif point.problem:
            plugin.state, plugin.reason = "failed", point.problem
        elif problem := incompatibility(point.distribution, self._core_version):
            plugin.state, plugin.reason = "incompatible", problem
        elif first := next(
            (one for one in self.plugins if one.state == "ready" and one.module == point.module), None
        ):
            plugin.state = "shadowed"
            plugin.reason = f"{first.distribution} names the module {point.module} too, and is loaded"
        elif self._guard and (problem := self._guard.problem(plugin)):
            plugin.state, plugin.reason = "failed", problem
        else:
            if self._guard:
                self._guard.importing(plugin)
            self._execute(plugin)
        return plugin

    def _execute(self, plugin: Plugin) -> None:
        started = time.perf_counter()
        torch_was_there = "torch" in sys.modules
        key = f"{plugin.distribution.name}:{plugin.name}"
        if self._manager.has_plugin(key):  # one distribution may name two modules alike
            key += f" ({plugin.module})"
        try:
            module = load_target(plugin.module)
            plugin.deprecated = self._register(module, key)
            plugin.hooks = self._implemented(module)
            for hook in plugin.hooks:
                if kind := _REGISTERING.get(hook):
                    plugin.declared += self._ask(module, hook, kind)
        except BaseException as error:  # a plugin may raise anything, SystemExit included
            if is_interrupt(error):
                raise KeyboardInterrupt(
                    f"while importing the plugin {plugin.name!r} of {plugin.distribution}"
                ) from error
            if self._manager.has_plugin(key):
                self._manager.unregister(name=key)
            plugin.declared = []
            plugin.state, plugin.reason, plugin.cause = "failed", describe(error), error
        if changed := self._surroundings.restore():
            told = f"importing it changed {', '.join(changed)}, which was put back"
            plugin.reason = f"{plugin.reason}; {told}" if plugin.reason else told
        plugin.load_ms = (time.perf_counter() - started) * 1000
        plugin.imported_torch = not torch_was_there and "torch" in sys.modules

    def _register(self, module: object, key: str) -> tuple[str, ...]:
        """Register a plugin; returns what pluggy says of hooks and arguments that are on their way out."""
        # Kept for whoever checks: warnings would come in every command, and end here where they are errors.
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self._manager.register(module, key)
        return tuple(dict.fromkeys(str(warning.message) for warning in caught))

    def _implemented(self, module: object) -> tuple[str, ...]:
        for hook in (*_REGISTERING, _OBSERVING):
            defined = getattr(module, "__dict__", {}).get(hook)
            if callable(defined) and not hasattr(defined, f"{hookspecs.PROJECT}_impl"):
                raise PluginError(f"defines {hook} without @hookimpl before it")
        callers = self._manager.get_hookcallers(module) or []
        for caller in callers:
            impl, *more = [impl for impl in caller.get_hookimpls() if impl.plugin is module]
            if more:
                raise PluginError(f"implements {caller.name} twice")
            if not caller.has_spec() and not impl.optionalhook:
                known = ", ".join((*_REGISTERING, _OBSERVING))
                raise PluginError(
                    f"implements an unknown hook, {caller.name}; there are {known}. "
                    f"If it is of a newer {CORE} than {self._core_version}, upgrade that; "
                    "with @hookimpl(optionalhook=True) older ones pass over it"
                )
            if impl.wrapper or impl.hookwrapper:
                raise PluginError(f"implements {caller.name} as a hook wrapper, which is not called")
        return tuple(caller.name for caller in callers)

    def _ask(self, module: object, hook: str, kind: type[specs.Spec]) -> list[specs.Spec]:
        caller = getattr(self._manager.hook, hook)
        (impl,) = [impl for impl in caller.get_hookimpls() if impl.plugin is module]
        with traced(hook, impl.plugin_name):
            answer = impl.function()
        if answer is None:
            return []
        if not isinstance(answer, Iterable) or isinstance(answer, str | bytes | Mapping):
            raise PluginError(f"{hook} returned {_shown(answer)}, not a list of {kind.__name__}")
        declared: list[specs.Spec] = []
        for spec in answer:
            if not isinstance(spec, kind):
                raise PluginError(f"{hook} returned {_shown(spec)} in its list, not a {kind.__name__}")
            if not isinstance(spec, specs.TrainerSpec) and spec.name in {
                other.name for other in declared if not isinstance(other, specs.TrainerSpec)
            }:
                raise PluginError(f"{hook} declares {spec.name!r} twice")
            declared.append(spec)
        return declared


@contextlib.contextmanager
def traced(hook: str, plugin: str) -> Iterator[None]:
    """Log a call of a hook with its time, where ``$LLMROUTER_TRACE_PLUGINS`` asks for it."""
    if os.environ.get(TRACE_VARIABLE, "0") in ("", "0"):
        yield
        return
    started = time.perf_counter()
    try:
        yield
    finally:
        logger.warning("%s of %s: %.3f ms", hook, plugin, (time.perf_counter() - started) * 1000)


def load_target(target: str) -> Any:
    """Import what ``module`` or ``module:Name`` names.

    Raises:
        AttributeError: The module has no such name.
        BaseException: Whatever importing the module raises.
    """
    module, _, name = target.partition(":")
    found: Any = importlib.import_module(module)
    for part in filter(None, name.split(".")):
        found = getattr(found, part)
    return found


def _by_module(points: Iterable[EntryPoint]) -> list[list[EntryPoint]]:
    """Group a distribution's entry points that name one module, which is loaded once."""
    groups: dict[tuple[str, str], list[EntryPoint]] = {}
    for point in points:
        groups.setdefault((point.distribution.name, point.module), []).append(point)
    return list(groups.values())


def _shown(value: object) -> str:
    return f"{type(value).__name__} {text_of(value, repr, 60)}".rstrip()
