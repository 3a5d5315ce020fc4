"""Fill in the templates of a plugin author's project."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

import llmrouter
from llmrouter.errors import LLMRouterError
from llmrouter.plugin_system import PluginRegistry
from llmrouter.plugin_system.metadata import installed_version
from llmrouter_cli.app import COMMANDS

TEMPLATES = Path(__file__).parent / "templates"
SUFFIX = ".template"

_NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")


@dataclass(frozen=True)
class Kind:
    """A kind of plugin that can be made.

    Attributes:
        what: What it is called: router, encoder, judge or command.
        description: What the example does.
        extra: The extra of llmrouter-core that it needs, in brackets, or empty.
        requires: What it needs beside llmrouter-core.
        use: How its users use it.
    """

    what: str
    description: str
    extra: str = ""
    requires: tuple[str, ...] = ()
    use: str = ""


_USE_ROUTER = 'llmrouter infer --router $name --config example/config.yaml --query "What is AI?" --route-only'

# By the names of the folders of their templates.
KINDS = {
    "router": Kind(
        "router", "Sends long queries to the last candidate, short ones to the first.", use=_USE_ROUTER
    ),
    "trainable": Kind(
        "router",
        "Learns how well each LLM answers, and chooses the best.",
        extra="[torch]",
        use="llmrouter train --router $name --config example/config.yaml",
    ),
    "encoder": Kind(
        "encoder",
        "Describes texts by their letters; routers use it with 'hparam.encoder: $name'.",
        extra="[numpy]",
        use="llmrouter plugins check",
    ),
    "judge": Kind(
        "judge",
        "Scores answers by the words that they share with the right one.",
        use="llmrouter plugins check",
    ),
    "command": Kind(
        "command", "Counts the routers that can be used.", requires=("click>=8.1",), use="llmrouter $name"
    ),
}


@dataclass(frozen=True)
class Names:
    """What is derived from the name of a plugin.

    Attributes:
        name: By which users call it, such as ``word-count``.
        distribution: ``llmrouter-word-count``.
        module: ``llmrouter_word_count``.
        stem: ``WordCount``, with which the names of its classes begin.
    """

    name: str
    distribution: str
    module: str
    stem: str

    @classmethod
    def of(cls, name: str) -> Names:
        """Derive names.

        Raises:
            LLMRouterError: It cannot be a plugin's name.
        """
        bare = name.removeprefix("llmrouter-")
        if not _NAME.fullmatch(bare):
            raise LLMRouterError(
                f"{name!r} cannot be a plugin's name; use lower-case letters and digits, with '-' or '_' "
                "between words, such as 'word-count'"
            )
        stem = "".join(part.capitalize() for part in re.split("[-_]", bare))
        for ending in ("Router", "router"):  # so that the class of my-router is MyRouter
            stem = stem.removesuffix(ending) or stem
        return cls(bare, f"llmrouter-{bare.replace('_', '-')}", f"llmrouter_{bare.replace('-', '_')}", stem)


def check_free(names: Names, what: str, registry: PluginRegistry, *, as_distribution: bool) -> None:
    """Check that nothing installed bears a name.

    Raises:
        LLMRouterError: Something does.
    """
    owner: object = None
    if what == "router":
        owner = next((e.label for e in registry.routers if e.distribution and e.name == names.name), None)
    else:
        declared = getattr(registry, f"{what}s").get(names.name)
        owner = declared.plugin.distribution if declared else None
        if what == "command" and names.name in COMMANDS:
            owner = "llmrouter-cli"
    if owner is not None:
        raise LLMRouterError(f"a {what} named {names.name!r} is installed, from {owner}; choose another name")
    version = installed_version(names.distribution) if as_distribution else None
    if version is not None:
        raise LLMRouterError(f"{names.distribution} {version} is installed; choose another name")


def words(names: Names, kind: Kind) -> dict[str, str]:
    """Return what stands in the templates for what."""
    major, minor = map(int, llmrouter.__version__.split(".")[:2])
    bounds = f">={major}.{minor},<{major}.{minor + 1}"
    description = Template(kind.description).substitute(name=names.name)
    return {
        "name": names.name,
        "distribution": names.distribution,
        "module": names.module,
        "stem": names.stem,
        "entry_point": names.name,
        "bounds": bounds,
        "dependencies": dependencies(f"llmrouter-core{kind.extra}{bounds}", *kind.requires),
        "description": description,
        "summary": json.dumps(description, ensure_ascii=False),
        "use": Template(kind.use).substitute(name=names.name),
        "config": "example/config.yaml",
        "router": f"{names.module}.router:{names.stem}Router",
        "trainer": f"{names.module}.trainer:{names.stem}Trainer",
        "strict": "true",
    }


def dependencies(*requirements: str) -> str:
    """Return the lines of a list of requirements."""
    return "\n".join(f'    "{requirement}",' for requirement in sorted(requirements))


def render(template: str, target: Path, filled: Mapping[str, str]) -> None:
    """Write the files of a template into a folder; ``package`` in their paths becomes the module's name.

    Args:
        template: A folder, or a file in one, below `TEMPLATES`.
        target: Where to; for a file its path.
        filled: What stands in the templates for what.
    """
    source = TEMPLATES / template
    if source.is_dir():
        for path in sorted(source.rglob(f"*{SUFFIX}")):
            relative = path.relative_to(source).as_posix().replace("src/package/", f"src/{filled['module']}/")
            _render_file(path, target / relative.removesuffix(SUFFIX), filled)
    else:
        _render_file(source.with_name(source.name + SUFFIX), target, filled)


def _render_file(template: Path, target: Path, filled: Mapping[str, str]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(Template(template.read_text("utf-8")).substitute(filled), "utf-8")
