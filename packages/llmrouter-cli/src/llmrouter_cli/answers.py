"""Have queries answered, and show the answers: what ``llmrouter infer`` does without ``--route-only``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, BinaryIO

import click
import msgspec

from llmrouter.answering import AnsweredQuery, Answerer
from llmrouter.completion.catalogue import Catalogue
from llmrouter.completion.client import CompletionClient
from llmrouter.completion.result import Usage
from llmrouter.data.queries import QueryFile
from llmrouter.errors import ConfigError, LLMRouterError
from llmrouter.routing import DecisionEngine
from llmrouter_cli.journal import Journal
from llmrouter_cli.options import Asking
from llmrouter_cli.outputs import output_file
from llmrouter_cli.progress import reading_progress
from llmrouter_cli.results import printable, shorten
from llmrouter_cli.writers import WRITERS, RowWriter, encode_decision, report_failures, told_of

# Rows copied at once into the output.
AT_ONCE = 1024


@contextlib.contextmanager
def answerer(engine: DecisionEngine, config: str, asking: Asking) -> Iterator[Answerer]:
    """Lend what answers queries; calls that still run when this ends are cancelled.

    Raises:
        ConfigError: The services are malformed, or none of the candidates can be called.
    """
    catalogue = Catalogue(engine.router.llm_data, engine.router.cfg, config)
    problems = []
    for name in catalogue:
        try:
            catalogue.endpoint(name)
        except ConfigError as error:
            problems.append(str(error))
    if len(problems) == len(catalogue):
        raise ConfigError(config, f"no candidate can be called: {problems[0]}; --route-only decides without")
    if problems:
        told = f"{len(problems)} of {len(catalogue)} candidates cannot be called; the first: {problems[0]}"
        click.echo(f"Warning: {told}", err=True)
    with CompletionClient(
        catalogue, timeout=asking.timeout, parameters=asking.parameters, system=asking.system
    ) as client:
        yield Answerer(engine, client)


def answer_one(answerer: Answerer, query: dict[str, Any], stream: BinaryIO, output_format: str | None) -> int:
    """Answer one query; without a format the answer comes alone, and who gave it on standard error."""
    answered = answerer.answer(query)
    row = encode_decision(answered)
    if output_format == "json":
        stream.write(row + b"\n")
    elif output_format:
        writer = WRITERS[output_format](stream, kind=AnsweredQuery)
        writer.copy([row])
        writer.close()
    else:
        stream.write(printable(answered.response).encode(errors="backslashreplace") + b"\n")
        stream.flush()
        click.echo(f"\n{told_of(msgspec.to_builtins(answered, enc_hook=str))}", err=True)
    return 0


def answer_all(
    answerer: Answerer, queries: QueryFile, stream: BinaryIO, make: type[RowWriter], **at_once: int
) -> int:
    """Answer a file of queries and write each answer as it comes; return the exit status.

    Rows stand in the order in which they finish, and bear their number.
    """
    writer = make(stream, queries.counts, AnsweredQuery, numbered=True)
    total = _Total()
    with (
        reading_progress(queries, quiet=stream.isatty(), label="Answering") as advance,
        contextlib.closing(answerer.answer_rows(queries, **at_once)) as outcomes,
    ):
        for row, outcome in outcomes:
            writer.write([(row, outcome)])
            total.add(outcome)
            advance(1)
    writer.close()
    return total.report(writer)


def answer_into_file(
    answerer: Answerer,
    queries: QueryFile,
    output: str,
    make: type[RowWriter],
    made_with: Mapping[str, Any],
    resume: bool,
    **at_once: int,
) -> int:
    """Answer a file of queries into another, in order; return the exit status.

    Each answer is kept beside the output as it comes. What an interrupted run left, and what failed, is asked
    again with `resume`; the rest is not.
    """
    total = _Total()
    with Journal(output, made_with, resume) as journal:
        if journal.finished:
            click.echo(f"{journal.finished} answers of an earlier run are kept", err=True)
        try:
            # Opened before anything is asked, so that what cannot be written costs nothing.
            with output_file(output) as stream:
                writer = make(stream, queries.counts, AnsweredQuery)
                with (
                    reading_progress(queries, quiet=False, label="Answering") as advance,
                    contextlib.closing(
                        answerer.answer_rows(journal.unfinished(queries), **at_once)
                    ) as outcomes,
                ):
                    for row, outcome in outcomes:
                        failed = writer.failed
                        journal.add(row, writer.encode(row, outcome), writer.failed > failed)
                        total.add(outcome)
                        advance(1)
                rows = journal.rows()
                while some := list(islice(rows, AT_ONCE)):
                    writer.copy(some)
                writer.close()
        except BaseException:  # whatever ended it, Ctrl-C too: what was answered is kept
            if journal.finished:
                kept = f"{journal.finished} answers are kept in {shorten(journal.path)}"
                click.echo(f"{kept}; go on with --resume", err=True)
            raise
        if not writer.failed:
            journal.remove()
        elif journal.finished:
            click.echo("--resume asks those that failed again", err=True)
    return total.report(writer)


class _Total:
    """What a run took altogether."""

    def __init__(self) -> None:
        self.answered = 0
        self.usage = Usage(0, 0)
        self.cost = 0.0
        self.unknown = 0

    def add(self, outcome: AnsweredQuery | LLMRouterError) -> None:
        """Count the outcome of one row."""
        if isinstance(outcome, AnsweredQuery):
            self.answered += 1
            self.usage += outcome.usage or Usage(0, 0)
            self.cost += outcome.cost or 0
            self.unknown += outcome.cost is None

    def report(self, writer: RowWriter) -> int:
        """Tell it, and the first error, on standard error; return the exit status."""
        tokens = f"{self.usage.prompt_tokens:,} + {self.usage.completion_tokens:,} tokens"
        cost = f"{self.cost:.4g} USD" if self.unknown < self.answered else "cost unknown"
        if 0 < self.unknown < self.answered:
            cost += f" and an unknown cost for {self.unknown}"
        if self.answered:
            click.echo(f"{self.answered} answered: {tokens}, {cost}", err=True)
        return report_failures(writer)
