"""Write decisions and answers, row by row, in the formats that ``llmrouter infer`` offers."""

from __future__ import annotations

import csv
import io
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, BinaryIO, cast

import click

from llmrouter.data.queries import QueryRow
from llmrouter.data.rows import decode
from llmrouter.decision import RoutingDecision, encode
from llmrouter.errors import LLMRouterError, RoutingError
from llmrouter_cli.results import printable, write_table


def encode_decision(decision: RoutingDecision) -> bytes:
    """Return a decision as a JSON object.

    Raises:
        RoutingError: The router told something that has no form in JSON.
    """
    try:
        return encode(decision)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise RoutingError(f"the router's result cannot be written: {error}") from error


class RowWriter(ABC):
    """Writes one row for each query: what came of it, or why nothing did.

    Args:
        stream: Where to.
        counts: What the numbers of rows count, ``line`` or ``item``.
        kind: Of what comes of a query; its fields are the columns of a table.
        numbered: Whether each row tells its number, as where they are not in order; errors always do.

    Attributes:
        written: Rows written so far.
        failed: Those among them that are errors.
        first_error: The first error in words, or None.
    """

    def __init__(
        self,
        stream: BinaryIO,
        counts: str = "line",
        kind: type[RoutingDecision] = RoutingDecision,
        numbered: bool = False,
    ) -> None:
        self._stream = stream
        self._counts = counts
        self._kind = kind
        self._numbered = numbered
        self.written = 0
        self.failed = 0
        self.first_error: str | None = None

    def write(self, outcomes: Sequence[tuple[QueryRow, RoutingDecision | LLMRouterError]]) -> None:
        """Write some rows, in order."""
        self.copy([self.encode(row, outcome) for row, outcome in outcomes])

    def copy(self, rows: list[bytes]) -> None:
        """Write rows that `encode` gave."""
        self._put(rows)
        self.written += len(rows)
        self._stream.flush()

    def encode(self, row: QueryRow, outcome: RoutingDecision | LLMRouterError) -> bytes:
        """Return a row as a JSON object, and count it where it is an error."""
        if isinstance(outcome, RoutingDecision):
            try:
                encoded = encode_decision(outcome)
            except RoutingError as error:
                outcome = error
            else:
                # Put in as text, for the row is a JSON object with other keys.
                return (
                    b'{"%b":%d,%b' % (self._counts.encode(), row.number, encoded[1:])
                    if self._numbered
                    else encoded
                )
        # It may quote what is no UTF-8, such as the name of a file.
        problem = str(outcome).encode(errors="backslashreplace").decode()
        self.failed += 1
        if self.first_error is None:
            self.first_error = f"{self._counts} {row.number}: {problem}"
        query = row.query or {}
        return encode(
            {self._counts: row.number, "error": problem, "query": query.get("query"), "id": query.get("id")}
        )

    def close(self) -> None:
        """Write what ends the file, by default nothing; the stream stays open."""
        return

    @abstractmethod
    def _put(self, rows: list[bytes]) -> None:
        """Write rows, each of which is a JSON object."""


class JSONLines(RowWriter):
    """One JSON object a line."""

    def _put(self, rows: list[bytes]) -> None:
        self._stream.write(b"\n".join([*rows, b""]))


class JSONArray(RowWriter):
    """One JSON list of objects."""

    def _put(self, rows: list[bytes]) -> None:
        self._stream.write(b",\n" if self.written else b"[\n")
        self._stream.write(b",\n".join(rows))

    def close(self) -> None:
        """Close the list."""
        self._stream.write(b"\n]\n" if self.written else b"[]\n")


class CSVTable(RowWriter):
    """A table with a heading; what is nested stands in its cell as JSON."""

    def close(self) -> None:
        """Write the heading, where there were no rows."""
        if not self.written:
            self._put([])

    def _put(self, rows: list[bytes]) -> None:
        columns = [*self._kind.__struct_fields__, self._counts, "error"]
        text = io.StringIO()
        table = csv.DictWriter(text, columns, lineterminator="\n")
        if not self.written:
            table.writeheader()
        for row in _objects(rows):
            table.writerow(
                {
                    key: encode(value).decode() if isinstance(value, dict | list) else value
                    for key, value in row.items()
                }
            )
        self._stream.write(text.getvalue().encode())


class TerminalTable(RowWriter):
    """A table for people to read."""

    def _put(self, rows: list[bytes]) -> None:
        columns = {
            "id": "Id",
            "query": "Query",
            "model_name": "LLM",
            "confidence": "Confidence",
            "expected_cost": "Cost (USD)",
            "fallback_reason": "Fallback",
            self._counts: self._counts.capitalize(),
            "error": "Error",
        }
        write_table(self._stream, _objects(rows), columns)


class TerminalAnswers(RowWriter):
    """Answers for people to read: one below the other, each after its query."""

    def _put(self, rows: list[bytes]) -> None:
        from rich.console import Console
        from rich.text import Text

        text = io.TextIOWrapper(
            cast(Any, self._stream), "utf-8", errors="backslashreplace", write_through=True
        )
        console = Console(file=text, force_terminal=self._stream.isatty())
        for row in _objects(rows):
            console.print(Text(printable(f"> {row.get('query') or ''}"), "bold"))
            if "error" in row:
                console.print(Text(f"{self._counts} {row[self._counts]}: {row['error']}", "red"))
            else:
                console.print(Text(printable(row["response"])))
                console.print(Text(told_of(row), "dim"))
            console.print()
        text.detach()


WRITERS: dict[str, type[RowWriter]] = {"json": JSONArray, "jsonl": JSONLines, "csv": CSVTable}


def report_failures(writer: RowWriter) -> int:
    """Report how many rows failed, or that there were none, on standard error; return the exit status."""
    if not writer.written:
        click.echo("Warning: the input holds no query.", err=True)
    if not writer.failed:
        return 0
    told = f"{writer.failed} of {writer.written} rows failed; the first: {writer.first_error}"
    click.echo(f"Error: {told}", err=True)
    return 1


def told_of(answer: Mapping[str, Any]) -> str:
    """Tell in a line who answered, why, what it took and what it cost."""
    return f"{chosen_of(answer)} · {cost_of(answer)}"


def chosen_of(decision: Mapping[str, Any]) -> str:
    """Tell in a line which LLM was chosen, by which router, and what the router says about it."""
    told = [decision["model_name"]]
    if decision.get("router"):
        told.append(f"chosen by {decision['router']}")
    if decision.get("confidence") is not None:
        told.append(f"confidence {decision['confidence']:.2f}")
    if decision.get("fallback_reason"):
        told.append(decision["fallback_reason"])
    for call in decision.get("calls") or ():
        told.append(f"asked {call['model_name']}")
    return " · ".join(told)


def cost_of(answer: Mapping[str, Any]) -> str:
    """Tell in a line how many tokens, how much money and how much time an answer took."""
    told = []
    if usage := answer.get("usage"):
        told.append(f"{usage['prompt_tokens']} + {usage['completion_tokens']} tokens")
    cost = answer.get("cost")
    told.append("cost unknown" if cost is None else f"{cost:.2g} USD")
    if answer.get("answer_ms") is not None:
        told.append(f"{answer['answer_ms'] / 1000:.1f} s")
    if answer.get("finish_reason") not in (None, "stop"):
        told.append(f"ended by {answer['finish_reason']}")
    return " · ".join(told)


def _objects(rows: Iterable[bytes]) -> list[dict[str, Any]]:
    return [decode(row) for row in rows]
