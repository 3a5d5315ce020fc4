"""Write decisions, row by row, in the formats that ``llmrouter infer`` offers."""

from __future__ import annotations

import csv
import io
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, BinaryIO

from llmrouter.data.queries import QueryRow
from llmrouter.data.rows import decode
from llmrouter.decision import RoutingDecision, encode
from llmrouter.errors import RoutingError
from llmrouter.routing import Decided
from llmrouter_cli.results import write_table


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
    """Writes one row for each query: its decision, or why there is none.

    Args:
        stream: Where to.
        counts: What the numbers of rows count, ``line`` or ``item``.

    Attributes:
        written: Rows written so far.
        failed: Those among them that are errors.
        first_error: The first error in words, or None.
    """

    def __init__(self, stream: BinaryIO, counts: str = "line") -> None:
        self._stream = stream
        self._counts = counts
        self.written = 0
        self.failed = 0
        self.first_error: str | None = None

    def write(self, answered: Sequence[tuple[QueryRow, Decided]]) -> None:
        """Write some rows, in order."""
        self._put([self._encoded(row, answer) for row, answer in answered])
        self.written += len(answered)
        self._stream.flush()

    def close(self) -> None:
        """Write what ends the file, by default nothing; the stream stays open."""
        return

    @abstractmethod
    def _put(self, rows: list[bytes]) -> None:
        """Write rows, each of which is a JSON object."""

    def _encoded(self, row: QueryRow, answer: Decided) -> bytes:
        if type(answer) is RoutingDecision:
            try:
                return encode_decision(answer)
            except RoutingError as error:
                answer = error
        # It may quote what is no UTF-8, such as the name of a file.
        problem = str(answer).encode(errors="backslashreplace").decode()
        self.failed += 1
        if self.first_error is None:
            self.first_error = f"{self._counts} {row.number}: {problem}"
        query = row.query or {}
        return encode(
            {self._counts: row.number, "error": problem, "query": query.get("query"), "id": query.get("id")}
        )


class JSONLines(RowWriter):
    """One JSON object a line."""

    def _put(self, rows: list[bytes]) -> None:
        rows.append(b"")
        self._stream.write(b"\n".join(rows))


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
        columns = [*RoutingDecision.__struct_fields__, self._counts, "error"]
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


WRITERS: dict[str, type[RowWriter]] = {"json": JSONArray, "jsonl": JSONLines, "csv": CSVTable}


def _objects(rows: Iterable[bytes]) -> list[dict[str, Any]]:
    return [decode(row) for row in rows]
