"""What the gateways are measured with: nginx and wrk of the machine, and an environment for each gateway."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from surroundings import ROOT, Bare, build_wheels, install, make_environment

BENCH = ROOT / "build" / "bench-gateway"
PROGRAMS = ("nginx", "wrk")
PACKAGES = ("llmrouter-core", "llmrouter-random", "llmrouter-threshold", "llmrouter-server", "llmrouter-cli")
BASELINE = ("starlette==1.10.0", "uvicorn[standard]==0.54.0", "aiohttp==3.14.5")
LITELLM = ("litellm[proxy]==1.108.7",)


def missing_programs() -> str:
    """What to do about programs that the machine lacks; empty where it has all."""
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    if not missing:
        return ""
    return f"{' and '.join(missing)} not found; on Debian and Ubuntu: apt-get install nginx-light wrk"


def place(*names: str) -> Path:
    """A folder in build/bench-gateway, made if it is not there."""
    path = BENCH.joinpath(*names)
    path.mkdir(parents=True, exist_ok=True)
    return path


def baseline() -> Bare:
    """The environment of the baseline."""
    return _kept("baseline", BASELINE)


def litellm() -> Bare:
    """The environment of the LiteLLM proxy."""
    return _kept("litellm", LITELLM)


def ours() -> Bare:
    """An environment with our wheels, built now; what they require is kept from run to run."""
    wheels = place("wheels")
    for old in wheels.glob("*.whl"):
        old.unlink()
    built = build_wheels(wheels, PACKAGES)
    declared = [(ROOT / "packages" / name / "pyproject.toml").read_text() for name in PACKAGES]
    bare = _kept("ours", built, "".join(declared))
    install(bare, "--force-reinstall", "--no-deps", *built)
    return bare


def _kept(name: str, requirements: Sequence[str | Path], made_of: str = "") -> Bare:
    """An environment that is made anew only where what it was made of has changed."""
    made_of = made_of or "\n".join(map(str, requirements))
    bare, stamp = Bare(BENCH / name), place("stamps") / name
    if not (stamp.exists() and stamp.read_text() == made_of and bare.python.exists()):
        print(f"Making the environment {name}", flush=True)
        stamp.unlink(missing_ok=True)
        make_environment(bare.folder, requirements)
        stamp.write_text(made_of)
    return bare
