"""Turn routing data into what the predictors learn from."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmrouter.errors import DataError
from llmrouter_pareto.prompts import prompt_tokens

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]

_PROMPT = ("prompt_tokens", "input_tokens")
_ANSWER = ("completion_tokens", "output_tokens")


@dataclass(frozen=True)
class Examples:
    """How m LLMs did on n queries; NaN where that is not known.

    Attributes:
        rows: Queries as a router is asked them: the text, and the ``embedding`` where the data bring one.
        llms: Names of the LLMs.
        quality: From 0 to 1, (n, m).
        estimated: Estimated tokens of each prompt, (n,).
        prompt: Tokens of the prompt as each LLM counts them, (n, m).
        answer: Tokens of its answer, (n, m).
        usd: What it cost, in USD, (n, m).
    """

    rows: list[dict[str, Any]]
    llms: tuple[str, ...]
    quality: Array
    estimated: Array
    prompt: Array
    answer: Array
    usd: Array

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def queries(self) -> list[str]:
        """Their texts."""
        return [row["query"] for row in self.rows]

    def take(self, rows: NDArray[np.int64]) -> Examples:
        """Return some of the examples."""
        tables = (self.quality, self.estimated, self.prompt, self.answer, self.usd)
        return Examples([self.rows[row] for row in rows], self.llms, *(table[rows] for table in tables))

    @property
    def digest(self) -> str:
        """Hash of all of this, by which the same data are known again."""
        digest = hashlib.sha256(json.dumps(self.llms).encode())
        for row in self.rows:
            embedding = np.asarray(row.get("embedding", ()), dtype=np.float32)
            digest.update(f"\0{row['query']}\0{len(embedding)}\0".encode(errors="surrogatepass"))
            digest.update(embedding.tobytes())
        for table in (self.quality, self.prompt, self.answer, self.usd):
            digest.update(table.tobytes())
        return f"sha256:{digest.hexdigest()}"


def examples_from(rows: Iterable[Mapping[str, Any]], candidates: Iterable[str]) -> Examples:
    """Arrange routing data by query and LLM.

    The order of the rows plays no part. Rows of one query share its text and ``id``; where one LLM answered a
    query more than once, the mean counts. Rows of other LLMs are left out with a warning, and so are
    candidates that no row is about.

    Args:
        rows: One for each query and LLM: ``{"query", "model_name", "performance"}``, and what is known of
            ``prompt_tokens`` and ``completion_tokens`` (or ``input_tokens`` and ``output_tokens``, or the sum
            as ``token_num``), ``cost`` in USD, ``messages``, ``tools``, ``embedding`` and ``id``.
        candidates: Names of the LLMs.

    Raises:
        DataError: No row can be used, or a value is out of range.
    """
    llms = tuple(candidates)
    column = {name: number for number, name in enumerate(llms)}
    asked: dict[tuple[str, str], dict[str, Any]] = {}
    cells: list[tuple[tuple[str, str], int, tuple[float, ...]]] = []
    others: Counter[str] = Counter()
    short = False
    for row in rows:
        name = row.get("model_name")
        if name is None or row.get("performance") is None:
            short = True
            continue
        if name not in column:
            others[str(name)] += 1
            continue
        key = (row["query"], json.dumps(row.get("id"), default=str))
        query = asked.setdefault(key, {"query": row["query"]})
        for part in ("messages", "tools", "embedding"):
            if row.get(part) is not None:
                query.setdefault(part, row[part])
        cells.append((key, column[name], _told(row)))
    if not cells:
        raise DataError(
            None,
            "routing data: no row tells how well a candidate did; expected a row for each query and LLM: "
            '{"query", "model_name", "performance"}'
            + (', not {"query", "best_llm", "performance"}' if short else ""),
        )
    if others:
        logger.warning("Rows of %s are left out: no candidates of these names", ", ".join(sorted(others)))
    return _arranged(asked, cells, llms)


def _arranged(
    asked: Mapping[tuple[str, str], dict[str, Any]],
    cells: Sequence[tuple[tuple[str, str], int, tuple[float, ...]]],
    llms: tuple[str, ...],
) -> Examples:
    keys = sorted(asked)
    place = {key: number for number, key in enumerate(keys)}
    sums = np.zeros((4, len(keys), len(llms)))
    counts = sums.copy()
    # In an order of their own, so that sums end in the same bits however the rows come.
    for key, number, told in sorted(cells, key=lambda cell: (place[cell[0]], cell[1], repr(cell[2]))):
        for table, value in enumerate(told):
            if not math.isnan(value):
                sums[table, place[key], number] += value
                counts[table, place[key], number] += 1
    with np.errstate(invalid="ignore"):
        quality, prompt, answer, usd = np.where(counts > 0, sums / counts, np.nan)
    seen = ~np.isnan(quality).all(axis=0)
    if not seen.all():
        unseen = [name for name, there in zip(llms, seen, strict=True) if not there]
        logger.warning("%s cannot be chosen: the routing data do not tell of them", ", ".join(unseen))
    queries = [asked[key] for key in keys]
    rows: list[dict[str, Any]] = [
        {key: query[key] for key in ("query", "embedding") if key in query} for query in queries
    ]
    estimated = np.array([prompt_tokens(query) for query in queries], float)
    return Examples(
        rows,
        tuple(name for name, there in zip(llms, seen, strict=True) if there),
        *(np.ascontiguousarray(quality[:, seen]), estimated),
        *(np.ascontiguousarray(table[:, seen]) for table in (prompt, answer, usd)),
    )


def _told(row: Mapping[str, Any]) -> tuple[float, float, float, float]:
    """Return quality, tokens of prompt and answer, and USD that a row tells; NaN for what it does not."""
    quality = _number(row, "performance")
    if quality > 1:
        raise DataError(
            None, f"routing data: performances are from 0 to 1, found {quality:g}", key="performance"
        )
    prompt, answer = (
        next((_number(row, key) for key in keys if row.get(key) is not None), math.nan)
        for keys in (_PROMPT, _ANSWER)
    )
    if math.isnan(answer):
        # What the sum leaves after the prompt.
        spent = prompt if not math.isnan(prompt) else prompt_tokens(row)
        answer = max(_number(row, "token_num") - spent, 0.0)
    return quality, prompt, answer, _number(row, "cost")


def _number(row: Mapping[str, Any], key: str) -> float:
    value = row.get(key)
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 <= value < math.inf:
        raise DataError(None, f"routing data: expected a number from 0, found {value!r}", key=key)
    return float(value)
