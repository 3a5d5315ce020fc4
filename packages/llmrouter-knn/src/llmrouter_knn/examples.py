"""Turn routing data into what is remembered."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from llmrouter.errors import DataError

logger = logging.getLogger(__name__)

Array = NDArray[np.float32]


class Examples(NamedTuple):
    """How m LLMs did on n queries.

    Attributes:
        rows: The queries as a router is asked them, by their text: ``query``, and ``embedding`` where the
            data bring one.
        llms: Names of the LLMs.
        quality: From 0 to 1, (n, m), NaN where unknown.
        cost: USD, (n, m), NaN where unknown.
    """

    rows: list[dict[str, Any]]
    llms: tuple[str, ...]
    quality: Array
    cost: Array

    @property
    def digest(self) -> str:
        """Hash of all of this, by which the same data are known again."""
        digest = hashlib.sha256(json.dumps(self.llms).encode())
        for row in self.rows:
            digest.update(f"\0{row['query']}\0".encode(errors="surrogatepass"))
            digest.update(np.asarray(row.get("embedding", ()), np.float32).tobytes())
        digest.update(self.quality.tobytes() + self.cost.tobytes())
        return f"sha256:{digest.hexdigest()}"


def examples_from(rows: Iterable[Mapping[str, Any]], candidates: Iterable[str]) -> Examples:
    """Arrange routing data by query and LLM; their order plays no part.

    Where an LLM answered a query more than once, the mean counts. A row ``{"query", "best_llm"}`` is a vote:
    1 for that LLM, 0 for the others. Rows of other LLMs are left out with a warning.

    Args:
        rows: One for each query and LLM: ``{"query", "model_name", "performance"}``, and ``cost`` in USD and
            ``embedding`` where they are known; or one for each query: ``{"query", "best_llm"}``.
        candidates: Names of the LLMs.

    Raises:
        DataError: No row can be used, or a value is out of range.
    """
    llms = tuple(candidates)
    column = {name: number for number, name in enumerate(llms)}
    asked: dict[str, dict[str, Any]] = {}
    cells: dict[str, list[tuple[int, float, float]]] = {}
    others: Counter[str] = Counter()
    for row in rows:
        name = row.get("model_name") or row.get("best_llm")
        if name not in column:
            others[str(name)] += 1
            continue
        told = _told(row, column[name], len(llms))
        if not told:
            continue
        query = asked.setdefault(row["query"], {"query": row["query"]})
        if row.get("embedding") is not None:
            query.setdefault("embedding", row["embedding"])
        cells.setdefault(row["query"], []).extend(told)
    if not asked:
        raise DataError(None, "routing data: no row tells how well a candidate did")
    if others:
        logger.warning("Rows of %s are left out: no candidates of these names", ", ".join(sorted(others)))
    queries = sorted(asked)
    quality, cost = (
        np.array([_means(cells[query], len(llms), value) for query in queries], np.float32)
        for value in (1, 2)
    )
    seen = np.asarray(~np.isnan(quality).all(axis=0))
    if not seen.all():
        unseen = [name for name, there in zip(llms, seen, strict=True) if not there]
        logger.warning("%s cannot be chosen: the routing data do not tell of them", ", ".join(unseen))
    names = tuple(name for name, there in zip(llms, seen, strict=True) if there)
    return Examples([asked[query] for query in queries], names, quality[:, seen], cost[:, seen])


def _told(row: Mapping[str, Any], number: int, llms: int) -> list[tuple[int, float, float]]:
    """Return (number of an LLM, quality, cost) for each LLM that a row tells of."""
    if row.get("model_name") is None:
        return [(other, float(other == number), math.nan) for other in range(llms)]
    if row.get("performance") is None:
        return []
    quality, cost = _number(row, "performance"), _number(row, "cost")
    if quality > 1:
        raise DataError(
            None, f"routing data: performances are from 0 to 1, found {quality:g}", key="performance"
        )
    return [(number, quality, cost)]


def _number(row: Mapping[str, Any], key: str) -> float:
    value = row.get(key)
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 <= value < math.inf:
        raise DataError(None, f"routing data: expected a number from 0, found {value!r}", key=key)
    return float(value)


def _means(cells: list[tuple[int, float, float]], llms: int, value: int) -> list[float]:
    told: list[list[float]] = [[] for _ in range(llms)]
    for cell in cells:
        if not math.isnan(cell[value]):
            told[cell[0]].append(cell[value])
    return [math.fsum(values) / len(values) if values else math.nan for values in told]
