"""Progress bars on standard error, where somebody looks at it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from llmrouter.data.queries import QueryFile

if TYPE_CHECKING:
    from llmrouter.models.base_trainer import Report


@contextlib.contextmanager
def reading_progress(
    queries: QueryFile, quiet: bool, label: str = "Routing"
) -> Iterator[Callable[[int], None]]:
    """Show how far a file of queries has been read.

    Args:
        queries: The file.
        quiet: Show nothing, as where the rows themselves go to the terminal.
        label: What is done to them.

    Yields:
        What to call with the number of queries after each batch.
    """
    with _bar(label, queries.size, quiet) as update:
        rows = 0

        def advance(count: int) -> None:
            nonlocal rows
            rows += count
            update(queries.bytes_read, rows)

        yield advance


@contextlib.contextmanager
def routing_progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show how many of `total` queries are routed; yields what to call with the number of each batch."""
    with _bar(label, total, quiet=False) as update:
        rows = 0

        def advance(count: int) -> None:
            nonlocal rows
            rows += count
            update(rows, rows)

        yield advance


@contextlib.contextmanager
def _bar(label: str, total: int | None, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Yield what to call with how much of the total is done, and the number of queries."""
    if quiet or not sys.stderr.isatty():
        yield lambda completed, rows: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn(label),
        BarColumn(),
        TextColumn("{task.fields[rows]:,} queries"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=total, rows=0)
        yield lambda completed, rows: progress.update(task, completed=completed, rows=rows)


@contextlib.contextmanager
def training_progress(quiet: bool) -> Iterator[Report | None]:
    """Show the epochs of a training and their figures; yields what the trainer is to report to, or None."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("Training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[told]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=None, told="")

        def report(done: int, total: int, figures: Mapping[str, float]) -> None:
            told = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
            progress.update(task, completed=done, total=total, told=told)

        yield report
