"""Read rows of JSON: objects one a line, or a list of them, held in memory or streamed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from llmrouter.errors import DataError
from llmrouter.files import read_file

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

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
    if not raw.strip():
        raise DataError(path, "is empty")
    try:
        return decode(raw)
    except MALFORMED as error:
        raise DataError(path, f"is not valid JSON: {error}", line=_line(raw, error)) from None


def read_rows(
    path: Path, problem_of: Callable[[dict[str, Any]], str | None] = lambda row: None
) -> list[dict[str, Any]]:
    """Read a JSONL file, or a JSON file that holds a list of objects, into memory.

    Args:
        path: The file; ``.json`` holds a list, anything else one object a line.
        problem_of: Tells in words what is wrong with a row, or None.

    Raises:
        DataError: The file is missing or a row is malformed; names the line.
    """
    rows = []
    for number, row in _numbered(path):
        problem = f"expected an object, found {kind(row)}" if not isinstance(row, dict) else problem_of(row)
        if problem is not None:
            is_list = path.suffix.lower() == ".json"
            raise DataError(
                path, f"item {number}: {problem}" if is_list else problem, line=None if is_list else number
            )
        rows.append(row)
    return rows


def _numbered(path: Path) -> Iterator[tuple[int, Any]]:
    if path.suffix.lower() == ".json":
        items = read_json(path)
        if not isinstance(items, list):
            raise DataError(path, f"expected a list of objects, found {kind(items)}")
        yield from enumerate(items, 1)
        return
    for number, line in enumerate(read_bytes(path).splitlines(), 1):
        if line.strip():
            try:
                yield number, decode(line)
            except MALFORMED as error:
                raise DataError(path, f"is not valid JSON: {error}", line=number) from None


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
