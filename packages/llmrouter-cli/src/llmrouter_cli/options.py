"""Options that several commands share."""

from __future__ import annotations

import click

from llmrouter_cli.app import App


def complete_router(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of routers that begin so."""
    names = ctx.ensure_object(App).registry.get_router_names()
    return [name for name in names if name.startswith(incomplete)]


router_option = click.option(
    "--router",
    required=True,
    metavar="NAME",
    shell_complete=complete_router,
    help="Name of the router; DISTRIBUTION:NAME or dir:NAME where several bear it.",
)
config_option = click.option(
    "--config",
    required=True,
    type=click.Path(),
    help="The router's configuration, a YAML file.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="JSON, on a terminal too.")
