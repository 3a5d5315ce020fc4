"""What pytest loads in every run: fixtures, and the times that suites report.

It imports nothing but pytest until a fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from llmrouter_testing.distributions import FakeDistributions
    from llmrouter_testing.project import Project
    from llmrouter_testing.upstream import Upstream

PROPERTY = "llmrouter"


@pytest.fixture
def llmrouter_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project in a temporary folder, which is the current one, and a home of its own.

    No setting of llmrouter, and no plugin directory, comes from outside.
    """
    import os

    from llmrouter import plugin_system
    from llmrouter_testing.project import Project

    for name in list(os.environ):
        if name.startswith("LLMROUTER_"):
            monkeypatch.delenv(name)
    for folder, variable in (("home", "HOME"), ("project", "PWD")):
        (tmp_path / folder).mkdir(exist_ok=True)
        monkeypatch.setenv(variable, str(tmp_path / folder))
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setattr(plugin_system, "_current", None)
    return Project(tmp_path / "project")


@pytest.fixture
def llmrouter_distributions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDistributions]:
    """Installs made-up distributions; see `llmrouter_testing.distributions.FakeDistributions`.

    Plugins are looked for anew when the test first asks for them.
    """
    from llmrouter import plugin_system
    from llmrouter_testing.distributions import FakeDistributions

    monkeypatch.setattr(plugin_system, "_current", None)
    distributions = FakeDistributions(tmp_path / "site", monkeypatch)
    yield distributions
    distributions.forget()


@pytest.fixture
def llmrouter_upstream() -> Iterator[Upstream]:
    """A server on this machine that speaks the OpenAI chat protocol as the test tells it."""
    from llmrouter_testing.upstream import Upstream

    server = Upstream()
    yield server
    server.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what suites report, such as the time per query."""
    told = [
        str(value)
        for report in terminalreporter.stats.get("passed", ())
        for name, value in getattr(report, "user_properties", ())
        if name == PROPERTY
    ]
    if told:
        terminalreporter.section("llmrouter")
        for line in sorted(told):
            terminalreporter.line(line)
