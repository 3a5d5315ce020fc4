"""Turn routing data into what the estimator learns from."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from llmrouter.errors import DataError

logger = logging.getLogger(__name__)

TARGETS = ("gain", "difficulty")


class Examples(NamedTuple):
    """Training examples, one for each query.

    Attributes:
        rows: Queries as a router is asked them: the text, and the ``embedding`` where the data bring one,
            float32 of shape (dim,).
        labels: Soft labels from 0 to 1, float32. For the target ``gain`` of shape (n, 2): how well the small
            and the large LLM do. For ``difficulty`` of shape (n, 1): how large an LLM the query needs.
        target: Which of `TARGETS` the labels are for.
    """

    rows: list[dict[str, Any]]
    labels: NDArray[np.float32]
    target: str

    @property
    def queries(self) -> list[str]:
        """Their texts."""
        return [row["query"] for row in self.rows]

    def take(self, rows: NDArray[np.int64]) -> Examples:
        """Return some of the examples."""
        return Examples([self.rows[row] for row in rows], self.labels[rows], self.target)

    @property
    def gain(self) -> NDArray[np.float64] | None:
        """How much better the large LLM does, shape (n,); None where the target is not ``gain``."""
        if self.target != "gain":
            return None
        return np.diff(self.labels.astype(np.float64), axis=1)[:, 0]

    @property
    def hard(self) -> NDArray[np.float32]:
        """What the calibrated score stands for: how far the large LLM does better; shape (n,)."""
        if self.target == "gain":
            gain: NDArray[np.float32] = np.maximum(self.labels[:, 1] - self.labels[:, 0], 0)
            return gain
        return self.labels[:, 0]

    @property
    def digest(self) -> str:
        """Hash of all of this, by which the same data are known again."""
        digest = hashlib.sha256(self.target.encode())
        for row in self.rows:
            embedding = row.get("embedding", np.empty(0, dtype=np.float32))
            digest.update(f"\0{row['query']}\0{len(embedding)}\0".encode(errors="surrogatepass"))
            digest.update(embedding.tobytes())
        digest.update(self.labels.tobytes())
        return f"sha256:{digest.hexdigest()}"


def examples_from(
    rows: Sequence[Mapping[str, Any]], tiers: Sequence[str], target: str | None = None
) -> Examples:
    """Make examples from routing data of either shape.

    Args:
        rows: One for each query, with ``best_llm``, or one for each query and LLM, with ``performance``.
        tiers: The LLMs from small to large.
        target: One of `TARGETS`; by default ``gain`` where performances of each LLM are known.

    Raises:
        DataError: No row can be used, or the target needs what the rows do not tell.
    """
    performance: dict[str, dict[str, float]] = {}
    best: dict[str, str] = {}
    brought: dict[str, Any] = {}
    for row in rows:
        query = row["query"]
        if row.get("embedding") is not None:
            brought.setdefault(query, row["embedding"])
        if isinstance(row.get("model_name"), str) and row.get("performance") is not None:
            performance.setdefault(query, {})[row["model_name"]] = float(row["performance"])
        elif row.get("best_llm") is not None:
            best[query] = row["best_llm"]
    small, large = tiers[0], tiers[-1]
    pairs = {
        query: (told[small], told[large])
        for query, told in performance.items()
        if small in told and large in told
    }
    seen = len(performance.keys() | best.keys())
    if target == "gain" and not pairs:
        raise DataError(None, f"target 'gain' needs the performance of both {small} and {large} on a query")
    if pairs and target != "difficulty":
        return _examples({query: list(pair) for query, pair in pairs.items()}, brought, "gain", seen)
    needed = {query: [1 - pair[0]] for query, pair in pairs.items()}
    ranks = {name: rank / (len(tiers) - 1) for rank, name in enumerate(tiers)}
    needed |= {query: [ranks[name]] for query, name in best.items() if name in ranks}
    if not needed:
        raise DataError(
            None,
            f"the routing data tell neither the performance of both {small} and {large} nor best_llm",
        )
    return _examples(needed, brought, "difficulty", seen)


def _examples(labels: dict[str, list[float]], brought: dict[str, Any], target: str, seen: int) -> Examples:
    if seen > len(labels):
        logger.warning("%d of %d queries are left out: their rows lack an LLM", seen - len(labels), seen)
    queries = list(labels)
    values = np.asarray([labels[query] for query in queries], dtype=np.float32)
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        raise DataError(None, "routing data: performances are numbers from 0 to 1")
    rows = [
        {"query": query, "embedding": _embedding(query, brought[query])}
        if query in brought
        else {"query": query}
        for query in queries
    ]
    return Examples(rows, values, target)


def _embedding(query: str, brought: Any) -> NDArray[np.float32]:
    try:
        embedding = np.asarray(brought, dtype=np.float32)
    except (TypeError, ValueError):
        embedding = np.empty((0, 0), dtype=np.float32)
    if embedding.ndim != 1:
        raise DataError(None, f"routing data: the embedding of {query[:60]!r} is not a list of numbers")
    return embedding
