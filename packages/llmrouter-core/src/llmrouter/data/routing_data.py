"""Routing data: which LLM answered which query how well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, overload

from llmrouter.data.rows import kind, read_rows

if TYPE_CHECKING:
    import pandas


_TO_PANDAS = ".to_pandas() gives a DataFrame"


class RoutingData(Sequence[Mapping[str, Any]]):
    """Rows of routing data, held in memory.

    A row is ``{"query", "best_llm", "performance"}``, or one per query and LLM: ``{"query", "model_name",
    "performance", …}``. Performances are from 0 to 1.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._rows = rows

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> RoutingData: ...
    def __getitem__(self, index: int | slice) -> Mapping[str, Any] | RoutingData:
        if isinstance(index, str):
            raise TypeError(f"routing data are a sequence of rows and have no column {index!r}; {_TO_PANDAS}")
        return RoutingData(self._rows[index]) if isinstance(index, slice) else self._rows[index]

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"<RoutingData: {len(self)} rows>"

    def to_pandas(self) -> pandas.DataFrame:
        """Return the rows as a DataFrame, where pandas is installed."""
        import pandas

        return pandas.DataFrame(list(self._rows))

    def __getattr__(self, name: str) -> NoReturn:
        # Elsewhere routing data are a DataFrame; say how to get one.
        advice = "" if name.startswith("__") else f"; {_TO_PANDAS}"
        raise AttributeError(f"routing data are a sequence of rows and have no {name!r}{advice}")


def read_routing_data(path: Path) -> RoutingData:
    """Read routing data, JSONL or a JSON list.

    Raises:
        DataError: The file is missing or a row is malformed; names the row.
    """
    return RoutingData(read_rows(path, _problem_of))


def _problem_of(row: dict[str, Any]) -> str | None:
    if not isinstance(row.get("query"), str):
        return "'query' is missing or not text"
    if not isinstance(row.get("best_llm") or row.get("model_name"), str):
        return "names no LLM; expected 'best_llm' or 'model_name'"
    performance = row.get("performance")
    if performance is not None and type(performance) not in (int, float):
        return f"expected a number under 'performance', found {kind(performance)}"
    return None
