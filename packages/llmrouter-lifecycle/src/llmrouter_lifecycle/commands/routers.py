"""``llmrouter routers``: create routers, and let them answer."""

from __future__ import annotations

from typing import Any

import click

from llmrouter_lifecycle.commands.shared import (
    Place,
    json_option,
    place_options,
    read_object,
    show,
    version_option,
)

_COLUMNS = ("id", "version", "description", "create_time")


@click.group()
def routers() -> None:
    """Create routers, and let them answer.

    A new router goes to one LLM; 'llmrouter jobs start' trains it to choose among several.
    """


@routers.command()
@click.argument("router_id")
@click.option("--base-model", required=True, help="The LLM that it goes to until it is trained.")
@click.option("--description", help="For people.")
@place_options
def create(router_id: str, base_model: str, description: str | None, place: Place) -> None:
    """Create a router."""
    with place.client() as client:
        show(client.routers.create_router(router_id, base_model, description), True)


@routers.command("list")
@json_option
@place_options
def list_routers(as_json: bool, place: Place) -> None:
    """List the routers."""
    with place.client() as client:
        show(client.routers.list(), as_json, _COLUMNS)


@routers.command("show")
@click.argument("router_id")
@version_option
@click.option("--versions", is_flag=True, help="All versions.")
@json_option
@place_options
def show_router(router_id: str, version: int | None, versions: bool, as_json: bool, place: Place) -> None:
    """Show a router."""
    with place.client() as client:
        if versions:
            show(client.routers.versions(router_id), as_json, _COLUMNS)
        else:
            show(client.routers.get(router_id, version), True)


@routers.command()
@click.argument("router_id")
@click.option("--spec", required=True, type=click.Path(), help="A JSON or YAML file with the points.")
@click.option("--description", help="For people.  [default: as before]")
@place_options
def update(router_id: str, spec: str, description: str | None, place: Place) -> None:
    """Add a version to a router."""
    told = read_object(spec)
    with place.client() as client:
        show(client.routers.update_router(router_id, told, description), True)


@routers.command()
@click.argument("router_id")
@place_options
def delete(router_id: str, place: Place) -> None:
    """Delete a router with all its versions."""
    with place.client() as client:
        client.routers.delete(router_id)


@routers.command()
@click.argument("router_id")
@click.argument("message")
@click.option("--max-cost", help="What the answer may cost, in USD, or the LLM whose cost it may have.")
@click.option("--min-quality", help="How good it is to be, from 0 to 1, or the LLM that it is to equal.")
@click.option("--max-tokens", type=click.IntRange(min=1), help="Of the answer.")
@version_option
@json_option
@place_options
def run(
    router_id: str,
    message: str,
    max_cost: str | None,
    min_quality: str | None,
    max_tokens: int | None,
    version: int | None,
    as_json: bool,
    place: Place,
) -> None:
    """Let a router choose an LLM, and that answer."""
    constraint = {
        key: _value(told)
        for key, told in (("cost_constraint", max_cost), ("quality_constraint", min_quality))
        if told is not None
    }
    request: dict[str, Any] = {"messages": [{"role": "user", "content": message}]}
    if max_tokens is not None:
        request["max_tokens"] = max_tokens
    with place.client() as client:
        answer = client.routers.run(router_id, constraint or None, request, version)
    if as_json:
        show(answer, True)
        return
    click.echo(answer.choices[0].message.content or "")
    cost = answer.to_dict().get("cost")
    click.echo(f"{answer.model}, {'cost unknown' if cost is None else f'{cost:.6g} USD'}", err=True)


def _value(told: str) -> dict[str, Any]:
    try:
        return {"numeric_value": float(told)}
    except ValueError:
        return {"model_name": told}
