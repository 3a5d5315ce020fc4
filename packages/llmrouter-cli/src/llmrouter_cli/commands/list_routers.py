"""``llmrouter list-routers``: what routers there are."""

from __future__ import annotations

import click

from llmrouter_cli.app import App, debug_option, pass_app
from llmrouter_cli.options import json_option
from llmrouter_cli.results import shorten, show


@click.command("list-routers")
@json_option
@debug_option
@pass_app
def list_routers(app: App, as_json: bool) -> None:
    """List the routers there are, usable or not.

    No router's code runs for it: 'ready' means declared, and 'llmrouter plugins check' proves it.
    """
    rows = [
        {
            "name": entry.name,
            "state": entry.state,
            "trainable": entry.trainable,
            "origin": entry.origin,
            "version": entry.version,
            "summary": entry.summary,
            "target": entry.target,
            "reason": entry.reason,
            "from": entry.label if entry.distribution else shorten(entry.origin),
        }
        for entry in app.registry.routers
    ]
    columns = {
        "name": "Router",
        "state": "State",
        "trainable": "Trainable",
        "from": "From",
        "summary": "Summary",
    }
    show(
        rows,
        as_json,
        columns,
        "No router is installed; 'pip install llmrouter-random' adds a first one.",
        "reason",
    )
