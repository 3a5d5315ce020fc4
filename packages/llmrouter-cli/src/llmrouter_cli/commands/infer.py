"""``llmrouter infer``: route one query, or a file of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import click

from llmrouter.data.queries import QueryFile, QueryRow
from llmrouter.decision import RoutingDecision
from llmrouter.routing import DecisionEngine, open_engine
from llmrouter_cli.app import App, debug_option, pass_app
from llmrouter_cli.options import config_option, json_option, router_option
from llmrouter_cli.outputs import output_file
from llmrouter_cli.progress import reading_progress
from llmrouter_cli.results import result_stream, write_table
from llmrouter_cli.writers import WRITERS, JSONLines, RowWriter, TerminalTable, encode_decision

# Opened by name, it would be standard error, to which whatever plugins print is sent meanwhile.
STANDARD_OUTPUT = ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


@click.command()
@router_option
@config_option
@click.option("--query", help="One query to route.")
@click.option(
    "--input", "input_path", type=click.Path(), help="File of queries: .jsonl, .json, .txt; '-': JSONL."
)
@click.option(
    "--output", "output_path", type=click.Path(), help="File to write; its suffix gives the format."
)
@click.option(
    "--output-format", type=click.Choice(list(WRITERS)), help="Format of the output, whatever its suffix."
)
@click.option("--route-only", is_flag=True, help="Only decide; do not call the LLM.")
@click.option(
    "--load-model-path", type=click.Path(), help="Saved state of the router, in place of the configured one."
)
@click.option(
    "--batch-size", default=1024, show_default=True, type=click.IntRange(1), help="Queries routed at once."
)
@json_option
@debug_option
@pass_app
def infer(
    app: App,
    router: str,
    config: str,
    query: str | None,
    input_path: str | None,
    output_path: str | None,
    output_format: str | None,
    route_only: bool,
    load_model_path: str | None,
    batch_size: int,
    as_json: bool,
) -> int:
    """Route queries: which LLM should answer each.

    One query gives one JSON object; a file gives one row for each query, in the order of the file. A row
    that cannot be routed becomes a row with an error, the others go on, and the exit status is 1.

    \b
    llmrouter infer --router randomrouter --config config.yaml --query "What is AI?" --route-only
    llmrouter infer --router randomrouter --config config.yaml --input queries.jsonl --output out.csv
    """
    if (query is None) == (input_path is None):
        raise click.UsageError("give either --query or --input")
    if output_path and not output_format:
        output_format = Path(output_path).suffix.removeprefix(".").lower()
        if output_format not in WRITERS:
            raise click.UsageError(
                f"{output_path!r} tells no format; end it in .json, .jsonl or .csv, or add --output-format"
            )
    with result_stream() as stdout:
        engine = open_engine(app.registry, router, config, load_model_path)
        app.warn_of_failures()
        if not route_only:
            click.echo(
                "Answering is not built yet: this is the decision alone, as with --route-only.", err=True
            )
        as_json = as_json or not stdout.isatty()
        if query is not None:
            decision = engine.decide(_query_of(query))
            with _output(output_path, stdout) as stream:
                _write_one(decision, stream, output_format or ("json" if as_json else None))
            return 0
        with _output(output_path, stdout) as stream:
            queries = QueryFile(str(input_path))
            make = WRITERS[output_format] if output_format else JSONLines if as_json else TerminalTable
            return _route(engine, queries, make(stream, queries.counts), batch_size, quiet=stream.isatty())


def _query_of(text: str) -> dict[str, str]:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise click.UsageError("--query is not UTF-8 text") from None
    return {"query": text}


def _route(
    engine: DecisionEngine, queries: QueryFile, writer: RowWriter, batch_size: int, quiet: bool
) -> int:
    with reading_progress(queries, quiet) as advance:
        for answered in engine.decide_rows(queries, batch_size):
            writer.write(answered)
            advance(len(answered))
    writer.close()
    if writer.failed:
        told = f"{writer.failed} of {writer.written} rows failed; the first: {writer.first_error}"
        click.echo(f"Error: {told}", err=True)
    return 1 if writer.failed else 0


def _write_one(decision: RoutingDecision, stream: BinaryIO, output_format: str | None) -> None:
    row = encode_decision(decision)
    if output_format == "json":
        stream.write(row + b"\n")
    elif output_format:
        WRITERS[output_format](stream).write([(QueryRow(1, {}), decision)])
    else:
        told = {name: getattr(decision, name) for name in RoutingDecision.__struct_fields__}
        rows = [{"name": name, "value": value} for name, value in told.items() if value is not None]
        write_table(stream, rows, {"name": "Decision", "value": ""})


@contextlib.contextmanager
def _output(path: str | None, stdout: BinaryIO) -> Iterator[BinaryIO]:
    if path is None or path in STANDARD_OUTPUT:
        yield stdout
        return
    with output_file(path) as stream:
        yield stream
