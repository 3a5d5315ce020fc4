"""``llmrouter version``: which versions are at work."""

from __future__ import annotations

import platform

import click

from llmrouter.plugin_system.metadata import entry_points, installed_version
from llmrouter_cli.app import debug_option
from llmrouter_cli.options import json_option
from llmrouter_cli.results import show


@click.command()
@json_option
@debug_option
def version(as_json: bool) -> None:
    """Show the versions of llmrouter and its plugins."""
    versions = {name: installed_version(name) for name in ("llmrouter-core", "llmrouter-cli")}
    versions |= {point.distribution.name: point.distribution.version for point in entry_points()}
    versions["python"] = platform.python_version()
    rows = [{"name": name, "version": number} for name, number in versions.items()]
    show(rows, as_json, {"name": "Name", "version": "Version"})
