"""What the commands share: where the lifecycle is, what files hold, and how results are shown."""

from __future__ import annotations

import dataclasses
import functools
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from llmrouter_lifecycle.client.client import Client

F = TypeVar("F", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="JSON, on a terminal too.")
version_option = click.option(
    "--version", type=click.IntRange(min=1), help="A version.  [default: the latest]"
)


@dataclasses.dataclass(frozen=True)
class Place:
    """Where the lifecycle is."""

    lifecycle: str | None
    config: str | None
    api_key: str | None

    @contextmanager
    def client(self, worker: bool = True) -> Iterator[Client]:
        """Open a client of it."""
        from llmrouter_lifecycle.client.client import Client

        with Client(self.lifecycle, config=self.config, api_key=self.api_key, worker=worker) as client:
            yield client


def place_options(command: F) -> F:
    """Add the options that say where the lifecycle is, handed over as one argument ``place``."""

    @click.option(
        "--config", type=click.Path(), help="The YAML file that lists the LLMs.  [$LLMROUTER_CONFIG]"
    )
    @click.option(
        "--lifecycle",
        envvar="LLMROUTER_LIFECYCLE",
        help="An SQLite file, postgresql://…, or http://…  [$LLMROUTER_LIFECYCLE, or your data folder]",
    )
    # Not as an option: what stands on the command line everybody on the machine can read.
    @click.option("--api-key", envvar="LLMROUTER_API_KEY", hidden=True)
    @functools.wraps(command)
    def run(*arguments: Any, lifecycle: Any, config: Any, api_key: Any, **options: Any) -> Any:
        server = bool(lifecycle) and lifecycle.startswith(("http://", "https://"))
        place = Place(lifecycle, config, api_key if server else None)
        return command(*arguments, place=place, **options)

    return run  # type: ignore[return-value]


def show(found: Any, as_json: bool, columns: Sequence[str] = ()) -> None:
    """Write a result: JSON when asked for or piped, else a table of these columns of a list."""
    plain = [_plain(row) for row in found] if isinstance(found, list) else _plain(found)
    if as_json or not columns or not sys.stdout.isatty():
        click.echo(json.dumps(plain, indent=2, ensure_ascii=False))
        return
    if not plain:
        click.echo("none")
        return
    cells = [list(columns), *([_cell(row.get(column)) for column in columns] for row in plain)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(columns))]
    for line in cells:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def read_object(path: str) -> Any:
    """Return what a JSON or YAML file holds.

    Raises:
        LLMRouterError: It cannot be read, or names a key twice.
    """
    from llmrouter.config import read_yaml
    from llmrouter.data.rows import read_json

    place = Path(path)
    return read_json(place) if place.suffix.lower() == ".json" else read_yaml(place)


def read_requests(path: str) -> list[dict[str, Any]]:
    """Return chat requests out of a file of rows, each with ``messages``, or with ``query``, a text.

    A row's ``reference`` (or ``ground_truth``) is the answer that is right.

    Raises:
        DataError: The file cannot be read; names the line.
    """
    from llmrouter.data.rows import read_rows

    found = []
    for row in read_rows(Path(path)):
        request = {key: value for key, value in row.items() if key not in ("query", "ground_truth")}
        if "messages" not in request and isinstance(row.get("query"), str):
            request["messages"] = [{"role": "user", "content": row["query"]}]
        if "reference" not in request and row.get("ground_truth") is not None:
            request["reference"] = row["ground_truth"]
        found.append(request)
    return found


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        plain = {name: _plain(getattr(value, name)) for name in names}
        return {"id": value.id, **plain} if hasattr(value, "id") else plain
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.to_dict(mode="json") if hasattr(value, "to_dict") else value


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
