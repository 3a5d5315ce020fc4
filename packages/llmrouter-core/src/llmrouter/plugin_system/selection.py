"""Which installed plugins the user lets in: two environment variables, ``--no-plugin``, and the settings."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from llmrouter.plugin_system.metadata import EntryPoint, normalize
from llmrouter.plugin_system.settings import Settings

LOAD_VARIABLE = "LLMROUTER_LOAD_PLUGINS"
BLOCK_VARIABLE = "LLMROUTER_BLOCK_PLUGINS"


class Selection(NamedTuple):
    """Names of distributions or entry points to load and to leave out.

    Attributes:
        only: If not None, nothing else is loaded; empty: nothing at all.
        blocked: What is left out, with the words that tell who said so.
        only_by: Who said what else is loaded.
    """

    only: frozenset[str] | None
    blocked: Mapping[str, str]
    only_by: str = LOAD_VARIABLE

    @classmethod
    def from_environ(
        cls,
        environ: Mapping[str, str] | None = None,
        block: Iterable[str] = (),
        settings: Settings | None = None,
    ) -> Selection:
        """Read the environment; `block` and the settings add to what it leaves out."""
        environ = os.environ if environ is None else environ
        settings = settings or Settings()
        blocked = {
            **settings.block,
            **{name: f"{BLOCK_VARIABLE} names {name!r}" for name in _names(environ.get(BLOCK_VARIABLE, ""))},
            **{normalize(name): f"--no-plugin {name}" for name in block},
        }
        told = environ.get(LOAD_VARIABLE)
        if told is None and settings.allow is not None:
            return cls(settings.allow[0], blocked, settings.allow[1])
        return cls(None if told is None else frozenset(_names(told)), blocked)

    def refusal(self, points: Iterable[EntryPoint]) -> str | None:
        """Tell why the module that these entry points name is left out, or None."""
        names = _names_of(points)
        for name in sorted(names & set(self.blocked)):
            return self.blocked[name]
        if self.only is not None and not names & self.only:
            return f"{self.only_by} does not name it"
        return None

    def unused(self, points: Iterable[EntryPoint]) -> list[str]:
        """Return the names that no entry point or distribution bears, which are probably misspelt."""
        return sorted((set(self.blocked) | (self.only or frozenset())) - _names_of(points))


def _names_of(points: Iterable[EntryPoint]) -> set[str]:
    return {normalize(name) for point in points for name in (point.name, point.distribution.name)}


def _names(text: str) -> list[str]:
    return [normalize(part.strip()) for part in text.split(",") if part.strip()]
