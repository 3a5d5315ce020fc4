"""``llmrouter infer``: have queries answered by the LLMs that a router chooses, or only routed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import click

from llmrouter.data.queries import QueryFile, QueryRow
from llmrouter.decision import RoutingDecision
from llmrouter.errors import LLMRouterError
from llmrouter.routing import DecisionEngine, open_engine
from llmrouter_cli.app import App, debug_option, pass_app
from llmrouter_cli.options import (
    Asking,
    asking_options,
    config_option,
    json_option,
    load_option,
    router_option,
)
from llmrouter_cli.outputs import output_file
from llmrouter_cli.progress import reading_progress
from llmrouter_cli.results import result_stream, write_table
from llmrouter_cli.writers import (
    WRITERS,
    JSONLines,
    RowWriter,
    TerminalAnswers,
    TerminalTable,
    encode_decision,
    report_failures,
)

# Opened by name, it would be standard error, to which whatever plugins print is sent meanwhile.
STANDARD_OUTPUT = ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


@click.command()
@router_option
@config_option
@click.option("--query", help="One query.")
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
@load_option
@click.option(
    "--batch-size", default=1024, show_default=True, type=click.IntRange(1), help="Queries routed at once."
)
@click.option(
    "--concurrency",
    default=8,
    show_default=True,
    type=click.IntRange(1, 256),
    help="Queries that are answered at once.",
)
@asking_options
@click.option(
    "--resume", is_flag=True, help="Go on with an interrupted run: ask only what is not answered in --output."
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
    concurrency: int,
    asking: Asking,
    resume: bool,
    as_json: bool,
) -> int:
    """Answer queries by the LLM that a router chooses.

    One query gives one JSON object; a file gives one row for each query. In an --output file the rows are in
    the order of the input, elsewhere in the order in which they finish, with their number. A row that cannot
    be routed or answered becomes a row with an error, the others go on, and the exit status is 1.

    Answers are kept in OUTPUT.partial as they come, and --resume goes on with them. Keys are read from
    API_KEYS or the variable of the service, such as OPENAI_API_KEY.

    \b
    llmrouter infer --router randomrouter --config config.yaml --query "What is AI?" --route-only
    llmrouter infer --router randomrouter --config config.yaml --input queries.jsonl --output out.csv
    """
    if (query is None) == (input_path is None):
        raise click.UsageError("give either --query or --input")
    if resume and (input_path is None or output_path is None or route_only):
        raise click.UsageError("--resume goes with --input and --output, and without --route-only")
    if output_path and not output_format:
        output_format = Path(output_path).suffix.removeprefix(".").lower()
        if output_format not in WRITERS:
            raise click.UsageError(
                f"{output_path!r} tells no format; end it in .json, .jsonl or .csv, or add --output-format"
            )
    if output_path in STANDARD_OUTPUT:
        output_path = None
    if resume and (output_path is None or _is_special(output_path)):
        raise click.UsageError("--resume needs an --output that can be read again: a file")
    with result_stream() as stdout:
        engine = open_engine(app.registry, router, config, load_model_path)
        app.warn_of_failures()
        as_json = as_json or not stdout.isatty()
        asked = None if query is None else _query_of(query)
        if asked is not None and output_format is None and as_json:
            output_format = "json"
        if route_only:
            with _output(output_path, stdout) as stream:
                if asked is not None:
                    return _decide_one(engine, asked, stream, output_format)
                queries = QueryFile(str(input_path))
                make = WRITERS[output_format] if output_format else JSONLines if as_json else TerminalTable
                writer = make(stream, queries.counts)
                return _decide_all(engine, queries, writer, stream, batch_size)

        # Not before it is needed, for the client that calls LLMs is slow to import.
        from llmrouter_cli.answers import answer_all, answer_into_file, answer_one, answerer

        with answerer(engine, config, asking) as answers:
            if asked is not None:
                with _output(output_path, stdout) as stream:
                    return answer_one(answers, asked, stream, output_format)
            make = WRITERS[output_format] if output_format else JSONLines if as_json else TerminalAnswers
            at_once = {"concurrency": concurrency, "batch_size": batch_size}
            with contextlib.closing(QueryFile(str(input_path))) as queries:
                if output_path is None or _is_special(output_path):
                    with _output(output_path, stdout) as stream:
                        return answer_all(answers, queries, stream, make, **at_once)
                # Not what may have to be mended before it goes on, such as where the LLMs are.
                made_with = {
                    "router": engine.name,
                    "config": config,
                    "load_model_path": load_model_path,
                    "system": asking.system,
                    **asking.parameters,
                }
                return answer_into_file(answers, queries, output_path, make, made_with, resume, **at_once)


def _query_of(text: str) -> dict[str, str]:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise click.UsageError("--query is not UTF-8 text") from None
    if not text.strip():
        raise LLMRouterError("--query is empty; write what to ask")
    return {"query": text}


def _decide_all(
    engine: DecisionEngine, queries: QueryFile, writer: RowWriter, stream: BinaryIO, batch_size: int
) -> int:
    with reading_progress(queries, quiet=stream.isatty()) as advance:
        for decided in engine.decide_rows(queries, batch_size):
            writer.write(decided)
            advance(len(decided))
    writer.close()
    return report_failures(writer)


def _decide_one(
    engine: DecisionEngine, query: dict[str, str], stream: BinaryIO, output_format: str | None
) -> int:
    decision = engine.decide(query)
    row = encode_decision(decision)
    if output_format == "json":
        stream.write(row + b"\n")
    elif output_format:
        WRITERS[output_format](stream).write([(QueryRow(1, {}), decision)])
    else:
        told = {name: getattr(decision, name) for name in RoutingDecision.__struct_fields__}
        rows = [{"name": name, "value": value} for name, value in told.items() if value is not None]
        write_table(stream, rows, {"name": "Decision", "value": ""})
    return 0


@contextlib.contextmanager
def _output(path: str | None, stdout: BinaryIO) -> Iterator[BinaryIO]:
    if path is None:
        yield stdout
        return
    with output_file(path) as stream:
        yield stream


def _is_special(path: str) -> bool:
    """Whether a path leads to a device or pipe, which cannot be read again."""
    return Path(path).exists() and not Path(path).is_file()
