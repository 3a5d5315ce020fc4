"""Read queries to route, one at a time: a file larger than memory is no trouble."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from llmrouter.data.rows import BYTE_ORDER_MARK, MALFORMED, decode, kind, parse_json
from llmrouter.errors import DataError

FORMATS = (".jsonl", ".json", ".txt")


class QueryRow(msgspec.Struct, gc=False):
    """One row of input: a query, or what is wrong with the row.

    Attributes:
        number: Line number, or for a JSON list the item's number, from 1.
        query: The query with at least the key ``query``; None where the row is malformed.
        problem: Why it is malformed, or None.
    """

    number: int
    query: dict[str, Any] | None
    problem: str | None = None


class QueryFile:
    """A file of queries: ``.jsonl`` and ``.txt`` are streamed, ``.json`` (a list) is held in memory.

    ``-`` is standard input, read as JSONL. Blank lines are skipped; in ``.txt`` each other line is a query.

    Attributes:
        counts: What a row's number counts, ``line`` or ``item``.
        size: Bytes to read, or None where that is not known.
        bytes_read: Bytes read so far.

    Raises:
        DataError: The file is missing, or its suffix is none of `FORMATS`.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self._format = ".jsonl" if path == "-" else self.path.suffix.lower()
        if self._format not in FORMATS:
            raise DataError(path, f"cannot tell its format from the suffix; use {', '.join(FORMATS)} or '-'")
        self.counts = "item" if self._format == ".json" else "line"
        self.bytes_read = 0
        self.size: int | None = None
        if path != "-":
            try:
                self._stream: BinaryIO = self.path.open("rb")
            except FileNotFoundError:
                raise DataError(path, "there is no such file") from None
            except OSError as error:
                raise DataError(path, f"cannot be read: {error.strerror}") from None
            if self.path.is_file():
                self.size = self.path.stat().st_size
        elif sys.stdin is None:
            raise DataError(path, "standard input is closed")
        else:
            self._stream = sys.stdin.buffer

    def close(self) -> None:
        """Close the file; reading it to its end does so too."""
        self._stream.close()

    def __iter__(self) -> Iterator[QueryRow]:
        """Yield the rows in order."""
        if self._format == ".json":
            return self._items()
        return self._lines(_text if self._format == ".txt" else _object)

    def _items(self) -> Iterator[QueryRow]:
        with self._stream as stream:
            raw = stream.read()
        self.bytes_read = len(raw)
        items = parse_json(self.path, raw.removeprefix(BYTE_ORDER_MARK))
        if not isinstance(items, list):
            raise DataError(self.path, f"expected a list of queries, found {kind(items)}")
        for number, item in enumerate(items, 1):
            yield _checked(number, {"query": item} if isinstance(item, str) else item)

    def _lines(self, parse: Any) -> Iterator[QueryRow]:
        with self._stream as stream:
            for number, line in enumerate(stream, 1):
                self.bytes_read += len(line)
                if number == 1:
                    line = line.removeprefix(BYTE_ORDER_MARK)
                if line.strip():
                    yield parse(number, line)


def _text(number: int, line: bytes) -> QueryRow:
    try:
        return QueryRow(number, {"query": line.decode().strip()})
    except UnicodeDecodeError as error:
        return QueryRow(number, None, f"is not UTF-8 text: {error.reason} at byte {error.start}")


def _object(number: int, line: bytes) -> QueryRow:
    try:
        row = decode(line)
    except MALFORMED as error:
        return QueryRow(number, None, f"is not valid JSON: {error}")
    return _checked(number, row)


def _checked(number: int, row: Any) -> QueryRow:
    if not isinstance(row, dict):
        return QueryRow(number, None, f"expected an object with the key 'query', found {kind(row)}")
    if type(row.get("query")) is not str:
        found = f"'query' is {kind(row['query'])}, not text" if "query" in row else "has no 'query'"
        return QueryRow(number, None, found)
    return QueryRow(number, row)
