"""Read rows of JSON: objects one a line, or a list of them, held in memory or streamed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from llmrouter.config import twice
from llmrouter.data.duplicates import duplicate_in
from llmrouter.data.formats import BYTE_ORDER_MARK, plain
from llmrouter.errors import DataError
from llmrouter.files import read_file

decode = msgspec.json.Decoder().decode
# What decode raises; ValueError covers msgspec.DecodeError and UnicodeDecodeError.
MALFORMED = (ValueError, RecursionError)


def read_json(path: Path) -> Any:
    """Read a whole JSON file.

    Raises:
        DataError: It is missing, empty, truncated or malformed; names the line.
    """
    return parse_json(path, read_bytes(path))


def parse_json(path: Path, raw: bytes) -> Any:
    """Decode what a JSON file holds; errors as in `read_json`."""
    raw = plain(path, raw)
    if not raw.strip():
        raise DataError(path, "is empty")
    try:
        value = decode(raw)
    except MALFORMED as error:
        raise DataError(path, f"is not valid JSON: {error}", line=_line(raw, error)) from None
    if found := duplicate_in(raw, value):
        first, second = (raw[:place].count(b"\n") + 1 for place in (found.first, found.second))
        raise twice(DataError, path, found.keys, first, second)
    return value


def read_rows(
    path: Path, problem_of: Callable[[dict[str, Any]], str | None] = lambda row: None
) -> list[dict[str, Any]]:
    """Read a JSONL file, or a JSON file that holds a list of objects, into memory.

    Args:
        path: The file, in UTF-8 or UTF-16, perhaps compressed by gzip.
        problem_of: Tells in words what is wrong with a row, or None; it may change the row.

    Raises:
        DataError: The file is missing or a row is malformed; names the line.
    """
    return [row for _, row in numbered_rows(path, problem_of)]


def numbered_rows(
    path: Path, problem_of: Callable[[dict[str, Any]], str | None]
) -> list[tuple[str, dict[str, Any]]]:
    """Read rows as `read_rows` does, each with where it stands: ``line 3``, or ``item 3`` of a list."""
    rows = []
    for where, row in _numbered(path):
        problem = f"expected an object, found {kind(row)}" if not isinstance(row, dict) else problem_of(row)
        if problem is not None:
            raise row_error(path, where, problem)
        rows.append((where, row))
    return rows


def row_error(path: Path | None, where: str, problem: str) -> DataError:
    """Make the error for a row; ``where`` is as `numbered_rows` gives it."""
    counts, _, number = where.partition(" ")
    if counts == "line":
        return DataError(path, problem, line=int(number))
    return DataError(path, f"{where}: {problem}" if where else problem)


def decode_row(line: bytes) -> Any:
    """Decode one line of JSONL.

    Raises:
        ValueError: It is malformed, or names a key twice.
    """
    value = decode(line)
    if found := duplicate_in(line, value):
        raise ValueError(f"{'.'.join(found.keys)!r} stands twice")
    return value


def json_values(raw: bytes) -> Iterator[tuple[int, Any]]:
    """Yield values of JSON that are written over several lines, one after the other, with their first lines.

    Raises:
        ValueError: One is malformed.
    """
    text, decoder, at, line = raw.decode(), json.JSONDecoder(), 0, 1
    space = re.compile(r"\s*")
    while (begin := space.match(text, at).end()) < len(text):  # type: ignore[union-attr]
        line += text.count("\n", at, begin)
        _, at = decoder.raw_decode(text, begin)
        yield line, decode_row(text[begin:at].encode())
        line += text.count("\n", begin, at)


def _numbered(path: Path) -> Iterator[tuple[str, Any]]:
    raw = plain(path, read_bytes(path))
    if path.suffix.lower() == ".json" or raw.lstrip().startswith(b"["):
        items = parse_json(path, raw)
        if not isinstance(items, list):
            raise DataError(path, f"expected a list of objects, found {kind(items)}")
        yield from ((f"item {number}", item) for number, item in enumerate(items, 1))
        return
    for number, line in enumerate(raw.splitlines(), 1):
        if line.strip():
            try:
                yield f"line {number}", decode_row(line)
            except MALFORMED as error:
                if not (pretty := _pretty(raw)):
                    raise DataError(path, f"is not valid JSON: {error}", line=number) from None
                yield from pretty
                return


def _pretty(raw: bytes) -> list[tuple[str, Any]]:
    """Return the objects of a file in which they are written over several lines; empty if it is none."""
    if raw.lstrip().partition(b"\n")[0].strip() != b"{":
        return []
    try:
        return [(f"line {number}", value) for number, value in json_values(raw)]
    except MALFORMED:
        return []


def read_bytes(path: Path, most: int = -1) -> bytes:
    """Read a file, or its first bytes, without the byte-order mark that some editors put first."""
    try:
        return read_file(path, most).removeprefix(BYTE_ORDER_MARK)
    except FileNotFoundError:
        raise DataError(path, "there is no such file") from None
    except OSError as error:
        raise DataError(path, f"cannot be read: {error.strerror}") from None


def kind(value: object) -> str:
    """Name the type of a JSON value as users know it."""
    names: dict[type, str] = {
        dict: "an object",
        list: "a list",
        str: "text",
        bool: "true or false",
        int: "a number",
        float: "a number",
        type(None): "null",
    }
    return names.get(type(value), type(value).__name__)


def _line(raw: bytes, error: Exception) -> int | None:
    """The line at which decoding stopped, where that can be told; a truncated file ends at its last."""
    if isinstance(error, UnicodeDecodeError):
        end = _undecodable(raw)
    elif found := re.search(r"\(byte (\d+)\)$", str(error)):
        end = int(found[1])
    elif "truncated" in str(error):
        end = len(raw.rstrip())
    else:
        return None
    return raw[:end].count(b"\n") + 1


def _undecodable(raw: bytes) -> int:
    """Where text stops being UTF-8; the decoder counts from the start of the string that holds the byte."""
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return error.start
    return len(raw)
