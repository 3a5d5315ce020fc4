"""Outcomes: how well each LLM answered each query, and at what cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmrouter.errors import DataError

Array = NDArray[np.float64]

USD_PER_QUERY = "USD per query"
USD_PER_MILLION_TOKENS = "USD per million tokens"
RELATIVE = "relative"

# What a router is told of a query; the rest of a row are outcomes.
QUERY_KEYS = ("query", "id", "task_name", "embedding", "embedding_id")


@dataclass(frozen=True)
class Outcomes:
    """Performance and cost of m LLMs on the n queries for which both are complete.

    Attributes:
        queries: What routers are told, n of them.
        llms: Names of the LLMs, m of them.
        performance: (n, m), from 0 to 1.
        cost: (n, m), in `cost_unit`; the whole column of an LLM is NaN where its cost is unknown.
        cost_unit: ``USD per query``, ``USD per million tokens``, ``relative``, or None where no cost is
            known.
        missing_performance: Pairs of a query and an LLM without a performance.
        missing_cost: Pairs without a cost.
        left_out: Queries left out because something is missing.
    """

    queries: list[dict[str, Any]]
    llms: tuple[str, ...]
    performance: Array
    cost: Array
    cost_unit: str | None = None
    missing_performance: int = 0
    missing_cost: int = 0
    left_out: int = 0

    @property
    def costs_known(self) -> bool:
        """Whether the cost of every LLM is known."""
        return not np.isnan(self.cost).any()


def outcomes_from_rows(
    rows: Iterable[Mapping[str, Any]],
    candidates: Mapping[str, Mapping[str, Any]],
    path: str | PathLike[str] | None = None,
) -> Outcomes:
    """Arrange routing data by query and LLM.

    Rows of one query share its text, ``id`` and ``task_name``; what occurs again with the same LLM is another
    query. The cost is the rows' own ``cost``, in USD, where any row has one, else that of the candidates. A
    query that lacks the performance of an LLM is left out, and so is one that lacks a cost known elsewhere.

    Args:
        rows: ``{"query", "model_name", "performance"}``, one per query and LLM; may have ``cost``.
        candidates: Name of each LLM to what is known of it.
        path: Where the rows come from, for error messages.

    Raises:
        DataError: The rows are of the short form, name other LLMs than the candidates, hold values out of
            range, or leave no query complete.
    """
    llms = tuple(candidates)
    column = {name: number for number, name in enumerate(llms)}
    queries: list[dict[str, Any]] = []
    cells: list[tuple[int, int, float, float]] = []
    numbers: dict[tuple[str, ...], int] = {}
    seen: Counter[tuple[str, ...]] = Counter()
    unknown: dict[str, None] = {}
    for row in rows:
        name = row.get("model_name")
        if name is None:
            raise DataError(
                path,
                'rows of the form {"query", "best_llm", "performance"} do not tell how the other LLMs did; '
                'evaluation needs a row for each query and LLM: {"query", "model_name", "performance"}',
            )
        if name not in column:
            unknown[str(name)] = None
            continue
        identity = (str(row["query"]), repr(row.get("id")), repr(row.get("task_name")))
        key = (*identity, name)
        occurrence = str(seen[key])
        seen[key] += 1
        number = numbers.setdefault((*identity, occurrence), len(queries))
        if number == len(queries):
            queries.append({key: row[key] for key in QUERY_KEYS if row.get(key) is not None})
        performance, cost = (_number(row, key, path) for key in ("performance", "cost"))
        if performance > 1:
            raise DataError(path, f"expected from 0 to 1, found {performance:g}", key="performance")
        cells.append((number, column[name], performance, cost))
    if not queries and not unknown:
        raise DataError(path, "holds no routing data")
    _check_names(llms, unknown, {llms[cell[1]] for cell in cells}, path)
    performance_of = np.full((len(queries), len(llms)), np.nan)
    cost_of = performance_of.copy()
    for number, place, performance, cost in cells:
        performance_of[number, place] = performance
        cost_of[number, place] = cost
    unit: str | None = USD_PER_QUERY
    if np.isnan(cost_of).all():
        prices, unit = candidate_costs(candidates.values())
        cost_of[:] = prices
    return _complete(queries, llms, performance_of, cost_of, unit, path)


def candidate_costs(candidates: Iterable[Mapping[str, Any]]) -> tuple[Array, str | None]:
    """Return the costs that candidates tell, (m,) with NaN for unknown, and their unit.

    ``cost`` where any of them has it, else the mean of ``input_price`` and ``output_price``.
    """
    told = list(candidates)
    bare = [candidate.get("cost") for candidate in told]
    if any(cost is not None for cost in bare):
        units = {candidate.get("cost_unit") for candidate in told if candidate.get("cost") is not None}
        unit = USD_PER_MILLION_TOKENS if units == {"usd_per_million_tokens"} else RELATIVE
        if unit == RELATIVE and len(units) > 1:  # they cannot be compared
            return np.full(len(told), np.nan), None
        return np.array([np.nan if cost is None else cost for cost in bare], float), unit
    prices = np.array(
        [[np.nan if c.get(key) is None else c[key] for key in ("input_price", "output_price")] for c in told],
        float,
    ).mean(axis=1)
    return prices, None if np.isnan(prices).all() else USD_PER_MILLION_TOKENS


def _complete(
    queries: Sequence[dict[str, Any]],
    llms: tuple[str, ...],
    performance: Array,
    cost: Array,
    unit: str | None,
    path: str | PathLike[str] | None,
) -> Outcomes:
    priced = ~np.isnan(cost).all(axis=0)
    kept = ~np.isnan(performance).any(axis=1) & ~np.isnan(cost[:, priced]).any(axis=1)
    if not kept.any():
        raise DataError(path, "no query has the outcomes of every LLM; evaluation needs some that have")
    return Outcomes(
        [queries[number] for number in np.flatnonzero(kept).tolist()],
        llms,
        performance[kept],
        cost[kept],
        unit,
        int(np.isnan(performance).sum()),
        int(np.isnan(cost).sum()),
        int((~kept).sum()),
    )


def _number(row: Mapping[str, Any], key: str, path: str | PathLike[str] | None) -> float:
    value = row.get(key)
    if value is None:
        return float("nan")
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not value >= 0:
        raise DataError(path, f"expected a number from 0, found {value!r}", key=key)
    return float(value)


def _check_names(
    llms: Sequence[str], unknown: Iterable[str], found: set[str], path: str | PathLike[str] | None
) -> None:
    if unknown := list(unknown):
        raise DataError(
            path,
            f"holds outcomes of {_listed(unknown)}, not among the candidates ({_listed(llms)}); "
            "add them to data_path.llm_data, or leave their rows out",
        )
    if absent := [name for name in llms if name not in found]:
        raise DataError(
            path,
            f"holds no outcomes of {_listed(absent)}; every candidate in data_path.llm_data needs some",
        )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)
