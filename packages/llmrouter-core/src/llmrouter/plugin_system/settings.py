"""What users settle once: ``llmrouter.toml`` of a project, and that in their home.

Both may hold::

    [plugins]
    allow = ["llmrouter-random"]        # nothing else is loaded
    block = ["llmrouter-slow"]          # left out
    required = ["llmrouter-knn>=0.1"]   # no router is used without these
    directories = false                 # no router comes from a folder

    [routers]
    myrouter = "llmrouter-mine"         # of several that provide it; "dir" for a folder

What the environment and the command line say goes before the project's, and that before the user's; what
is blocked or required anywhere is so.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from llmrouter.errors import ConfigError
from llmrouter.plugin_system.metadata import normalize
from llmrouter.spelling import unknown

FILE = "llmrouter.toml"
USER_FILE = Path("~/.llmrouter") / FILE
_LISTS = ("allow", "block", "required")
_KEYS = (*_LISTS, "directories")


class Settings(NamedTuple):
    """What the files say; names of distributions and entry points are normalised.

    Attributes:
        allow: If not None, no other plugins are loaded; with the file that says so.
        block: What is left out, and the words that tell who said so.
        required: Requirements such as ``llmrouter-knn>=0.1``, and the file of each.
        pins: Names of routers to the distribution, or ``dir``, that provides them; and the file of each.
        no_directories: The file that turns plugin directories off, or None.
    """

    allow: tuple[frozenset[str], str] | None = None
    block: Mapping[str, str] = {}
    required: Mapping[str, str] = {}
    pins: Mapping[str, tuple[str, str]] = {}
    no_directories: str | None = None


def settings_files() -> list[Path]:
    """Return the files there are, the user's first; the project's is the nearest at or above this folder."""
    user = USER_FILE.expanduser()
    # Joined as text, for this runs at every start.
    folder = os.getcwd()
    project = os.path.join(folder, FILE)
    while not os.path.isfile(project) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
        project = os.path.join(folder, FILE)
    return [path for path in (user, Path(project)) if path.is_file()]


def read_settings() -> Settings:
    """Read the settings of this user in the current folder.

    Raises:
        ConfigError: A file is malformed.
    """
    found = Settings()
    for path in settings_files():
        found = _over(found, _read(path), path)
    return found


def _over(before: Settings, told: Mapping[str, Any], path: Path) -> Settings:
    """Return settings over which those of a file go."""
    plugins, file = told["plugins"], str(path)
    block = {normalize(name): f"{file} blocks {name!r}" for name in plugins.get("block", ())}
    allow = plugins.get("allow")
    directories = plugins.get("directories")
    return Settings(
        before.allow if allow is None else (frozenset(map(normalize, allow)), file),
        {**before.block, **block},
        {**before.required, **dict.fromkeys(plugins.get("required", ()), file)},
        {**before.pins, **{name.lower(): (origin, file) for name, origin in told["routers"].items()}},
        before.no_directories if directories is None else None if directories else file,
    )


def _read(path: Path) -> dict[str, Any]:
    # Imported here, for most people have no such file.
    tomllib = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        told = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(path, f"is malformed: {error}") from error
    except OSError as error:
        raise ConfigError(path, f"cannot be read: {error.strerror}") from error
    sections = {"plugins": told.get("plugins", {}), "routers": told.get("routers", {})}
    if found := next(_problems(told, sections), None):
        raise ConfigError(path, found[1], key=found[0])
    return sections


def _problems(told: Mapping[str, Any], sections: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in told:
        if name not in sections:
            yield name, unknown(name, sections)
    for name, section in sections.items():
        if not isinstance(section, dict):
            yield name, f"expected a section, [{name}]"
            return
    for name, value in sections["plugins"].items():
        if name not in _KEYS:
            yield f"plugins.{name}", unknown(name, _KEYS)
        elif name == "directories" and not isinstance(value, bool):
            yield f"plugins.{name}", f"expected true or false, found {value!r}"
        elif name in _LISTS and not (
            isinstance(value, list) and all(isinstance(one, str) and one.strip() for one in value)
        ):
            yield f"plugins.{name}", f"expected a list of names, found {value!r}"
    for name, origin in sections["routers"].items():
        if not isinstance(origin, str) or not origin:
            yield f"routers.{name}", f"expected the name of a distribution, or dir, found {origin!r}"
