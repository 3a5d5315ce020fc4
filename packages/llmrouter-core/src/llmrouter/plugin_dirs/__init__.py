"""Import package of the code found in plugin directories.

Each directory is a private package below this one, so ``/home/me/custom_routers`` is
``llmrouter.plugin_dirs._2fhome_2fme_2fcustom_5frouters``. The name says where the directory is, so an
object of a class from there can be unpickled in another process, which imports this package and with
it the finder. ``sys.path`` stays as it was, and two directories may hold modules of the same name.

Modules of such a package see their directory's modules under the names that an author would expect:
``from shared_utils import x`` and ``from custom_routers.shared_utils import x`` give the same module as
``from ..shared_utils import x``. Only import statements are mapped (by the ``__import__`` that these
modules find among their builtins); ``importlib.import_module("shared_utils")`` is not.
"""

from __future__ import annotations

import builtins
import functools
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any


def package_name(directory: str | Path) -> str:
    """Return the name of the private package of a plugin directory."""
    path = os.path.abspath(directory)
    return f"{__name__}." + "".join(
        char if char.isascii() and char.isalnum() else "".join(f"_{byte:02x}" for byte in char.encode())
        for char in path
    )


def _directory(encoded: str) -> Path:
    raw = re.sub(rb"_([0-9a-f]{2})", lambda match: bytes.fromhex(match[1].decode()), encoded.encode())
    return Path(raw.decode())


class _Finder(MetaPathFinder):
    """Finds the private packages, and their modules on their own search path only."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(f"{__name__}."):
            return None
        encoded, _, inside = fullname[len(__name__) + 1 :].partition(".")
        directory = _directory(encoded)
        if inside:
            spec = PathFinder.find_spec(fullname, path, target)
        elif (directory / "__init__.py").is_file():
            spec = importlib.util.spec_from_file_location(
                fullname, directory / "__init__.py", submodule_search_locations=[str(directory)]
            )
        elif directory.is_dir():
            spec = ModuleSpec(fullname, None, is_package=True)
            spec.submodule_search_locations = [str(directory)]
        else:
            return None
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = _Loader(fullname, spec.loader.path, directory)
        return spec


class _Loader(SourceFileLoader):
    """Runs a module's source with an ``__import__`` that knows its directory."""

    def __init__(self, fullname: str, path: str, directory: Path) -> None:
        super().__init__(fullname, path)
        self._directory = directory

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__builtins__"] = _builtins(self._directory)
        super().exec_module(module)


@functools.cache
def _builtins(directory: Path) -> Mapping[str, Any]:
    return {**vars(builtins), "__import__": _importer(directory)}


def _importer(directory: Path) -> Callable[..., Any]:
    package = package_name(directory)

    @functools.cache
    def own_root(top: str) -> str | None:
        """The private name of a top-level name that means something in this directory, else None."""
        is_self = top == directory.name
        if not is_self and not (directory / top).is_dir() and not (directory / f"{top}.py").is_file():
            return None
        if belongs_elsewhere(top, directory):
            return None
        return package if is_self else f"{package}.{top}"

    def import_(
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        top, dot, rest = name.partition(".")
        root = own_root(top) if level == 0 else None
        if root is None:
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        module = builtins.__import__(root + dot + rest, globals, locals, fromlist or (), 0)
        # "import a.b" binds a, "from a.b import c" reads from b.
        return module if fromlist else sys.modules[root]

    return import_


def belongs_elsewhere(top: str, directory: Path) -> bool:
    """Whether the rest of the program imports this name from somewhere else than the directory."""
    if top in sys.stdlib_module_names:
        return True
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):  # a loaded module without a spec
        return True
    if spec is None:
        return False
    places = [*(spec.submodule_search_locations or []), *([spec.origin] if spec.has_location else [])]
    real = os.path.realpath(directory)
    return not any(Path(os.path.realpath(place)).is_relative_to(real) for place in places if place)


sys.meta_path.insert(0, _Finder())
