"""``llmrouter new``: a plugin to begin with."""

from __future__ import annotations

from pathlib import Path

import click

from llmrouter_cli.app import App, debug_option, pass_app
from llmrouter_cli.folders import new_folder
from llmrouter_cli.results import shorten
from llmrouter_cli.scaffold import KINDS, Names, check_free, render, words

DIRECTORY = Path("custom_routers")
OPTIONS = {"trainable": "--trainable", "encoder": "--encoder", "judge": "--judge", "command": "--command"}


@click.command()
@click.argument("name")
@click.option("--trainable", is_flag=True, help="A router that holds a torch model, with its trainer.")
@click.option("--encoder", is_flag=True, help="An encoder in place of a router.")
@click.option("--judge", is_flag=True, help="A judge in place of a router.")
@click.option("--command", is_flag=True, help="A command of 'llmrouter' in place of a router.")
@click.option("--directory", is_flag=True, help=f"A router in {DIRECTORY}/NAME, without a distribution.")
@debug_option
@pass_app
def new(app: App, /, name: str, directory: bool, **kinds: bool) -> None:
    """Make a plugin of your own that works, with tests.

    A distribution is written to llmrouter-NAME in the current folder: a router that routes already, tests
    that check the contract, README, licence and a workflow that runs the tests. Install it there with
    "pip install --editable '.[dev]'", and change what you like.
    """
    chosen = [kind for kind, wanted in kinds.items() if wanted]
    if len(chosen) > 1:
        raise click.UsageError(
            f"{' and '.join(OPTIONS[kind] for kind in chosen)} are different kinds; name one"
        )
    template = chosen[0] if chosen else "router"
    kind = KINDS[template]
    if directory and kind.what != "router":
        raise click.UsageError(f"--directory makes a router, and {OPTIONS[template]} is none")
    names = Names.of(name)
    check_free(names, kind.what, app.registry, as_distribution=not directory)
    target = DIRECTORY / names.name if directory else Path(names.distribution)
    filled = words(names, kind)
    with new_folder(target) as folder:
        if directory:
            filled["config"] = str(target / "config.yaml")
            render(f"{template}/example", folder, filled)
            for module in ("router.py", *(["trainer.py"] if template == "trainable" else [])):
                render(f"{template}/src/package/{module}", folder / module, filled)
        else:
            render("common", folder, filled)
            render(template, folder, filled)
    click.echo(f"written  {shorten(target.absolute())}", err=True)
    click.echo("Try:", err=True)
    if directory:
        task = "train" if template == "trainable" else 'infer --query "What is AI?" --route-only'
        click.echo(f"llmrouter {task} --router {names.name} --config {filled['config']}", err=True)
    else:
        click.echo(f"cd {target}\npip install --editable '.[dev]'\npytest\n{filled['use']}", err=True)
