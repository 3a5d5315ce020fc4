"""What tests share: a home and a folder of their own, made-up distributions, and the command line."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, settings

from llmrouter import plugin_system
from llmrouter_testing.distributions import FakeDistributions, put_on_path
from llmrouter_testing.project import Project
from llmrouter_testing.upstream import Upstream
from tests import marking

ROOT = Path(__file__).parent.parent

# An example takes as long as a busy machine lets it.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what starts processes or opens connections."""
    marking.mark(item)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let workers that run side by side end at about the same time."""
    marking.arrange(items)


@pytest.fixture(autouse=True)
def own_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give each test its own home and current folder, and no settings from outside."""
    for name in list(os.environ):
        if name.startswith("LLMROUTER_") or name == "API_KEYS" or name.endswith("_API_KEY"):
            monkeypatch.delenv(name)
    for folder, variable in (("home", "HOME"), ("work", "PWD")):
        (tmp_path / folder).mkdir()
        monkeypatch.setenv(variable, str(tmp_path / folder))
    # Tests run side by side: threads of one would only wait for those of the other.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(plugin_system, "_current", None)
    path, modules = list(sys.path), set(sys.modules)
    yield
    assert [place for place in sys.path if not place.startswith(str(tmp_path))] == path, (
        "sys.path was changed"
    )
    for name in set(sys.modules) - modules:
        if name.startswith("llmrouter.plugin_dirs."):
            del sys.modules[name]


@pytest.fixture
def hidden() -> tuple[str, ...]:
    """Our own plugins that tests do not see, so that they can say what there is; others may override it."""
    return tuple(
        f"llmrouter-{name}" for name in ("knn", "lifecycle", "pareto", "rules", "server", "threshold")
    )


@pytest.fixture(autouse=True)
def hide(
    own_surroundings: None, hidden: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Put distributions of these names that declare nothing in front of the installed ones."""
    if not hidden:
        return
    site = tmp_path / "hidden"
    for name in hidden:
        info = site / f"{name.replace('-', '_')}-0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0\n")
        (info / "entry_points.txt").write_text("[llmrouter]\n")
    put_on_path(site, monkeypatch)


@pytest.fixture
def upstream(llmrouter_upstream: Upstream) -> Upstream:
    """Run a server that speaks the OpenAI chat protocol as the test tells it."""
    return llmrouter_upstream


@pytest.fixture(scope="session")
def local_llm() -> Iterator[str]:
    """Run a real, tiny LLM on this machine; returns its base URL."""
    # Only the default environment has it, and must have it.
    if importlib.util.find_spec("xllamacpp") is None and os.environ.get("HATCH_ENV_ACTIVE") != "default":
        pytest.skip("xllamacpp is not installed in this environment")
    program = [sys.executable, str(ROOT / "scripts" / "local_llm.py"), "--threads", "1"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url, "the local LLM did not start"
        try:
            yield url
        finally:
            process.terminate()
            process.wait(300)


@pytest.fixture
def write() -> Callable[[str, str], Path]:
    """Write a file below the current folder, its text dedented."""
    return Project(Path()).write


@pytest.fixture
def config() -> Callable[..., str]:
    """Write candidates and a configuration; keywords become its sections. Returns the path to config.yaml."""
    return Project(Path()).config


@pytest.fixture
def install(llmrouter_distributions: FakeDistributions) -> FakeDistributions:
    """Put a made-up distribution on sys.path and, for subprocesses, on PYTHONPATH.

    ``install("llmrouter-foo", {"fake_foo": SOURCE}, {"foo": "fake_foo"})`` installs the module fake_foo and
    the entry point foo of the group llmrouter. Dots in the names of modules make packages.
    """
    return llmrouter_distributions


class Outcome(NamedTuple):
    """What a run of the command line gave."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, decoded."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """Standard output, decoded line by line."""
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def command() -> Callable[..., Outcome]:
    """Run the llmrouter command as a process of its own; keywords are environment variables."""

    def run(*arguments: str, stdin: str | None = None, **environ: str) -> Outcome:
        command = Path(sys.executable).with_name("llmrouter")
        done = subprocess.run(
            [str(command), *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            env={**os.environ, **environ},
            timeout=300,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def invoke(capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run the llmrouter command line within this process, which is quicker."""
    from llmrouter_cli.__main__ import run as run_command_line

    def run(*arguments: str) -> Outcome:
        capfd.readouterr()
        status = run_command_line(arguments)
        return Outcome(status, *capfd.readouterr())

    return run
