"""The table that learned routers learn from: how well each LLM answered each query, and what that took."""

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
from llmrouter.request import prompt_tokens

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]

_PROMPT = ("prompt_tokens", "input_tokens")
_ANSWER = ("completion_tokens", "output_tokens")
_KEPT = ("messages", "tools", "embedding")


@dataclass(frozen=True)
class Outcomes:
    """How m LLMs did on n queries; NaN where that is not known.

    Attributes:
        rows: Queries as a router is asked them: the text, and the ``embedding`` where the data bring one,
            float32 of shape (dim,).
        llms: Names of the LLMs.
        quality: From 0 to 1, (n, m).
        votes: Where the qualities are shares of votes for the best LLM, (n,).
        estimated: Estimated tokens of each prompt, (n,).
        prompt: Tokens of the prompt as each LLM counts them, (n, m).
        answer: Tokens of its answer, (n, m).
        usd: What it cost, in USD, (n, m).
    """

    rows: list[dict[str, Any]]
    llms: tuple[str, ...]
    quality: Array
    votes: NDArray[np.bool_]
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

    def take(self, rows: NDArray[np.int64]) -> Outcomes:
        """Return those of some queries, in the order given."""
        tables = (self.estimated, self.prompt, self.answer, self.usd)
        return Outcomes(
            [self.rows[row] for row in rows],
            self.llms,
            self.quality[rows],
            self.votes[rows],
            *(table[rows] for table in tables),
        )

    def select(self, llms: Sequence[str]) -> Outcomes:
        """Return those of some LLMs, in the order given; of one without outcomes nothing is known."""
        places = [self.llms.index(name) if name in self.llms else -1 for name in llms]
        unknown = np.array(places) < 0
        tables = [table[:, places] for table in (self.quality, self.prompt, self.answer, self.usd)]
        for table in tables:
            table[:, unknown] = np.nan
        quality, *others = tables
        return Outcomes(self.rows, tuple(llms), quality, self.votes, self.estimated, *others)

    @property
    def digest(self) -> str:
        """Hash of all of this, by which the same data are known again."""
        digest = hashlib.sha256(json.dumps(self.llms).encode())
        for row in self.rows:
            embedding = row.get("embedding", np.empty(0, np.float32))
            digest.update(f"\0{row['query']}\0{len(embedding)}\0".encode(errors="surrogatepass"))
            digest.update(embedding.tobytes())
        for table in (self.quality, self.votes, self.prompt, self.answer, self.usd):
            digest.update(table.tobytes())
        return f"sha256:{digest.hexdigest()}"


def outcomes_from(rows: Iterable[Mapping[str, Any]], candidates: Iterable[str]) -> Outcomes:
    """Arrange routing data by query and LLM.

    A query is its text, ``id`` and ``task_name``; the order of the rows plays no part. Where an LLM answered
    a query more than once, the mean counts. A row ``{"query", "best_llm"}`` is a vote: the quality of an LLM
    is its share of a query's votes, unless other rows say how well that query was answered. Rows of other
    LLMs are left out with a warning, and so are candidates that no row is about.

    Args:
        rows: One for each query and LLM: ``{"query", "model_name", "performance"}``, and what is known of
            ``prompt_tokens`` and ``completion_tokens`` (or ``input_tokens`` and ``output_tokens``, or the sum
            as ``token_num``), ``cost`` in USD, ``messages``, ``tools`` and ``embedding``; or one for each
            query: ``{"query", "best_llm"}``.
        candidates: Names of the LLMs.

    Raises:
        DataError: No row can be used, or a value is out of range.
    """
    llms = tuple(candidates)
    column = {name: number for number, name in enumerate(llms)}
    asked: dict[tuple[str, str, str], dict[str, Any]] = {}
    answered: list[tuple[tuple[str, str, str], int, tuple[float, ...]]] = []
    voted: list[tuple[tuple[str, str, str], int]] = []
    others: Counter[str] = Counter()
    for row in rows:
        voting = row.get("model_name") is None
        name = row.get("best_llm") if voting else row["model_name"]
        if name is None or (not voting and row.get("performance") is None):
            continue
        if name not in column:
            others[str(name)] += 1
            continue
        key = (row["query"], *(json.dumps(row.get(part), default=str) for part in ("id", "task_name")))
        query = asked.setdefault(key, {"query": row["query"]})
        for part in _KEPT:
            if row.get(part) is not None:
                query.setdefault(part, row[part])
        if voting:
            voted.append((key, column[name]))
        else:
            answered.append((key, column[name], _told(row)))
    if not asked:
        raise DataError(
            None,
            "routing data: no row says how well a candidate did; expected a row for each query and LLM: "
            '{"query", "model_name", "performance"}, or one for each query: {"query", "best_llm"}',
        )
    if others:
        logger.warning("Rows of %s are left out: no candidates of these names", ", ".join(sorted(others)))
    better = {key for key, _, _ in answered}
    nothing = (math.nan,) * 3
    cells = answered + [
        (key, number, (float(number == best), *nothing))
        for key, best in voted
        if key not in better
        for number in range(len(llms))
    ]
    return _arranged(asked, cells, llms, better)


def _arranged(
    asked: Mapping[tuple[str, str, str], dict[str, Any]],
    cells: Sequence[tuple[tuple[str, str, str], int, tuple[float, ...]]],
    llms: tuple[str, ...],
    answered: set[tuple[str, str, str]],
) -> Outcomes:
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
        logger.warning("%s cannot be chosen: the routing data say nothing of them", ", ".join(unseen))
    queries = [asked[key] for key in keys]
    return Outcomes(
        [_query(query) for query in queries],
        tuple(name for name, there in zip(llms, seen, strict=True) if there),
        np.ascontiguousarray(quality[:, seen]),
        np.array([key not in answered for key in keys]),
        np.array([prompt_tokens(query) for query in queries], float),
        *(np.ascontiguousarray(table[:, seen]) for table in (prompt, answer, usd)),
    )


def _query(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return a query as a router is asked it."""
    if "embedding" not in told:
        return {"query": told["query"]}
    try:
        embedding = np.asarray(told["embedding"], dtype=np.float32)
    except (TypeError, ValueError):
        embedding = np.empty((0, 0), dtype=np.float32)
    if embedding.ndim != 1:
        raise DataError(
            None, f"routing data: the embedding of {told['query'][:60]!r} is not a list of numbers"
        )
    return {"query": told["query"], "embedding": embedding}


def _told(row: Mapping[str, Any]) -> tuple[float, float, float, float]:
    """Return quality, tokens of prompt and answer, and USD that a row has; NaN for what it has not."""
    quality = row["performance"]
    quality = float(quality) if isinstance(quality, bool) else quality
    if not isinstance(quality, int | float | np.number) or not 0 <= quality <= 1:
        raise DataError(
            None,
            f"routing data: performances are numbers from 0 to 1, found {quality!r:.40}",
            key="performance",
        )
    prompt, answer = (
        next((_number(row, key) for key in keys if row.get(key) is not None), math.nan)
        for keys in (_PROMPT, _ANSWER)
    )
    if math.isnan(answer):
        # What the sum leaves after the prompt.
        spent = prompt if not math.isnan(prompt) else prompt_tokens(row)
        answer = max(_number(row, "token_num") - spent, 0.0)
    return float(quality), prompt, answer, _number(row, "cost")


def _number(row: Mapping[str, Any], key: str) -> float:
    value = row.get(key)
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 <= value < math.inf:
        raise DataError(None, f"routing data: expected a number from 0, found {value!r:.40}", key=key)
    return float(value)
