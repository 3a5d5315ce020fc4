"""Each promise of the docs names a test, and the test exists."""

from __future__ import annotations

import ast
import re

import pytest

from tests.docs.pages import ROOT

PAGES = ["security", "lifecycle", "gateway"]
ROW = re.compile(r"^\| (?P<promise>.+) \| (?P<tests>`.+`) \|$")
TEST = re.compile(r"`(?P<path>tests/[\w/]+\.py)::(?P<name>\w+)`")


def rows(page: str) -> list[str]:
    """Return the rows of a page's table of promises."""
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    _, _, table = text.partition("## What is tested\n")
    return [line for line in table.splitlines() if line.startswith("|")][2:]


def names_in(path: str) -> set[str]:
    """Return the functions and classes that a module defines, methods included."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assigned = (target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets)
    # Hypothesis makes a test case of a state machine by assigning it.
    return {target.id for target in assigned if isinstance(target, ast.Name)} | {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }


@pytest.mark.parametrize("page", PAGES)
def test_each_promise_names_a_test_that_exists(page: str) -> None:
    found = rows(page)
    assert found, f"docs/{page}.md promises nothing"
    for row in found:
        match = ROW.match(row)
        assert match, f"expected | promise | `tests/…::test_…` |, found {row}"
        named = list(TEST.finditer(match["tests"]))
        assert named, f"names no test: {row}"
        for test in named:
            assert test["name"] in names_in(test["path"]), f"there is no {test[0]}"
