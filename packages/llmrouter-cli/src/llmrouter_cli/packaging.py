"""Make a distribution of a router in a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from llmrouter.errors import DataError
from llmrouter.plugin_dirs import package_name
from llmrouter.plugin_system import PluginRegistry, RouterEntry
from llmrouter_cli.folder_source import OURS, FolderSource
from llmrouter_cli.folders import new_folder
from llmrouter_cli.scaffold import Kind, Names, check_free, dependencies, render, words


class Made(NamedTuple):
    """What was made.

    Attributes:
        target: The folder of the distribution.
        unknown: Packages that it imports, and of which it is not known what provides them.
    """

    target: Path
    unknown: list[str]


def write_distribution(folder: Path, registry: PluginRegistry) -> Made:
    """Write the distribution of a router folder into the current folder; the router's code is run.

    Args:
        folder: The router's folder.
        registry: What is installed.

    Raises:
        LLMRouterError: It is no router, its name is taken or cannot be a distribution's, the distribution's
            folder exists, or a source cannot be taken over.
    """
    folder = folder.absolute()
    local = PluginRegistry([folder.parent])
    entry = _entry(folder, local)
    names = Names.of(entry.name)
    check_free(names, "router", registry, as_distribution=True)
    target = Path(names.distribution)
    if target.exists():
        raise DataError(target, "exists already; nothing was written")

    router = local.load_router(entry)
    trainer = local.load_trainer(entry) if entry.trainable else None
    source = FolderSource(folder, names.module)
    needs = source.foreign - {OURS}
    extra = "[torch]" if "torch" in needs or _holds_torch(router) else "[numpy]" if "numpy" in needs else ""
    description = entry.summary or f"The router {names.name}."
    kind = Kind("router", description.replace("$", "$$"), extra)
    filled = words(names, kind)
    filled |= {
        "description": description.replace("\\", "").replace('"', "'"),
        "summary": json.dumps(description, ensure_ascii=False),
        "router": _target(router, folder, source),
        "trainer": _target(trainer, folder, source) if trainer else "",
        "use": "llmrouter list-routers",
        "strict": "false",
        "dependencies": dependencies(f"llmrouter-core{extra}{filled['bounds']}"),
    }
    with new_folder(target) as new:
        package = new / "src" / names.module
        render("common", new, filled)
        render("packaged", new, filled)
        plugin = "trainable" if trainer else "router"
        render(f"{plugin}/src/package/plugin.py", package / "plugin.py", filled)
        source.copy_to(package)
    return Made(target, sorted(needs - {"torch", "numpy", "safetensors"}))


def _entry(folder: Path, registry: PluginRegistry) -> RouterEntry:
    for entry in registry.routers:
        if entry.directory and entry.directory.folder == folder:
            if entry.state == "failed":
                raise DataError(folder, f"is no router that can be used: {entry.reason}")
            return entry
    raise DataError(folder, "is no router folder; name one such as custom_routers/my_router")


def _holds_torch(router: type) -> bool:
    return any(base.__module__ == "torch.nn.modules.module" for base in router.__mro__)


def _target(found: type, folder: Path, source: FolderSource) -> str:
    """Return how the plugin module names a class."""
    prefix = f"{package_name(folder.parent)}."
    if not found.__module__.startswith(prefix):
        raise DataError(folder, f"its {found.__name__} is defined in {found.__module__}, outside of it")
    return f"{source.name_of(found.__module__.removeprefix(prefix))}:{found.__qualname__}"
