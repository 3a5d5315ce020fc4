"""Find the router or trainer class in the folder of a plugin directory."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import TypeGuard

from llmrouter.errors import RouterValidationError
from llmrouter.plugin_dirs import package_name
from llmrouter.plugin_system.contract import validated
from llmrouter.plugin_system.source import choose, how_to_choose


def class_in_folder(folder: Path, base: type, files: tuple[str, ...]) -> type:
    """Import a router folder and return its subclass of `base`.

    It is the one that ``__init__.py`` exports, else the one defined in the first of `files` that exists.

    Raises:
        RouterValidationError: There is none, or several and none of them bears the folder's name.
        BaseException: Whatever the folder's code raises.
    """
    package = importlib.import_module(f"{package_name(folder.parent)}.{folder.name}")
    suffix = base.__name__.removeprefix("Base")
    found = _exported(package, base, suffix) if package.__file__ else {}
    where = folder / "__init__.py"
    if not found:
        name = next((file for file in files if (folder / file).is_file()), None)
        if name is not None:
            where = folder / name
            module = importlib.import_module(f"{package.__name__}.{name.removesuffix('.py')}")
            found = {
                attribute: value
                for attribute, value in vars(module).items()
                if attribute.endswith(suffix) and _is_a(value, base) and value.__module__ == module.__name__
            }
    chosen = _choose(found, folder, suffix)
    if chosen is None:
        problem = (
            f"{where}: {how_to_choose(list(found), folder)}"
            if found
            else f"{where}: no class whose name ends in '{suffix}' and that inherits from "
            f"{base.__module__}.{base.__name__}; one of another file is exported in __init__.py"
        )
        raise RouterValidationError(problem, kind=suffix)
    return validated(chosen, base, str(where))


def _exported(package: ModuleType, base: type, suffix: str) -> dict[str, type]:
    listed = getattr(package, "__all__", None)
    names = [str(name) for name in (dir(package) if listed is None else listed)]
    found = {name: getattr(package, name) for name in names if name.endswith(suffix)}
    if not found and hasattr(package, "__getattr__"):
        # A lazy __getattr__ need not say what it knows: ask for the name that the folder suggests.
        stem = package.__name__.rpartition(".")[2].replace("-", "_")
        camel = "".join(part[:1].upper() + part[1:] for part in stem.split("_") if part)
        for name in (camel, camel + suffix):
            try:
                found[name] = getattr(package, name)
            except AttributeError:
                continue
    return {name: value for name, value in found.items() if name.endswith(suffix) and _is_a(value, base)}


def _choose(found: dict[str, type], folder: Path, suffix: str) -> type | None:
    name = choose(list(found), folder.name, suffix)
    if name is None and len(set(found.values())) == 1:
        name = next(iter(found))
    return found[name] if name is not None else None


def _is_a(value: object, base: type) -> TypeGuard[type]:
    return (
        isinstance(value, type)
        and issubclass(value, base)
        and not value.__module__.startswith("llmrouter.models.")
    )
