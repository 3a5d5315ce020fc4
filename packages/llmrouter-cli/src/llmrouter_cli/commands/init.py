"""``llmrouter init``: an example project to try the commands on."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from llmrouter_cli.app import debug_option
from llmrouter_cli.folders import new_folder
from llmrouter_cli.results import shorten

TEMPLATE = Path(__file__).parent.parent / "project"

# Each is written whole, or kept as it is where it exists already.
PARTS = (
    "data/example_data",
    "custom_routers/randomrouter",
    "custom_routers/thresholdrouter",
    "custom_routers/paretorouter",
    "custom_routers/my_router",
)


@click.command()
@click.argument("directory", type=click.Path(path_type=Path), default=".")
@debug_option
def init(directory: Path) -> None:
    """Make an example project to try the commands on.

    It is written to DIRECTORY, by default the current one: synthetic data to try the formats with,
    configurations of randomrouter, thresholdrouter and paretorouter, and my_router, a small router in a
    folder. What exists already is kept as it is.
    """
    for part in PARTS:
        target = directory / part
        if target.exists():
            click.echo(f"kept     {shorten(target.absolute())}, which exists", err=True)
            continue
        with new_folder(target) as folder:
            unwanted = shutil.ignore_patterns("__pycache__")
            shutil.copytree(TEMPLATE / part, folder, ignore=unwanted, dirs_exist_ok=True)
        click.echo(f"written  {shorten(target.absolute())}", err=True)
    where = "" if directory == Path(".") else f"cd {directory}\n"
    click.echo(
        f"Try:\n{where}llmrouter list-routers\n"
        "llmrouter infer --router my_router --config custom_routers/my_router/config.yaml "
        '--query "What is machine learning?" --route-only',
        err=True,
    )
