"""Which plugins there are: the registry, and the ways to it.

Example::

    from llmrouter.plugin_system import discover_and_register_plugins

    registry = discover_and_register_plugins(plugin_dirs=["custom_routers"], verbose=True)
    registry.get_router_names()  # ['my_router', 'randomrouter']
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import sys
from collections.abc import Iterable, Iterator

from llmrouter.errors import LLMRouterError
from llmrouter.plugin_system.entries import RouterEntry
from llmrouter.plugin_system.registry import PluginRegistry

__all__ = [
    "PluginRegistry",
    "RouterEntry",
    "discover_and_register_plugins",
    "get_plugin_registry",
    "set_plugin_registry",
]

logger = logging.getLogger(__name__)

_current: PluginRegistry | None = None


def discover_and_register_plugins(
    plugin_dirs: Iterable[str | os.PathLike[str]] | None = None, verbose: bool = False
) -> PluginRegistry:
    """Look for plugins anew; the result is what `get_plugin_registry` returns from now on.

    Args:
        plugin_dirs: Directories with router folders, in place of ``./custom_routers``,
            ``~/.llmrouter/plugins`` and ``$LLMROUTER_PLUGINS``. Installed plugins are found always.
        verbose: Import every router and log what is found, to standard error where logging is not
            configured. Otherwise no router's code runs, and only what failed is logged.
    """
    global _current
    registry = PluginRegistry(plugin_dirs)
    with _shown_logging() if verbose else contextlib.nullcontext():
        if verbose:
            _prove(registry)
        for problem in registry.problems():
            logger.warning("%s", problem)
    _current = registry
    return registry


def get_plugin_registry() -> PluginRegistry:
    """Return this process's registry; the first call discovers what there is."""
    return _current if _current is not None else discover_and_register_plugins()


def set_plugin_registry(registry: PluginRegistry) -> None:
    """Make a registry this process's, for a program that decides which plugins there are.

    Encoders, judges and routers that name another router are then looked for there too.
    """
    global _current
    _current = registry


def _prove(registry: PluginRegistry) -> None:
    for number, entry in enumerate(registry.routers):
        if entry.state == "ready":
            try:
                registry.load_router(entry)
            except LLMRouterError as error:
                registry.routers[number] = dataclasses.replace(entry, state="failed", reason=str(error))
            else:
                logger.info("Router %r from %s", entry.name, entry.label)
        if registry.routers[number].state != "ready":
            now = registry.routers[number]
            logger.info("Router %r from %s is not used, %s: %s", now.name, now.label, now.state, now.reason)


@contextlib.contextmanager
def _shown_logging() -> Iterator[None]:
    """Show this package's log on standard error, unless the application configured logging itself."""
    package = logging.getLogger("llmrouter")
    handler = None if package.hasHandlers() else logging.StreamHandler(sys.stderr)
    level = package.level
    package.setLevel(min(package.getEffectiveLevel(), logging.INFO))
    if handler:
        package.addHandler(handler)
    try:
        yield
    finally:
        package.setLevel(level)
        if handler:
            package.removeHandler(handler)
