"""A progress bar on standard error, where somebody looks at it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from llmrouter.data.queries import QueryFile


@contextlib.contextmanager
def reading_progress(queries: QueryFile, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Show how far a file of queries has been read.

    Args:
        queries: The file.
        quiet: Show nothing, as where the rows themselves go to the terminal.

    Yields:
        What to call with the number of queries after each batch.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda count: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("Routing"),
        BarColumn(),
        TextColumn("{task.fields[rows]:,} queries"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=queries.size, rows=0)
        rows = 0

        def advance(count: int) -> None:
            nonlocal rows
            rows += count
            progress.update(task, completed=queries.bytes_read, rows=rows)

        yield advance
