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

from llmrouter.errors import LLMRouterError

_CONTROLS = dict.fromkeys((*range(32), *range(127, 160)), "�")
_CONTROLS |= {ord("\n"): "\n", ord("\t"): "\t", ord("\r"): ""}


class _StandardOutput(io.FileIO):
    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise LLMRouterError(f"standard output cannot be written: {error.strerror}") from error


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
        with io.BufferedWriter(_StandardOutput(os.dup(own), "w")) as stream:
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
    note: str | None = None,
    subject: Sequence[str] = (),
) -> None:
    """Write rows as JSON, or as a table on a terminal.

    Args:
        rows: What to show: a list, or a single row.
        as_json: JSON even on a terminal.
        columns: Key in the rows to the table's heading; other keys are in the JSON alone.
        empty: What to say on a terminal where there are no rows.
        note: Key of what is too long for a table and told below it, after the row's first cell.
        subject: Keys of what it is told after in place of that cell.
    """
    with result_stream() as stream:
        if as_json or not stream.isatty():
            text = json.dumps(rows, indent=2, ensure_ascii=False)
            # The name of a file may be no UTF-8; JSON and Python agree on how to escape it.
            stream.write(text.encode(errors="backslashreplace") + b"\n")
        elif rows:
            write_table(stream, [rows] if isinstance(rows, Mapping) else rows, columns, note, subject)
        else:
            stream.write(f"{empty}\n".encode())


def write_table(
    stream: BinaryIO,
    rows: Iterable[Mapping[str, Any]],
    columns: Mapping[str, str],
    note: str | None = None,
    subject: Sequence[str] = (),
) -> None:
    """Draw rows as a table as wide as the terminal; columns in which nothing stands are left out."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = list(rows)
    shown = {key: heading for key, heading in columns.items() if any(_cell(row.get(key)) for row in rows)}
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in shown.values():
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(row.get(key))) for key in shown))
    text = io.TextIOWrapper(cast(Any, stream), "utf-8", errors="backslashreplace", write_through=True)
    console = Console(file=text, force_terminal=stream.isatty())
    console.print(table)
    for row in rows:
        if note and row.get(note):
            about = " ".join(_cell(row[key]) for key in subject or list(columns)[:1])
            console.print(Text(f"\n{about}: {row[note]}"))
    text.detach()


def printable(text: str) -> str:
    """Return somebody else's text without characters that would steer the terminal; lines and tabs stay."""
    return text.translate(_CONTROLS)


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
