"""The plugin of an earlier version, as its project's files tell it."""

from __future__ import annotations

import hashlib
import importlib
import sys
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).with_name("api_1_0")


class Project(NamedTuple):
    """What a distribution is made of."""

    name: str
    version: str
    requires: tuple[str, ...]
    entry_points: dict[str, str]
    modules: dict[str, str]


def read_project() -> Project:
    """Read the project."""
    tomllib: Any = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    told = tomllib.loads((FOLDER / "pyproject.toml").read_text("utf-8"))["project"]
    sources = {
        ".".join(path.relative_to(FOLDER).with_suffix("").parts): path.read_text("utf-8")
        for path in FOLDER.rglob("*.py")
    }
    return Project(
        told["name"],
        told["version"],
        tuple(told["dependencies"]),
        told["entry-points"]["llmrouter"],
        sources,
    )


def digest() -> str:
    """Return a digest of all of its files, whatever line ends a checkout has given them."""
    found = hashlib.sha256()
    for path in sorted(FOLDER.rglob("*")):
        if path.suffix in (".py", ".toml", ".md"):
            found.update(f"{path.relative_to(FOLDER).as_posix()}\n{path.read_text('utf-8')}\n".encode())
    return found.hexdigest()
