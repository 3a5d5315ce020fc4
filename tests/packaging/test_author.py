"""An author's way: a new plugin, changed, tested, built, installed, used and removed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.packaging.conftest import build_into, succeeding
from tests.timing import allowed

pytestmark = pytest.mark.slow

Command = Callable[..., Any]
OPTIONS: dict[str, tuple[str, ...]] = {
    "router": (),
    "trainable": ("--trainable",),
    "encoder": ("--encoder",),
    "judge": ("--judge",),
    "command": ("--command",),
}
# A short name and a long one: formatters break lines by their length.
LONG = "a-name-that-is-much-longer-than-most"
MINUTE = 60


def tool(project: Path, *command: str | Path, **environ: str) -> None:
    """Run a module of this environment's Python in the project; it has to succeed."""
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=project,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTEST_ADDOPTS": "", **environ},
        timeout=800,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def pass_tests(project: Path, wheel: Path, site: Path) -> None:
    """Run a project's own tests where its wheel is installed."""
    succeeding([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site, wheel])
    tool(project, "pytest", "-q", "-p", "no:cacheprovider", PYTHONPATH=str(site))


def test_from_nothing_to_an_installed_router(
    bare: Any, llmrouter: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = time.perf_counter()
    llmrouter("new", "shortest")
    project = Path("llmrouter-shortest").absolute()
    router = project / "src" / "llmrouter_shortest" / "router.py"
    router.write_text(router.read_text().replace("> self.settings.max", ">= self.settings.max"))
    wheel = build_into(project / "dist", project)
    pass_tests(project, wheel, tmp_path / "author")

    bare.pip("install", "--no-deps", wheel)
    rows = {row["name"]: row for row in json.loads(llmrouter("list-routers", "--json").stdout)}
    row = rows["shortest"]
    assert (row["state"], row["origin"], row["version"]) == ("ready", "llmrouter-shortest", "0.1.0")
    monkeypatch.chdir(project)
    query = ("--query", "a" * 60, "--route-only")
    using = ("--router", "shortest", "--config", "example/config.yaml")
    # 60 characters are long by the changed line, and were not before.
    assert json.loads(llmrouter("infer", *using, *query).stdout)["model_name"] == "large"

    bare.pip("uninstall", "--yes", "llmrouter-shortest")
    assert "Unknown router: shortest" in llmrouter("infer", *using, *query, status=1).stderr
    took = time.perf_counter() - started
    assert took < allowed(MINUTE), f"it took {took:.0f} s"


@pytest.fixture(scope="session")
def mypy_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What mypy knows of the libraries, which takes it long to find out."""
    return tmp_path_factory.mktemp("mypy")


# Ruff and mypy, and torch for one of them, are in the default environment. One worker runs all of them, for
# it keeps what mypy found out.
@pytest.mark.xdist_group("mypy")
@pytest.mark.extras
@pytest.mark.parametrize("kind", OPTIONS)
def test_a_new_plugin_passes_all_its_tools_and_tests(
    kind: str, invoke: Command, tmp_path: Path, mypy_cache: Path
) -> None:
    for name in ("x", LONG):
        assert invoke("new", name, *OPTIONS[kind]).status == 0
        project = Path(f"llmrouter-{name}").absolute()
        tool(project, "ruff", "check", "--no-cache")
        tool(project, "ruff", "format", "--check", "--no-cache")
    tool(project, "mypy", "--cache-dir", mypy_cache)
    wheel = build_into(project / "dist", project)
    assert {path.suffix for path in (project / "dist").iterdir()} == {".gz", ".whl"}
    pass_tests(project, wheel, tmp_path / "site")


def test_a_router_folder_becomes_a_distribution(bare: Any, llmrouter: Command) -> None:
    llmrouter("init")
    llmrouter("plugins", "package", "custom_routers/my_router")
    project = Path("llmrouter-my-router").absolute()
    bare.pip("install", "--no-deps", build_into(project / "dist", project))
    rows = json.loads(llmrouter("--no-plugin-dirs", "list-routers", "--json").stdout)
    (row,) = [row for row in rows if row["name"] == "my_router"]
    assert (row["origin"], row["trainable"]) == ("llmrouter-my-router", True)
    using = ("--router", "my_router", "--config", "custom_routers/my_router/config.yaml")
    saved = json.loads(llmrouter("train", *using).stdout)["saved"]
    done = llmrouter("infer", *using, "--load-model-path", saved, "--query", "hi", "--route-only")
    assert json.loads(done.stdout)["router_version"] == "0.1.0"
