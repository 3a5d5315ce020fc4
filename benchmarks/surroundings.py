"""Bare environments in build/bench with the built wheels; the developers' own has hundreds of packages."""

from __future__ import annotations

import compileall
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from paired import Command

ROOT = Path(__file__).resolve().parent.parent
BENCH = ROOT / "build" / "bench"
PLUGINS = 50
# What these benchmarks measure does without torch.
PACKAGES = ("llmrouter-core", "llmrouter-random", "llmrouter-cli")
# Where they measure thresholdrouter; which torch constraints.txt says too.
TORCH = ("scikit-learn==1.9.1", "torch==2.13.0")

CANDIDATES = {
    "qwen2.5-7b-instruct": {"size": "7B", "cost": 0.2},
    "llama-3.1-8b-instruct": {"size": "8B", "cost": 0.2},
    "llama-3.1-70b-instruct": {"size": "70B", "cost": 0.9},
    "mixtral-8x22b-instruct-v0.1": {"size": "141B", "cost": 1.2},
}
PLUGIN = """
from llmrouter import RouterSpec, TrainerSpec, hookimpl


@hookimpl
def llmrouter_register_routers():
    return [RouterSpec("made-up-{number}", "llmrouter_made_up_{number}.router:MadeUpRouter", "Made up.")]


@hookimpl
def llmrouter_register_trainers():
    return [TrainerSpec("made-up-{number}", "llmrouter_made_up_{number}.trainer:MadeUpTrainer")]
"""


class Bare(NamedTuple):
    """A virtual environment that holds the wheels and what they require."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def site(self) -> Path:
        """Where its packages are."""
        (site,) = self.folder.glob("lib/python*/site-packages")
        return site

    def code(self, code: str) -> Command:
        """A command that runs a line of Python."""
        return Command([self.python, "-c", code], folder("empty"), environ())

    def llmrouter(self, *arguments: str | Path, inside: Path | None = None) -> Command:
        """A command that runs llmrouter, in an empty folder if no other is given."""
        script = self.python.with_name("llmrouter")
        return Command([script, *arguments], inside or folder("empty"), environ())


def folder(name: str) -> Path:
    """A folder in build/bench, made if it is not there."""
    path = BENCH / name
    path.mkdir(parents=True, exist_ok=True)
    return path


def environ() -> dict[str, str]:
    """Environment variables of the processes that are measured: no settings, and an empty home."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
    return {**kept, "HOME": str(folder("home"))}


def make_bare() -> Bare:
    """Build the wheels and make an environment with them."""
    shutil.rmtree(BENCH, ignore_errors=True)
    return make_environment(BENCH / "bare", build_wheels(folder("wheels"), PACKAGES))


def build_wheels(target: Path, packages: Iterable[str]) -> list[Path]:
    """Build the wheels of these packages of ours into an empty folder."""
    for name in packages:
        package = ROOT / "packages" / name
        quietly([sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", target, package])
    return sorted(target.glob("*.whl"))


def make_environment(place: Path, requirements: Sequence[str | Path]) -> Bare:
    """Make a virtual environment with what pip resolves these to; pip compiles the bytecode."""
    bare = Bare(place)
    quietly([sys.executable, "-m", "venv", "--clear", "--without-pip", bare.folder])
    install(bare, "--constraint", ROOT / "constraints.txt", *requirements)
    return bare


def install(bare: Bare, *arguments: str | Path) -> None:
    """Have our own pip install into an environment."""
    quietly([sys.executable, "-m", "pip", "--python", bare.python, "install", "--compile", *arguments])


def quietly(command: Sequence[str | Path]) -> None:
    """Run a command to its end; what it printed is shown only where it failed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command} failed:\n{done.stdout}{done.stderr}")


def make_torch() -> Bare:
    """Make an environment with thresholdrouter, and scikit-learn to compare it with."""
    wheels = build_wheels(folder("wheels-torch"), ["llmrouter-threshold"])
    return make_environment(
        BENCH / "torch", [*folder("wheels").glob("llmrouter_core-*.whl"), *wheels, *TORCH]
    )


def make_crowded() -> Bare:
    """Make another environment, with made-up plugins beside ours."""
    crowded = make_environment(BENCH / "crowded", sorted(folder("wheels").glob("*.whl")))
    for number in range(PLUGINS):
        _add_plugin(crowded.site, number)
    compileall.compile_dir(crowded.site, quiet=1)
    return crowded


def make_config() -> Path:
    """Write candidates and a configuration of randomrouter; return its path."""
    place = folder("config")
    (place / "llm.json").write_text(json.dumps(CANDIDATES, indent=2))
    (place / "config.yaml").write_text("data_path:\n  llm_data: llm.json\nhparam:\n  seed: 42\n")
    return place / "config.yaml"


def _add_plugin(site: Path, number: int) -> None:
    package = site / f"llmrouter_made_up_{number}"
    package.mkdir()
    (package / "__init__.py").write_text('"""A made-up plugin."""\n')
    (package / "plugin.py").write_text(PLUGIN.format(number=number))
    # As long as metadata are with their classifiers and the text of a README.
    (ours,) = site.glob("llmrouter_random-*.dist-info")
    metadata = (ours / "METADATA").read_text().replace("llmrouter-random", f"llmrouter-made-up-{number}")
    info = site / f"llmrouter_made_up_{number}-{ours.stem.partition('-')[2]}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(metadata)
    (info / "entry_points.txt").write_text(f"[llmrouter]\nmade-up-{number} = {package.name}.plugin\n")
