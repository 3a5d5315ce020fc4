"""``llmrouter evaluate``: measure routers on held-out routing data."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from llmrouter.errors import DataError, LLMRouterError
from llmrouter_cli.app import App, debug_option, pass_app
from llmrouter_cli.options import complete_router, json_option, scale_option
from llmrouter_cli.outputs import output_file
from llmrouter_cli.progress import routing_progress
from llmrouter_cli.results import result_stream, write_table

if TYPE_CHECKING:
    from llmrouter.evaluation.outcomes import Outcomes
    from llmrouter.evaluation.result import Evaluation
    from llmrouter.routing import DecisionEngine

PICTURES = (".png", ".svg", ".html")
# Columns of a terminal on which all figures and their intervals go into one table.
WIDE = 112


@click.command()
@click.option(
    "--router",
    "routers",
    required=True,
    multiple=True,
    metavar="NAME",
    shell_complete=complete_router,
    help="Name of a router. May be given several times.",
)
@click.option(
    "--config",
    "configs",
    required=True,
    multiple=True,
    type=click.Path(),
    help="Configuration of all the routers, or one for each, in order.",
)
@click.option(
    "--load-model-path",
    type=click.Path(),
    help="Saved state of the router, in place of the configured one; with one router only.",
)
@click.option(
    "--data",
    type=click.Path(),
    help="Held-out routing data; by default the configuration's data_path.routing_data_test.",
)
@click.option("--weak", metavar="LLM", help="The weak LLM; of two LLMs by default the cheaper one.")
@click.option("--strong", metavar="LLM", help="The strong LLM.")
@click.option("--plot", type=click.Path(), help="Picture to write: .png, .svg, or a page, .html.")
@click.option(
    "--scores", type=click.Path(), help="File to write: each query's scores and decision, as JSONL."
)
@click.option(
    "--bootstrap",
    default=1000,
    show_default=True,
    type=click.IntRange(0),
    help="Resamples for the 95 % intervals; 0: none.",
)
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0), help="For ties and the bootstrap."
)
@scale_option
@json_option
@debug_option
@pass_app
def evaluate(
    app: App,
    routers: tuple[str, ...],
    configs: tuple[str, ...],
    load_model_path: str | None,
    data: str | None,
    weak: str | None,
    strong: str | None,
    plot: str | None,
    scores: str | None,
    bootstrap: int,
    seed: int,
    scale: tuple[float, float],
    as_json: bool,
) -> int:
    """Measure routers on held-out routing data, beside baselines.

    The data have a row for each query and LLM. Give --router several times to compare routers, with one
    --config for all of them or one for each, in order. A query that a router fails on is left out for that
    router, and the exit status is 1.

    \b
    llmrouter evaluate --router randomrouter --config config.yaml --data routing_test.jsonl
    llmrouter evaluate --router a --config a.yaml --router b --config b.yaml --plot ab.html --json
    """
    if len(configs) not in (1, len(routers)):
        raise click.UsageError(
            f"give one --config for all routers or one for each; found {len(configs)} for {len(routers)}"
        )
    if load_model_path is not None and len(routers) > 1:
        raise click.UsageError(
            "--load-model-path goes with one router; name the others' in their configurations"
        )
    if plot is not None and Path(plot).suffix.lower() not in PICTURES:
        raise click.UsageError(f"{plot!r} tells no kind of picture; end it in {', '.join(PICTURES)}")
    pairs = list(zip(routers, configs * (len(routers) // len(configs)), strict=True))
    from llmrouter.evaluation.evaluate import evaluate as evaluate_routers
    from llmrouter.evaluation.report import as_json as told

    with result_stream() as stdout:
        for path in filter(None, (plot, scores)):
            _check_folder(path)
        engines = _open(app, pairs, load_model_path)
        app.warn_of_failures()
        outcomes = _read(list(engines.values()), data, scale)
        if plot is not None:
            from llmrouter.evaluation.plot import check_plot

            check_plot(len(outcomes.llms), outcomes.costs_known)
        with routing_progress("Routing", len(outcomes.queries) * len(engines)) as advance:
            evaluation = evaluate_routers(
                engines, outcomes, weak=weak, strong=strong, seed=seed, resamples=bootstrap, advance=advance
            )
        if scores is not None:
            with output_file(scores) as stream:
                _write_scores(evaluation, stream)
        if plot is not None:
            picture = _picture(evaluation, Path(plot).suffix.lower())
            with output_file(plot) as stream:
                stream.write(picture)
        if as_json or not stdout.isatty():
            stdout.write(json.dumps(told(evaluation), indent=2, ensure_ascii=False).encode() + b"\n")
        else:
            _show(evaluation, stdout)
        return _report(evaluation)


def _open(
    app: App, pairs: Sequence[tuple[str, str]], load_model_path: str | None
) -> dict[str, DecisionEngine]:
    """Open the routers, by labels that tell them apart."""
    from llmrouter.routing import open_engine

    count = Counter(name for name, _ in pairs)
    engines = {}
    for number, (name, config) in enumerate(pairs, 1):
        label = name if count[name] == 1 else f"{name} ({Path(config).stem})"
        if label in engines:
            label = f"{label} #{number}"
        engines[label] = open_engine(app.registry, name, config, load_model_path)
    return engines


def _read(engines: Sequence[DecisionEngine], data: str | None, scale: tuple[float, float]) -> Outcomes:
    from llmrouter.data.routing_data import read_routing_data
    from llmrouter.evaluation.outcomes import outcomes_from_rows

    candidates: dict[str, dict[str, Any]] = {}
    for engine in engines:
        for name, candidate in engine.router.llm_data.items():
            candidates.setdefault(name, candidate)
    if data is not None:
        return outcomes_from_rows(read_routing_data(Path(data), scale), candidates, data)
    named = {str(engine.router.cfg["data_path"].get("routing_data_test")) for engine in engines}
    if len(named) > 1:
        raise click.UsageError(
            f"the configurations name different routing_data_test, {' and '.join(sorted(named))}; give --data"
        )
    engines[0].router.performance_scale = scale
    rows = engines[0].router.routing_data_test
    if rows is None:
        raise LLMRouterError("there are no data to evaluate on; give --data, or data_path.routing_data_test")
    return outcomes_from_rows(rows, candidates, named.pop())


def _write_scores(evaluation: Evaluation, stream: BinaryIO) -> None:
    from llmrouter.decision import encode
    from llmrouter.evaluation.report import score_lines

    for line in score_lines(evaluation):
        try:
            stream.write(encode(line) + b"\n")
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise LLMRouterError(f"the scores of {line['router']} cannot be written: {error}") from error


def _picture(evaluation: Evaluation, suffix: str) -> bytes:
    if suffix == ".html":
        from llmrouter.evaluation.page import page

        return page(evaluation)
    from llmrouter.evaluation.plot import render

    return render(evaluation, suffix.removeprefix("."))


def _show(evaluation: Evaluation, stdout: BinaryIO) -> None:
    from rich.console import Console

    from llmrouter.evaluation.report import headings, share_text, table_rows

    intervals = Console().width >= WIDE
    rows = table_rows(evaluation, intervals)
    write_table(stdout, rows, headings(evaluation))
    below = [f"{row['name']}: {row['llm']}" for row in rows if row["llm"]]
    below += [f"{one.routed.label} chose {share_text(one)}" for one in evaluation.routers if one.share]
    if evaluation.resamples and not intervals:
        below.append(f"95 % intervals are shown at a width of {WIDE} columns, and with --json")
    stdout.write("".join(f"{line}\n" for line in ["", *below]).encode(errors="backslashreplace"))


def _report(evaluation: Evaluation) -> int:
    """Say on standard error what is not in the table; return the exit status."""
    outcomes = evaluation.outcomes
    if outcomes.missing_performance or outcomes.missing_cost:
        click.echo(
            f"Missing in the data: {outcomes.missing_performance} performances, {outcomes.missing_cost} "
            f"costs; {outcomes.left_out} queries are left out",
            err=True,
        )
    status = 0
    for result in evaluation.routers:
        label = result.routed.label
        for note in result.notes:
            click.echo(f"{label}: {note}", err=True)
        if failures := result.routed.failures:
            status = 1
            number, error = failures[0]
            click.echo(
                f"Error: {label} failed on {len(failures)} of {len(result.routed.answers)} queries, which "
                f"are left out; the first, {outcomes.queries[number]['query'][:60]!r}: {error}",
                err=True,
            )
    return status


def _check_folder(path: str) -> None:
    """Make sure, before the work, that there is a folder to write into."""
    folder = Path(path).parent
    if not folder.is_dir():
        raise DataError(path, f"cannot be written: there is no folder {folder}")
