"""``llmrouter train``: train a router with the trainer that comes with it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import click

from llmrouter.plugin_system.isolation import plugin_code
from llmrouter.routing import create_router, load_state
from llmrouter_cli.app import App, debug_option, pass_app
from llmrouter_cli.options import config_option, json_option, router_option, scale_option
from llmrouter_cli.progress import training_progress
from llmrouter_cli.results import result_stream, show


def _device(context: click.Context, parameter: click.Parameter, told: str) -> str:
    from llmrouter.devices import device_of

    try:
        return device_of(told)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command()
@router_option
@config_option
@click.option(
    "--device",
    default="cpu",
    show_default=True,
    callback=_device,
    help="Where to train: cpu, cuda, cuda:1 or mps, as torch names it; auto takes cuda if there is any.",
)
@click.option("--resume", is_flag=True, help="Go on from where an interrupted training stopped.")
@scale_option
@json_option
@debug_option
@pass_app
def train(
    app: App, router: str, config: str, device: str, resume: bool, scale: tuple[float, float], as_json: bool
) -> None:
    """Train a router.

    The router's trainer reads the data that the configuration names and saves what it learned at
    model_path.save_model_path. Under torchrun several processes train together, and the first one tells the
    result.

    \b
    llmrouter train --router my_router --config custom_routers/my_router/config.yaml
    """
    with result_stream():
        entry = app.registry.find(router)
        app.warn_of_failures()
        trainer_class = app.registry.load_trainer(entry)
        trainee = create_router(app.registry, entry, config)
        trainee.performance_scale = scale
        target = trainee.cfg["model_path"].get("save_model_path")
        if resume:
            # Where nothing else is named, what an interrupted training left.
            load_state(trainee, entry, trainee.cfg["model_path"].get("load_model_path") or target)
        before = _written_at(target)
        started = time.perf_counter()
        with (
            plugin_code(f"Training {entry.name!r}"),
            training_progress(quiet=not is_first_process()) as report,
        ):
            trainer = trainer_class(trainee, trainee.cfg, device)
            if report is not None:
                trainer.report = report
            trainer.train()
        seconds = time.perf_counter() - started
    if not is_first_process():
        return
    saved = target if _written_at(target) != before else None
    row = {"router": entry.name, "device": device, "seconds": round(seconds, 3), "saved": saved}
    columns = {"router": "Trained", "device": "Device", "seconds": "Seconds", "saved": "Saved"}
    show(row, as_json, columns)


def is_first_process() -> bool:
    """Whether this process is the only one, or the first of those that torchrun started."""
    return os.environ.get("RANK", "0") == "0"


def _written_at(path: object) -> int | None:
    """When a file was last written, in nanoseconds; None where there is none."""
    if not isinstance(path, str):
        return None
    try:
        return Path(path).expanduser().stat().st_mtime_ns
    except OSError:
        return None
