"""Whatever users can set, type or implement is told in the docs or in a README."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import click
import pytest

from llmrouter import hookspecs
from llmrouter_cli.app import App, cli
from llmrouter_cli.commands.doctor import VARIABLES
from tests.docs.keys import (
    HYPERPARAMETERS,
    ROUTERS,
    configuration_keys,
    hyperparameters_of,
    keys_in,
    variables,
    variables_in,
)
from tests.docs.pages import ROOT, Page, pages

COMMANDS_PAGE = ROOT / "docs" / "reference" / "commands.md"
CONFIGURATION_PAGE = ROOT / "docs" / "reference" / "configuration.md"

PAGES = pages()


def told(of: Iterable[Page]) -> set[str]:
    """Return what pages tell of by name."""
    return set().union(*(page.named for page in of))


def untold(names: Iterable[str], of: Iterable[Page] = PAGES) -> list[str]:
    """Return the names that none of these pages tells of."""
    return sorted(set(names) - told(of))


# Hooks


def hooks(module: Any) -> dict[str, list[str]]:
    """Return the hooks that a module specifies, with the names of their arguments."""
    return {
        name: list(inspect.signature(value).parameters)
        for name, value in vars(module).items()
        if hasattr(value, f"{hookspecs.PROJECT}_spec")
    }


def examples_of_hooks(page: Page) -> Iterator[tuple[str, list[str]]]:
    """Yield the hooks that a page's examples implement, with the names of their arguments.

    Those are left out that an example marks as hooks that there need not be.
    """
    for block in page.blocks:
        if block.language == "python":
            for node in ast.walk(ast.parse(block.code)):
                if isinstance(node, ast.FunctionDef):
                    marks = " ".join(map(ast.unparse, node.decorator_list))
                    if "hookimpl" in marks and "optionalhook" not in marks:
                        yield node.name, [argument.arg for argument in node.args.args]


def missing_hooks(module: Any, page: Page) -> list[str]:
    """Return the hooks that a page does not describe, or has no example of."""
    shown = {name for name, _ in examples_of_hooks(page)}
    described = set(re.findall(r"^\| `(\w+)\(", page.text, re.MULTILINE))
    return sorted(name for name in hooks(module) if name not in shown & described)


def test_every_hook_is_described_and_has_an_example() -> None:
    assert len(hooks(hookspecs)) >= 6
    assert not missing_hooks(hookspecs, Page(ROOT / "docs" / "plugins.md"))


def test_examples_of_hooks_take_what_hooks_are_given() -> None:
    known = hooks(hookspecs)
    for page in PAGES:
        for name, arguments in examples_of_hooks(page):
            assert set(arguments) <= set(known.get(name, ())), f"{page.name}: {name}"
            assert name in known, f"{page.name}: there is no hook {name}"


def test_a_hook_without_description_or_example_would_be_missed(tmp_path: Path) -> None:
    path = tmp_path / "plugins.md"
    example = "```python\n@hookimpl\ndef llmrouter_register_routers(): ...\n```\n"
    path.write_text(example)
    assert "llmrouter_register_routers" in missing_hooks(hookspecs, Page(path))
    path.write_text(example + "\n| hook |\n|---|\n| `llmrouter_register_routers()` |\n")
    missing = missing_hooks(hookspecs, Page(path))
    assert "llmrouter_register_routers" not in missing
    assert "llmrouter_after_route" in missing


# Commands and options


def commands(
    group: click.Command, context: click.Context, path: str = ""
) -> Iterator[tuple[str, click.Command]]:
    """Yield a command and all below it, with what is typed to run each."""
    yield path or str(context.info_name), group
    if isinstance(group, click.Group):
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None, name
            if not command.hidden:
                below = click.Context(command, info_name=name, parent=context)
                yield from commands(command, below, f"{path or context.info_name} {name}")


def all_commands() -> list[tuple[str, click.Command]]:
    """Return the whole of ``llmrouter``, with all our plugins."""
    app = App()
    app.use_directories = False
    context = click.Context(cli, info_name="llmrouter", obj=app)
    return list(commands(cli, context))


def options(command: click.Command) -> list[click.Option]:
    """Return the options that its help shows."""
    return [each for each in command.params if isinstance(each, click.Option) and not each.hidden]


def long_name(option: click.Option) -> str:
    """Return the name by which an option is told."""
    return max(option.opts, key=len)


def without_help(found: Iterable[tuple[str, click.Command]]) -> list[str]:
    """Return the commands and options whose help says nothing."""
    return [
        *(path for path, command in found if not command.help),
        *(f"{path} {long_name(one)}" for path, command in found for one in options(command) if not one.help),
    ]


def text_of_pages() -> str:
    """Return what all pages say, the page of commands as it is generated."""
    written = [page.text for page in PAGES]
    if COMMANDS_PAGE.exists() and "{{ commands }}" in COMMANDS_PAGE.read_text("utf-8"):
        written.extend(importlib.import_module("scripts.reference").commands())
    return "\n".join(written)


def missing_commands(found: Iterable[tuple[str, click.Command]], text: str) -> list[str]:
    """Return the commands that a text does not name, and the options, with their command.

    Commands of one group may be told at once: ``llmrouter keys create|list|revoke``.
    """
    return [
        *(path for path, _ in found if not _names(text, path)),
        *(
            f"{path} {long_name(one)}"
            for path, command in found
            for one in options(command)
            if not re.search(rf"(?<![\w-]){re.escape(long_name(one))}(?![\w-])", text)
        ),
    ]


def _names(text: str, path: str) -> bool:
    group, _, last = path.rpartition(" ")
    several = rf"{re.escape(group.partition(' ')[2] or group)} (?:[\w-]+\|)*{re.escape(last)}(?![\w-])"
    return re.search(several if group.count(" ") else rf"{re.escape(path)}(?![\w-])", text) is not None


def test_every_command_and_option_has_help() -> None:
    found = all_commands()
    assert {"llmrouter serve", "llmrouter jobs start", "llmrouter plugins check"} <= {
        path for path, _ in found
    }
    assert not without_help(found)


def test_every_command_and_option_is_documented() -> None:
    assert not missing_commands(all_commands(), text_of_pages())


def test_a_command_or_option_that_nothing_tells_would_be_missed() -> None:
    def nothing() -> None:
        pass

    group = click.Group("llmrouter", help="All.")
    group.add_command(click.Command("dance", callback=nothing, params=[click.Option(["-q", "--quickstep"])]))
    found = list(commands(group, click.Context(group, info_name="llmrouter")))
    assert without_help(found) == ["llmrouter dance", "llmrouter dance --quickstep"]
    assert missing_commands(found, text_of_pages()) == ["llmrouter dance", "llmrouter dance --quickstep"]
    assert not missing_commands(found, "`llmrouter dance --quickstep`")


# Configuration


@pytest.mark.parametrize("kind", list(configuration_keys()))
def test_every_key_is_documented(kind: str) -> None:
    keys = configuration_keys()[kind]
    assert keys
    assert not untold(keys)


@pytest.mark.parametrize("name", [*ROUTERS, *HYPERPARAMETERS])
def test_every_hyperparameter_is_documented_with_its_router(name: str) -> None:
    keys = hyperparameters_of(name)
    assert keys
    own = (
        CONFIGURATION_PAGE,
        ROOT / "docs" / f"{name}.md",
        ROOT / "packages" / f"llmrouter-{name}" / "README.md",
    )
    assert not untold(keys, [Page(path) for path in own if path.exists()])


def test_every_variable_is_documented() -> None:
    assert len(variables()) >= 9
    assert not untold(variables())


def test_the_doctor_knows_every_variable() -> None:
    assert set(VARIABLES) == {name for name in variables() if name.startswith("LLMROUTER_")}


def test_a_key_or_variable_that_nothing_tells_would_be_missed() -> None:
    code = """
def read(cfg, candidate):
    hparam = cfg["hparam"] or {}
    section = cfg.get("lifecycle")
    return (
        cfg["colour"], hparam.get("shape"), cfg["model_path"]["where"], candidate.get("taste"),
        section["sound"],
        os.environ["LLMROUTER_SMELL"],
    )
"""
    found = set(keys_in(code))
    new = {
        ("", "colour"),
        ("hparam", "shape"),
        ("model_path", "where"),
        ("candidate", "taste"),
        ("lifecycle", "sound"),
    }
    assert new <= found
    assert untold(key for _, key in new) == ["colour", "shape", "sound", "taste", "where"]
    assert untold(variables_in(code)) == ["LLMROUTER_SMELL"]


# Links


def broken_links(page: Page) -> list[str]:
    """Return the links of a page that lead to no file or heading of this repository."""
    return [f"{page.name}:{line}: {target}" for line, target in page.links if _is_broken(page, target)]


def _is_broken(page: Page, target: str) -> bool:
    if re.match(r"[a-z]+:", target):
        return False
    path, _, anchor = unquote(target).partition("#")
    file = page.path if not path else page.path.parent / path
    if not file.exists():
        return True
    if not anchor or file.suffix != ".md":
        return False
    linked = Page(file)
    # Headings that are made from the code are there once the site is built, whose own test looks for them.
    return anchor not in linked.anchors and "{{ " not in linked.text


def test_links_into_the_repository_lead_somewhere() -> None:
    assert sum(len(list(page.links)) for page in PAGES) > 30
    assert not [link for page in PAGES for link in broken_links(page)]


def test_readmes_of_packages_link_to_nothing_beside_them() -> None:
    # On a package index, where they are shown too, it would lead nowhere.
    beside = [
        f"{page.name}:{line}: {target}"
        for page in PAGES
        if page.name.startswith("packages/")
        for line, target in page.links
        if not re.match(r"[a-z]+:|#", target)
    ]
    assert not beside


def test_a_link_that_leads_nowhere_would_be_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# One & `two`\n\n## One\n\n## One\n")
    path = tmp_path / "page.md"
    path.write_text(
        "[a](other.md) [b](other.md#one--two) [c](other.md#one-1) [d](#here) [e](https://example.org/#x)\n\n"
        "# Here\n\n[f](none.md) [g](other.md#none) ![h](none.png) [i](#none)\n"
    )
    found = broken_links(Page(path))
    assert found == [f"page.md:5: {target}" for target in ("none.md", "other.md#none", "none.png", "#none")]
