"""Routing data: which LLM answered which query how well."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, overload

from llmrouter.data.keys import ROUTING_KEYS, problem_of_keys
from llmrouter.data.queries import text_of_messages
from llmrouter.data.rows import kind, numbered_rows, row_error
from llmrouter.errors import DataError

if TYPE_CHECKING:
    import pandas


# Performances, unless said otherwise.
SCALE = (0.0, 1.0)
# A number that a float can hold; JSON may have more digits.
LARGEST = sys.float_info.max
_AMOUNTS = ("cost", "token_num", "prompt_tokens", "completion_tokens", "input_tokens", "output_tokens")
_TO_PANDAS = ".to_pandas() gives a DataFrame"


class RoutingData(Sequence[Mapping[str, Any]]):
    """Rows of routing data, held in memory.

    A row is ``{"query", "best_llm", "performance"}``, or one per query and LLM: ``{"query", "model_name",
    "performance", …}``. Performances are from 0 to 1.

    Args:
        rows: The rows.
        path: The file they come from, or None.
        places: Where each stands in it, as `llmrouter.data.rows.numbered_rows` has it.
    """

    def __init__(
        self, rows: Sequence[Mapping[str, Any]], path: Path | None = None, places: Sequence[str] = ()
    ) -> None:
        self._rows = rows
        self.path = path
        self._places = places

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> RoutingData: ...
    def __getitem__(self, index: int | slice) -> Mapping[str, Any] | RoutingData:
        if isinstance(index, str):
            raise TypeError(f"routing data are a sequence of rows and have no column {index!r}; {_TO_PANDAS}")
        if isinstance(index, slice):
            return RoutingData(self._rows[index], self.path, self._places[index])
        return self._rows[index]

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"<RoutingData: {len(self)} rows>"

    def check_names(self, candidates: Collection[str]) -> None:
        """Refuse names that differ from a candidate's in case or spaces alone; others are no mistake.

        Raises:
            DataError: There is one; names the row, and both.
        """
        plain = {name.strip().lower(): name for name in candidates}
        for number, row in enumerate(self._rows):
            name = row.get("model_name") or row.get("best_llm")
            if isinstance(name, str) and name not in candidates and name.strip().lower() in plain:
                problem = (
                    f"{name!r} is no candidate, but {plain[name.strip().lower()]!r} is; write both alike"
                )
                raise row_error(self.path, self._places[number] if self._places else "", problem)

    def to_pandas(self) -> pandas.DataFrame:
        """Return the rows as a DataFrame, where pandas is installed."""
        import pandas

        return pandas.DataFrame(list(self._rows))

    def __getattr__(self, name: str) -> NoReturn:
        # Elsewhere routing data are a DataFrame; say how to get one.
        advice = "" if name.startswith("__") else f"; {_TO_PANDAS}"
        raise AttributeError(f"routing data are a sequence of rows and have no {name!r}{advice}")


def read_routing_data(path: Path, scale: tuple[float, float] = SCALE) -> RoutingData:
    """Read routing data, JSONL or a JSON list.

    ``true`` and ``false`` are performances of 1 and 0, and ``messages`` stand in for a missing ``query``.

    Args:
        path: The file.
        scale: The lowest and the highest performance in it; they become 0 and 1.

    Raises:
        DataError: The file is missing or empty, or a row is malformed; names the row.
    """
    found = numbered_rows(path, partial(_problem_of, scale=scale))
    if not found:
        raise DataError(path, "holds no rows of routing data")
    return RoutingData([row for _, row in found], path, [where for where, _ in found])


def _problem_of(row: dict[str, Any], scale: tuple[float, float]) -> str | None:
    if problem := problem_of_keys(row, ROUTING_KEYS):
        return problem
    if "query" not in row and (text := text_of_messages(row)) is not None:
        row["query"] = text
    if not isinstance(row.get("query"), str):
        return "'query' is missing or not text"
    if not isinstance(row.get("best_llm") or row.get("model_name"), str):
        return "names no LLM; expected 'best_llm' or 'model_name'"
    for key in _AMOUNTS:
        value = row.get(key)
        if value is not None and (type(value) not in (int, float) or not 0 <= value <= LARGEST):
            found = kind(value) if isinstance(value, bool | dict | list) else f"{value!r:.40}"
            return f"expected a number from 0 under {key!r}, found {found}"
    performance = row.get("performance")
    if performance is None:
        return None
    if isinstance(performance, bool):
        row["performance"] = int(performance)
        return None
    if type(performance) not in (int, float):
        return f"expected a number under 'performance', found {kind(performance)}"
    low, high = scale
    if not low <= performance <= high:
        return (
            f"expected a performance from {low:g} to {high:g}, found {performance!r:.40}; "
            "for scores on another scale name its ends, such as --scale 0 100"
        )
    if scale != SCALE:
        row["performance"] = (performance - low) / (high - low)
    return None
