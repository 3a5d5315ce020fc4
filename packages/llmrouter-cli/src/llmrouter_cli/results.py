"""Standard output is for results alone: they go out here, whatever plugins print meanwhile."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast


@contextlib.contextmanager
def result_stream() -> Iterator[BinaryIO]:
    """Lend standard output for results, and send to standard error what anything else writes to it.

    That holds for what is written below Python too, as by a C library or a child process.
    """
    sys.stdout.flush()
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):  # it is no file, as under a test runner
        stream = cast(BinaryIO, sys.stdout.buffer)
        with contextlib.redirect_stdout(sys.stderr):
            yield stream
        return
    own = os.dup(descriptor)
    os.dup2(sys.stderr.fileno(), descriptor)
    try:
        with os.fdopen(os.dup(own), "wb") as stream:
            yield stream
    finally:
        sys.stdout.flush()
        os.dup2(own, descriptor)
        os.close(own)


def show(
    rows: Sequence[Mapping[str, Any]] | Mapping[str, Any],
    as_json: bool,
    columns: Mapping[str, str],
    empty: str = "none",
) -> None:
    """Write rows as JSON, or as a table on a terminal.

    Args:
        rows: What to show: a list, or a single row.
        as_json: JSON even on a terminal.
        columns: Key in the rows to the table's heading; other keys are in the JSON alone.
        empty: What to say on a terminal where there are no rows.
    """
    with result_stream() as stream:
        if as_json or not stream.isatty():
            stream.write(json.dumps(rows, indent=2, ensure_ascii=False).encode() + b"\n")
        elif rows:
            write_table(stream, [rows] if isinstance(rows, Mapping) else rows, columns)
        else:
            stream.write(f"{empty}\n".encode())


def write_table(stream: BinaryIO, rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
    """Draw rows as a table as wide as the terminal; columns in which nothing stands are left out."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = list(rows)
    shown = {key: heading for key, heading in columns.items() if any(_cell(row.get(key)) for row in rows)}
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in shown.values():
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(row.get(key))) for key in shown))
    text = io.TextIOWrapper(cast(Any, stream), "utf-8", write_through=True)
    Console(file=text, force_terminal=stream.isatty()).print(table)
    text.detach()


def shorten(path: str | os.PathLike[str]) -> str:
    """Return a path as people read it: relative to the current folder, or from ``~``."""
    place = Path(path)
    for base, sign in ((Path.cwd(), ""), (Path.home(), "~/")):
        if place.is_relative_to(base) and place != base:
            return sign + str(place.relative_to(base))
    return str(place)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)
