"""What subjects of every kind have."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from llmrouter.specs import EncoderSpec, JudgeSpec, RouterSpec
from llmrouter_testing.report import not_applicable

if TYPE_CHECKING:
    from llmrouter.plugin_system.installed import Plugin


class Declared(NamedTuple):
    """Where an installed distribution declares a plugin.

    Attributes:
        plugin: The distribution's plugin module, and what became of it.
        spec: The declaration.
        reason: Why it cannot be used, or None.
    """

    plugin: Plugin
    spec: RouterSpec | EncoderSpec | JudgeSpec
    reason: str | None


class Subject(ABC):
    """A plugin under test; it is looked for when it is first needed.

    Attributes:
        given: A class, or the name of what is installed.
        folder: A temporary folder, gone with the subject.
        kind: ``router``, ``encoder`` or ``judge``.
    """

    kind = ""

    def __init__(self, given: Any) -> None:
        self.given = given

    @cached_property
    def folder(self) -> Path:
        """A temporary folder, gone with the subject."""
        folder = tempfile.mkdtemp(prefix="llmrouter-testing-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return Path(folder)

    @property
    def name(self) -> str:
        """What to call it."""
        return self.given.__name__ if isinstance(self.given, type) else str(self.given)

    @property
    @abstractmethod
    def found(self) -> type:
        """The class."""

    @property
    @abstractmethod
    def declared(self) -> Declared | None:
        """Where it is declared; None for a class that no installed distribution declares."""

    @property
    def declaration(self) -> Declared:
        """Where it is declared; a check that needs it does not apply where it is not."""
        if self.declared is None:
            not_applicable("no installed distribution declares it; name it as users do to have that checked")
        return self.declared


def target_of(found: type) -> str:
    """Return how a plugin module would name a class."""
    return f"{found.__module__}:{found.__qualname__}"
