"""The documentation names what there is."""

from __future__ import annotations

import inspect
from pathlib import Path

import llmrouter_testing
from llmrouter_testing import plugin
from llmrouter_testing.conformance import ROUTER_CHECKS
from llmrouter_testing.subjects.router import RouterSubject

TEXT = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text("utf-8")


def test_every_check_of_routers_is_documented() -> None:
    assert [check.name for check in ROUTER_CHECKS if f"`{check.name}`" not in TEXT] == []


def test_every_option_of_a_router_suite_is_documented() -> None:
    options = set(inspect.signature(RouterSubject).parameters) - {"given"}
    assert {name for name in options if f"`{name}`" not in TEXT} == set()


def test_every_suite_and_function_is_documented() -> None:
    functions = [name for name in llmrouter_testing.__all__ if name.islower()]
    assert [name for name in functions if name not in TEXT] == []


def test_every_fixture_is_documented() -> None:
    fixtures = [name for name in vars(plugin) if name.startswith("llmrouter_")]
    assert len(fixtures) == 3
    assert [name for name in fixtures if f"`{name}`" not in TEXT] == []
