"""Find routers in plugin directories: subfolders with source, classified without running it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from llmrouter.plugin_system.source import Reading

VARIABLE = "LLMROUTER_PLUGINS"


class DirectoryRouter(NamedTuple):
    """A router folder in a plugin directory."""

    folder: Path
    reading: Reading

    @property
    def name(self) -> str:
        """The folder's name in lower case, by which users call the router."""
        return self.folder.name.lower()


class PluginDirectory(NamedTuple):
    """One directory of the search path.

    Attributes:
        path: The directory.
        asked_by: Who put it on the search path: "default", the environment variable or "caller".
        routers: What it holds, by name.
        problem: What its owner should know, such as that it does not exist; or None.
    """

    path: Path
    asked_by: str
    routers: tuple[DirectoryRouter, ...] = ()
    problem: str | None = None


def search_path(
    plugin_dirs: Iterable[str | os.PathLike[str]] | None = None, environ: Mapping[str, str] | None = None
) -> list[tuple[Path, str]]:
    """Return the directories to search, in order, each with who asked for it.

    Args:
        plugin_dirs: Directories that replace the default ones.
        environ: Environment to read instead of this process's.
    """
    if plugin_dirs is not None:
        wanted = [(Path(path), "caller") for path in plugin_dirs]
    else:
        environ = os.environ if environ is None else environ
        wanted = [(Path("custom_routers"), "default"), (Path("~/.llmrouter/plugins"), "default")]
        wanted += [
            (Path(part), VARIABLE) for part in environ.get(VARIABLE, "").split(os.pathsep) if part.strip()
        ]
    distinct: dict[str, tuple[Path, str]] = {}
    for path, asked_by in wanted:
        absolute = os.path.abspath(os.path.expanduser(path))
        real = os.path.realpath(absolute)
        first, by = distinct.get(real, (Path(absolute), asked_by))
        # A default directory that somebody names is missed where it does not exist.
        distinct[real] = (first, asked_by if by == "default" else by)
    return list(distinct.values())


def scan(path: Path, asked_by: str) -> PluginDirectory:
    """Look for router folders in one directory; nothing in it is run."""
    try:
        # By name as users see it, so that which of My_Router and my_router wins does not depend on the disk.
        names = sorted(os.listdir(path))
    except FileNotFoundError:
        return PluginDirectory(path, asked_by, problem=None if asked_by == "default" else "does not exist")
    except NotADirectoryError:
        return PluginDirectory(path, asked_by, problem="is not a folder")
    except OSError as error:
        return PluginDirectory(path, asked_by, problem=f"cannot be read: {error.strerror}")
    folders = [path / name for name in names if not name.startswith(("_", "."))]
    routers = tuple(
        DirectoryRouter(folder, reading)
        for folder in folders
        if os.path.isdir(folder) and (reading := _read(folder)) is not None
    )
    problem = None
    if not routers and not {"router.py", "model.py"}.isdisjoint(names):
        problem = f"is itself a router folder; name the folder above it, {path.parent}"
    return PluginDirectory(path, asked_by, routers, problem)


def find_folder(name: str) -> Path | None:
    """Return the router folder of that name in the default directories, searched or not; nothing is run."""
    places = (scan(*place) for place in search_path())
    return next((router.folder for place in places for router in place.routers if router.name == name), None)


def _read(folder: Path) -> Reading | None:
    """Classify a folder; None: it holds no router."""
    # Imported here, for most people have no such directory.
    from llmrouter.plugin_system.source import Reading, is_candidate, read_folder

    try:
        if not is_candidate(folder):
            return None
    except OSError as error:
        return Reading(failure=f"cannot be read: {error.strerror}")
    if "." in folder.name:
        return Reading(failure="a folder with a dot in its name cannot be imported; rename it")
    return read_folder(folder)
