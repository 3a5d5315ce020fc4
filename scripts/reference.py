"""What the documentation takes from the code, in the place of lines such as ``{{ commands }}``.

A Markdown extension, named in mkdocs.yml. It tells of what is installed: in the development environment, all
packages of this repository. What it cannot describe fails the build.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from html import escape
from importlib.metadata import metadata
from pathlib import Path

import click
from markdown import Extension, Markdown
from markdown.preprocessors import Preprocessor

from llmrouter.plugin_system import PluginRegistry
from llmrouter.specs import CommandSpec, EncoderSpec, JudgeSpec, RouterSpec, Spec, TrainerSpec
from llmrouter_cli.app import COMMANDS, App, cli

_PLACE = re.compile(r"\{\{ (\w+) \}\}")
CORE = "llmrouter-core"
_PACKAGES = Path(__file__).parent.parent / "packages"


def commands() -> Iterator[str]:
    """Yield a section for each command, of plugins too, with what its ``--help`` says."""
    app = App()
    app.use_directories = False
    _refuse_failures(app.registry)
    with click.Context(cli, info_name="llmrouter", obj=app, **cli.context_settings) as context:
        yield from _described(context, 2)
        for name in cli.list_commands(context):
            origin = "" if name in COMMANDS else app.registry.commands[name].plugin.distribution.name
            yield from _command(cli, context, name, 2, origin)


def plugins() -> Iterator[str]:
    """Yield a section for each distribution of this repository: what it adds, and what it asks for."""
    registry = PluginRegistry(())
    _refuse_failures(registry)
    added: dict[str, list[Spec]] = {plugin.distribution.name: plugin.declared for plugin in registry.plugins}
    # Core is no plugin, and adds encoders all the same.
    own = [one.spec for one in registry.encoders.values() if one.plugin.distribution.name == CORE]
    added[CORE] = [*own]
    for name in sorted(path.parent.name for path in _PACKAGES.glob("*/pyproject.toml")):
        told = metadata(name)
        extras = ", ".join(f"`{name}[{extra}]`" for extra in told.get_all("Provides-Extra") or ())
        yield from (f"### {name}", "", f"{told['Summary']} Version {told['Version']}.", "")
        yield from ("```", f"pip install {name}", "```", "")
        trained = {spec.router for spec in added.get(name, ()) if isinstance(spec, TrainerSpec)}
        for spec in added.get(name, ()):
            match spec:
                case RouterSpec():
                    trainable = ", can be trained" if spec.name in trained else ""
                    yield f"- router `{spec.name}`{trainable}: {spec.summary}"
                case EncoderSpec() | JudgeSpec():
                    yield f"- {type(spec).__name__.removesuffix('Spec').lower()} `{spec.name}`"
                case CommandSpec():
                    link = f"reference/commands.md#{_anchor(f'llmrouter {spec.name}')}"
                    yield f"- command [`llmrouter {spec.name}`]({link}): {spec.summary}"
        yield from ([f"- extras: {extras}"] if extras else [])
        yield ""


_GENERATED: dict[str, Callable[[], Iterator[str]]] = {"commands": commands, "plugins": plugins}


def _refuse_failures(registry: PluginRegistry) -> None:
    if problems := registry.problems():
        raise RuntimeError(f"The reference cannot be generated: {'; '.join(problems)}")


def _command(
    group: click.Group, parent: click.Context, name: str, depth: int, origin: str = ""
) -> Iterator[str]:
    command = group.get_command(parent, name)
    if command is None or command.hidden:
        return
    with click.Context(command, info_name=name, parent=parent, **command.context_settings) as context:
        path = context.command_path
        yield from (f"{'#' * depth} {path} {{ #{_anchor(path)} data-toc-label='{name}' }}", "")
        if origin:
            yield from (f"Comes with `{origin}`.", "")
        yield from _described(context, depth)
        if isinstance(command, click.Group):
            for inner in command.list_commands(context):
                yield from _command(command, context, inner, depth + 1)


def _described(context: click.Context, depth: int) -> Iterator[str]:
    """Yield a command's usage, help and options; as HTML, so that nothing of it is taken for Markdown."""
    command = context.command
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield from ("```", usage, "```", "")
    # click takes a paragraph after a line with \b as it stands, and fills the others.
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(command.help or "")):
        verbatim = paragraph.startswith("\b\n")
        text = escape(paragraph.removeprefix("\b\n"), quote=False)
        yield from (f"<pre><code>{text}</code></pre>" if verbatim else f"<p>{text}</p>", "")
    options = [option for option in command.get_params(context) if isinstance(option, click.Option)]
    records = [record for option in options if (record := option.get_help_record(context))]
    yield '<dl class="options">'
    for names, text in records:
        long = re.findall(r"--[\w-]+", names)[-1]
        yield f'<dt id="{_anchor(context.command_path)}{long}"><code>{escape(names)}</code></dt>'
        yield f"<dd>{escape(text)}</dd>"
    yield from ("</dl>", "")


def _anchor(path: str) -> str:
    return path.replace(" ", "-")


class _Generated(Preprocessor):
    def run(self, lines: list[str]) -> list[str]:
        done: list[str] = []
        for line in lines:
            place = _PLACE.fullmatch(line)
            done.extend(_GENERATED[place[1]]() if place else [line])
        return done


class _Literal(Preprocessor):
    """Read ``text::`` before an indented block as reStructuredText does: docstrings have it."""

    def run(self, lines: list[str]) -> list[str]:
        return re.sub(r"(?<=\w)::\n\n(?=    )", ":\n\n", "\n".join(lines)).split("\n")


class Generated(Extension):
    """Registers the two preprocessors, before those that know code and HTML."""

    def extendMarkdown(self, md: Markdown) -> None:
        """Take part in ``md``."""
        md.preprocessors.register(_Generated(md), "generated", 40)
        md.preprocessors.register(_Literal(md), "literal", 39)


def makeExtension(**settings: object) -> Generated:
    """Make the extension."""
    return Generated(**settings)
