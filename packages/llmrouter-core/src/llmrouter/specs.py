"""What a plugin declares: a name, where the code is, and a sentence about it.

A ``target`` is ``"module:Name"``; it is imported when the thing is used, never to list it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_TARGET = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def _check(spec: object, name: object, target: object, summary: object = "") -> None:
    kind = type(spec).__name__
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"{kind}: {name!r} is not a name; use lower-case letters, digits, '.', '_' and '-'")
    if not isinstance(target, str) or not _TARGET.fullmatch(target):
        raise ValueError(f"{kind} {name!r}: target {target!r} is not of the form 'package.module:Name'")
    if not isinstance(summary, str):
        raise ValueError(f"{kind} {name!r}: summary {summary!r} is not text")


@dataclass(frozen=True)
class RouterSpec:
    """A router class, a subclass of `llmrouter.models.router.Router`."""

    name: str
    target: str
    summary: str = ""

    def __post_init__(self) -> None:
        _check(self, self.name, self.target, self.summary)


@dataclass(frozen=True)
class TrainerSpec:
    """The trainer class of a router that the same distribution declares."""

    router: str
    target: str

    def __post_init__(self) -> None:
        _check(self, self.router, self.target)


@dataclass(frozen=True)
class EncoderSpec:
    """An encoder class that turns text into features.

    ``dim`` is the number of features, or None where that is known only once it is loaded.
    Users may append an argument to the name, as in ``sentence-transformers:FOLDER``.
    """

    name: str
    target: str
    dim: int | None = None

    def __post_init__(self) -> None:
        _check(self, self.name, self.target)
        if self.dim is not None and (type(self.dim) is not int or self.dim < 1):
            raise ValueError(f"EncoderSpec {self.name!r}: dim {self.dim!r} is not a positive whole number")


@dataclass(frozen=True)
class JudgeSpec:
    """A judge class that scores an LLM's answer."""

    name: str
    target: str

    def __post_init__(self) -> None:
        _check(self, self.name, self.target)


@dataclass(frozen=True)
class CommandSpec:
    """A click command that becomes ``llmrouter NAME``."""

    name: str
    target: str
    summary: str = ""

    def __post_init__(self) -> None:
        _check(self, self.name, self.target, self.summary)


Spec = RouterSpec | TrainerSpec | EncoderSpec | JudgeSpec | CommandSpec
