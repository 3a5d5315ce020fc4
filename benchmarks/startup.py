"""What a command takes from start to end, against the least that a command of this kind can take."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from paired import compare, run
from result import Result
from surroundings import PLUGINS, Bare, folder, make_config, make_crowded

FLOOR = "import click, pluggy, importlib.metadata"
LISTING = ("list-routers", "--json")


def measure(bare: Bare) -> Iterator[Result]:
    """Measure the listing, the help and the routing of one query."""
    floor = bare.code(FLOOR)
    crowded = make_crowded()
    for arguments in (LISTING, ("--help",)):
        what = f"llmrouter {' '.join(arguments)}"
        yield compare(what, [floor, bare.llmrouter(*arguments)], _ratio, limit=1.5)
        commands = [floor, bare.llmrouter(*arguments), crowded.llmrouter(*arguments)]
        yield compare(f"{what}, {PLUGINS} more plugins add", commands, _added_ratio, limit=0.5)
    yield _directory(bare)
    routing = ("infer", "--router", "randomrouter", "--config", make_config(), "--query", "What is AI?")
    commands = [floor, bare.llmrouter(*routing, "--route-only")]
    yield compare("llmrouter infer --query --route-only", commands, _ratio, limit=2)


def _directory(bare: Bare) -> Result:
    run(bare.llmrouter("init", folder("init")))
    project = folder("project")
    shutil.copytree(folder("init") / "custom_routers" / "my_router", project / "custom_routers" / "my_router")
    commands = [bare.llmrouter(*LISTING), bare.llmrouter(*LISTING, inside=project)]
    return compare("a directory router adds to the listing", commands, _added_ms, limit=10, unit="ms")


def _ratio(floor: float, seconds: float) -> float:
    return seconds / floor


def _added_ratio(floor: float, without: float, having: float) -> float:
    return (having - without) / floor


def _added_ms(without: float, having: float) -> float:
    return (having - without) * 1000
