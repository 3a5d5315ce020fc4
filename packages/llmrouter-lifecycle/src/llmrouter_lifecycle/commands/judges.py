"""``llmrouter judges``: create judges, and let them score answers."""

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
_spec_option = click.option(
    "--spec", required=True, help="A JSON or YAML file; or the name of a judge such as 'exact_match'."
)


@click.group()
def judges() -> None:
    """Create judges, and let them score answers.

    A judge asks an LLM with a rubric ('model_type: rubric_judge'), or compares answers with what is right
    ('exact_match', 'numeric', 'regex').
    """


@judges.command()
@click.argument("judge_id")
@_spec_option
@click.option("--description", help="For people.")
@place_options
def create(judge_id: str, spec: str, description: str | None, place: Place) -> None:
    """Create a judge."""
    with place.client() as client:
        show(client.judges.create_judge(judge_id, _spec(spec), description), True)


@judges.command("list")
@json_option
@place_options
def list_judges(as_json: bool, place: Place) -> None:
    """List the judges."""
    with place.client() as client:
        show(client.judges.list(), as_json, _COLUMNS)


@judges.command("show")
@click.argument("judge_id")
@version_option
@click.option("--versions", is_flag=True, help="All versions.")
@json_option
@place_options
def show_judge(judge_id: str, version: int | None, versions: bool, as_json: bool, place: Place) -> None:
    """Show a judge."""
    with place.client() as client:
        if versions:
            show(client.judges.get_versions(judge_id), as_json, _COLUMNS)
        else:
            show(client.judges.get(judge_id, version), True)


@judges.command()
@click.argument("judge_id")
@_spec_option
@click.option("--description", help="For people.  [default: as before]")
@place_options
def update(judge_id: str, spec: str, description: str | None, place: Place) -> None:
    """Add a version to a judge."""
    with place.client() as client:
        show(client.judges.update_judge(judge_id, _spec(spec), description), True)


@judges.command()
@click.argument("judge_id")
@place_options
def delete(judge_id: str, place: Place) -> None:
    """Delete a judge with all its versions."""
    with place.client() as client:
        client.judges.delete(judge_id)


@judges.command()
@click.argument("judge_id")
@click.argument("question")
@click.argument("answer")
@click.option("--reference", help="The answer that is right, for a judge that compares.")
@click.option("--prompt", "prompt_only", is_flag=True, help="Show the judge's prompt; ask nobody.")
@version_option
@place_options
def evaluate(
    judge_id: str,
    question: str,
    answer: str,
    reference: str | None,
    prompt_only: bool,
    version: int | None,
    place: Place,
) -> None:
    """Let a judge score an answer to a question."""
    request = {"messages": [{"role": "user", "content": question}], "reference": reference}
    with place.client() as client:
        judge = client.judges.get(judge_id, version)
        if prompt_only:
            click.echo(client.judges.render_prompt(judge, request, answer))
        else:
            show(client.judges.evaluate(judge, request, answer), True)


def _spec(told: str) -> Any:
    from pathlib import Path

    return read_object(told) if Path(told).suffix in (".json", ".yaml", ".yml") else told
