"""Wheels built from this checkout, and a bare environment in which they are installed as a user would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGES = Path(__file__).parents[2] / "packages"
TORCH_FREE = ("llmrouter-core", "llmrouter-random", "llmrouter-cli")
ELSEWHERE = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_CONSTRAINT")
# As the tests were started: pip finds its settings and its cache in the user's home, not in a test's.
ENVIRON = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}

Completed = subprocess.CompletedProcess


class Bare(NamedTuple):
    """A virtual environment without torch, numpy or anything else that was not asked for."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter; scripts are beside it."""
        return self.folder / ("Scripts" if os.name == "nt" else "bin") / "python"

    def pip(self, *arguments: str | Path) -> str:
        """Run pip on it; what pip refuses fails the test."""
        command = [sys.executable, "-m", "pip", "--python", self.python, *arguments, "--no-input"]
        return succeeding(command).stdout

    def run(self, *command: str | Path) -> Completed[str]:
        """Run one of its scripts in the test's surroundings."""
        environ = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
        script = self.python.with_name(str(command[0]))
        return subprocess.run(
            [script, *command[1:]], capture_output=True, text=True, env=environ, timeout=300, check=False
        )

    def installed(self) -> dict[str, str]:
        """What is installed, name to version."""
        (site,) = self.folder.rglob("site-packages")
        found = distributions(path=[str(site)])
        return {re.sub(r"[-_.]+", "-", one.metadata["Name"]).lower(): one.version for one in found}


def succeeding(command: list[str | Path]) -> Completed[str]:
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRON, timeout=180, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


def build_into(folder: Path, project: Path, *options: str) -> Path:
    """Build a project; by default its sdist, and from that the wheel. Return the wheel."""
    module = [sys.executable, "-m", "build", "--no-isolation", *options]
    succeeding([*module, "--outdir", folder, project])
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The wheel of each package, built from its sdist, which lies beside it."""
    folder = tmp_path_factory.mktemp("wheels")
    return {project.name: build_into(folder / project.name, project) for project in PACKAGES.iterdir()}


@pytest.fixture(scope="session")
def environment(wheels: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Bare:
    """The bare environment, our wheels and what they require in it."""
    bare = Bare(tmp_path_factory.mktemp("bare"))
    succeeding([sys.executable, "-m", "venv", "--without-pip", bare.folder])
    bare.pip("install", *(wheels[name] for name in TORCH_FREE))
    return bare


@pytest.fixture
def bare(environment: Bare, request: pytest.FixtureRequest) -> Iterator[Bare]:
    """The bare environment; what a test adds to it is uninstalled at its end."""
    grouped = "PYTEST_XDIST_WORKER" not in os.environ or request.node.nodeid.endswith("@wheels")
    assert grouped, "each worker builds the wheels for itself; pytest and pytest-xdist do not go together"
    before = environment.installed()
    yield environment
    if added := set(environment.installed()) - set(before):
        environment.pip("uninstall", "--yes", *added)
    assert environment.installed() == before


@pytest.fixture
def llmrouter(bare: Bare) -> Callable[..., Completed[str]]:
    """Run the llmrouter command of the bare environment; it has to end with the status that is given."""

    def llmrouter(*arguments: str, status: int = 0) -> Completed[str]:
        done = bare.run("llmrouter", *arguments)
        assert done.returncode == status, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done

    return llmrouter


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Write a plugin author's project.

    ``project("llmrouter-foo", {"llmrouter_foo/plugin.py": SOURCE}, {"foo": "llmrouter_foo.plugin"})``.
    """

    def project(
        name: str,
        files: Mapping[str, str],
        entry_points: Mapping[str, str],
        version: str = "1.0",
        requires: str = "llmrouter-core>=0.1,<0.2",
    ) -> Path:
        folder = tmp_path_factory.mktemp(name)
        points = "\n".join(f'{point} = "{target}"' for point, target in entry_points.items())
        packages = sorted({path.partition("/")[0] for path in files})
        pyproject = f"""
            [build-system]
            requires = ["hatchling"]
            build-backend = "hatchling.build"

            [project]
            name = "{name}"
            version = "{version}"
            dependencies = ["{requires}"]

            [project.entry-points.llmrouter]
            {points}

            [tool.hatch.build.targets.wheel]
            packages = {packages}
        """
        for path, text in {"pyproject.toml": pyproject, **files}.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(textwrap.dedent(text).lstrip("\n"))
        return folder

    return project


@pytest.fixture(scope="session")
def wheel(project: Callable[..., Path]) -> Callable[..., Path]:
    """Build the wheel of a plugin author's project; arguments as for ``project``."""

    def wheel(*arguments: object, **options: object) -> Path:
        folder = project(*arguments, **options)
        return build_into(folder / "dist", folder, "--wheel")

    return wheel
