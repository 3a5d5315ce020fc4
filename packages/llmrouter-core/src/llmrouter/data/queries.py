"""Read queries to route, one at a time: a file larger than memory is no trouble."""

from __future__ import annotations

import re
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import msgspec

from llmrouter.completion.messages import query_of
from llmrouter.data.formats import BYTE_ORDER_MARK, plain_stream
from llmrouter.data.keys import problem_of_keys
from llmrouter.data.rows import MALFORMED, decode_row, json_values, kind, parse_json
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
        DataError: The file is missing, its suffix is none of `FORMATS` (with ``.gz`` behind it, if it is
            compressed), or it is of a format that is not read.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        named = self.path.with_suffix("") if self.path.suffix.lower() == ".gz" else self.path
        self._format = ".jsonl" if path == "-" else named.suffix.lower()
        if self._format not in FORMATS:
            raise DataError(path, f"cannot tell its format from the suffix; use {', '.join(FORMATS)} or '-'")
        self.bytes_read = 0
        self.size: int | None = None
        if path != "-":
            try:
                self._stream: IO[bytes] = self.path.open("rb")
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
        self.counts = "item" if self._format == ".json" else "line"
        self._told = False
        # Not a pipe, which would be waited for until something is written to it.
        if self.size is not None:
            self._tell_format()

    def _tell_format(self) -> None:
        """Look at how the file begins."""
        self._told = True
        file = self._stream
        try:
            self._stream = plain_stream(self.path, file)
            if self._stream is not file:
                self.size = None
            if self._format == ".jsonl" and _is_list(self._stream):
                self._format = ".json"
                self.counts = "item"
        except (OSError, EOFError, zlib.error) as error:
            file.close()
            raise DataError(self.path, f"is damaged: {error}") from None
        except DataError:
            file.close()
            raise

    def close(self) -> None:
        """Close the file; reading it to its end does so too."""
        self._stream.close()

    def __iter__(self) -> Iterator[QueryRow]:
        """Yield the rows in order.

        Raises:
            DataError: The file is damaged, or of a format that is not read.
        """
        if not self._told:
            self._tell_format()
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
        first = True
        with self._stream as stream:
            try:
                for number, line in enumerate(stream, 1):
                    self.bytes_read += len(line)
                    if number == 1:
                        line = line.removeprefix(BYTE_ORDER_MARK)
                    if not line.strip():
                        continue
                    if first and parse is _object and line.strip() == b"{":
                        yield from self._pretty(number, line + stream.read())
                        return
                    first = False
                    yield parse(number, line)
            except (OSError, EOFError, zlib.error) as error:
                raise DataError(self.path, f"is damaged: {error}") from None

    def _pretty(self, number: int, raw: bytes) -> Iterator[QueryRow]:
        """Yield the objects that are written over several lines, from the line of that number on."""
        self.bytes_read += len(raw)
        try:
            for line, row in json_values(raw):
                yield _checked(line + number - 1, row)
        except MALFORMED as error:
            raise DataError(
                self.path, f"is not valid JSON: {error}; expected one object a line", line=number
            ) from None


def _is_list(stream: Any) -> bool:
    """Whether the content begins as a list of objects or texts that goes on for several lines."""
    return bool(re.match(rb"(?:\xef\xbb\xbf)?\s*\[\s*(?:[{]|\Z)", stream.peek(64)[:64]))


def _text(number: int, line: bytes) -> QueryRow:
    try:
        return QueryRow(number, {"query": line.decode().strip()})
    except UnicodeDecodeError as error:
        return QueryRow(number, None, f"is not UTF-8 text: {error.reason} at byte {error.start}")


def _object(number: int, line: bytes) -> QueryRow:
    try:
        row = decode_row(line)
    except MALFORMED as error:
        return QueryRow(number, None, f"is not valid JSON: {error}")
    return _checked(number, row)


def _checked(number: int, row: Any) -> QueryRow:
    if not isinstance(row, dict):
        return QueryRow(number, None, f"expected an object with the key 'query', found {kind(row)}")
    if problem := problem_of_keys(row):
        return QueryRow(number, None, problem)
    if "query" not in row and (text := text_of_messages(row)) is not None:
        row = {"query": text, **row}
    query = row.get("query")
    if type(query) is not str:
        found = f"'query' is {kind(query)}, not text" if "query" in row else "has no 'query'"
        return QueryRow(number, None, found)
    if not query.strip():
        return QueryRow(number, None, "'query' is empty")
    return QueryRow(number, row)


def text_of_messages(row: dict[str, Any]) -> str | None:
    """Return the text that a row's ``messages`` ask, as the chat protocol has them; None if it has none."""
    messages = row.get("messages")
    if isinstance(messages, list) and messages and all(isinstance(one, dict) for one in messages):
        return query_of(messages)
    return None
