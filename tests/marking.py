"""Mark the tests that start processes or open connections, and arrange all for workers that run side by side.

The marks are found from what the tests' code, their fixtures and the helpers in this folder name. Tests whose
packages do so unseen from here are marked by hand.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from types import CodeType, FunctionType

import pytest

# Names of modules, functions and classes; a test that reaches one gets the mark.
STARTERS = {
    "processes": {"subprocess", "multiprocessing", "ProcessPoolExecutor", "fork", "sync_playwright"},
    "network": {"socket", "Upstream", "ThreadingHTTPServer", "create_connection", "HTTPConnection"},
}
# Checks of llmrouter_testing that ask processes of their own.
CHECKS = re.compile(
    r"test_(deterministic|pickles_across_processes|light_plugin_import|silent_import|directory_imports)"
)
OURS = ("tests.", "llmrouter_testing.")
# Session fixtures that cost too much to be made by each worker.
SHARED = ("wheels", "local_llm")
# What takes longest, longest first: begun last, it would keep one worker busy and the others waiting.
LONGEST = (
    "tests/packaging/test_wheels.py",
    "tests/docs/test_examples.py",
    "tests/docs/test_site.py",
    "tests/gateway/test_openapi.py",
    "tests/lifecycle/test_serve.py",
    "tests/lifecycle/test_workers.py",
    "tests/lifecycle/test_plugin_directories.py",
)

_searched: dict[CodeType, frozenset[str]] = {}


def mark(item: pytest.Item) -> None:
    """Add the marks ``processes`` and ``network`` to a test that reaches what they stand for."""
    if isinstance(item, pytest.Function):
        fixtures = [definitions[-1] for definitions in item._fixtureinfo.name2fixturedefs.values()]
        reached = (item.function, *(fixture.func for fixture in fixtures))
        for name in sorted(frozenset().union(*map(_marks, reached))):
            item.add_marker(name)
        if CHECKS.match(item.originalname):
            item.add_marker("processes")
        if group := next((fixture.argname for fixture in fixtures if fixture.argname in SHARED), None):
            item.add_marker(pytest.mark.xdist_group(group))
        elif any(fixture.scope == "module" for fixture in fixtures):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


def arrange(items: list[pytest.Item]) -> None:
    """Put what takes longest first, then what mostly waits for processes, and what is quick last."""

    def rank(item: pytest.Item) -> tuple[int, bool]:
        path = item.nodeid.partition("::")[0]
        place = LONGEST.index(path) if path in LONGEST else len(LONGEST)
        return place, item.get_closest_marker("processes") is None

    items.sort(key=rank)


def _marks(found: object) -> frozenset[str]:
    """Return the marks of a function, or of a class by its methods, of ours."""
    if not isinstance(found, type | FunctionType) or not str(found.__module__).startswith(OURS):
        return frozenset()
    if isinstance(found, type):
        return frozenset().union(*map(_marks, vars(found).values()))
    function = inspect.unwrap(found)
    code = function.__code__
    if code not in _searched:
        _searched[code] = frozenset()  # of a function that calls itself
        names = set(_names(code))
        marks = {name for name, starters in STARTERS.items() if names & starters}
        reached = (function.__globals__.get(name) for name in names)
        _searched[code] = frozenset(marks).union(*map(_marks, reached))
    return _searched[code]


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
