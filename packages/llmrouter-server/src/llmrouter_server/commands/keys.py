"""``llmrouter keys``: create, list and revoke keys of the gateway."""

from __future__ import annotations

import json
import sys

import click

from llmrouter_server import key_file
from llmrouter_server.key_file import DEFAULT_ORG, SCOPES, Scope

_file_option = click.option(
    "--keys-file",
    "path",
    required=True,
    type=click.Path(),
    help="The keys file, as 'llmrouter serve' takes it.",
)


@click.group()
def keys() -> None:
    """Create, list and revoke keys of the gateway.

    The keys file holds digests: a key is shown once, when it is created. A running gateway notices a change
    within a second or two.
    """


@keys.command()
@click.argument("name")
@_file_option
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(SCOPES),
    help="What it may do; several times for several.  [default: all]",
)
@click.option("--org", default=DEFAULT_ORG, show_default=True, help="Organisation that it belongs to.")
@click.option("--budget", type=click.FloatRange(min=0), help="What it may spend in all, in USD.")
def create(name: str, path: str, scopes: tuple[Scope, ...], org: str, budget: float | None) -> None:
    """Create a key and print it: it is shown now and never again."""
    secret = key_file.create_key(path, name, scopes or SCOPES, org, budget)
    click.echo(secret)
    click.echo(f"This is the key {name!r}. Keep it: {path} holds its digest alone.", err=True)


@keys.command("list")
@_file_option
@click.option("--json", "as_json", is_flag=True, help="JSON, on a terminal too.")
def list_keys(path: str, as_json: bool) -> None:
    """List the keys: what they may do, and what they have spent."""
    from llmrouter_server.budgets import spent_by_key

    spent = spent_by_key(path)
    found = [(key, round(spent.get(key.sha256, 0.0), 9)) for key in key_file.read_keys(path)]
    if as_json or not sys.stdout.isatty():
        rows = [
            {
                "name": key.name,
                "org": key.org,
                "scopes": key.scopes,
                "budget_usd": key.budget_usd,
                "spent_usd": usd,
            }
            for key, usd in found
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    for key, usd in found:
        budget = "no budget" if key.budget_usd is None else f"of {key.budget_usd:g} USD"
        click.echo(f"{key.name}  {key.org}  {','.join(key.scopes)}  spent {usd:g} USD, {budget}")


@keys.command()
@click.argument("name")
@_file_option
def revoke(name: str, path: str) -> None:
    """Revoke a key: the gateway refuses it from then on."""
    key_file.revoke_key(path, name)
    click.echo(f"The key {name!r} was revoked.", err=True)
