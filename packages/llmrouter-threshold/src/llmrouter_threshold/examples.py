"""Turn outcomes into what the estimator learns from."""

from __future__ import annotations

import hashlib
import logging
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from llmrouter.errors import DataError
from llmrouter.learning.outcomes import Outcomes

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


def examples_from(outcomes: Outcomes, target: str | None = None) -> Examples:
    """Make examples of the outcomes of two LLMs or more, from the smallest to the largest.

    Args:
        outcomes: Where queries have votes for the best LLM, their label is how large that is.
        target: One of `TARGETS`; by default ``gain`` where the qualities of both ends are known.

    Raises:
        DataError: No query can be used, or the target needs what the data do not say.
    """
    small, large = outcomes.llms[0], outcomes.llms[-1]
    ends = outcomes.quality[:, [0, -1]]
    both = ~np.isnan(ends).any(axis=1) & ~outcomes.votes
    if target == "gain" and not both.any():
        raise DataError(None, f"target 'gain' needs the performance of both {small} and {large} on a query")
    if both.any() and target != "difficulty":
        return _examples(outcomes, both, ends, "gain")
    shares = np.nan_to_num(outcomes.quality)
    votes = shares.sum(axis=1)
    voted = outcomes.votes & (votes > 0)
    ranks = np.linspace(0, 1, len(outcomes.llms))
    best = (shares @ ranks) / np.where(voted, votes, 1)
    needed = np.where(voted, best, 1 - ends[:, 0])[:, None]
    if not (both | voted).any():
        raise DataError(
            None,
            f"the routing data have neither the performance of both {small} and {large} nor best_llm",
        )
    return _examples(outcomes, both | voted, needed, "difficulty")


def _examples(
    outcomes: Outcomes, usable: NDArray[np.bool_], labels: NDArray[np.float64], target: str
) -> Examples:
    if not usable.all():
        left_out = int((~usable).sum())
        logger.warning("%d of %d queries are left out: their rows lack an LLM", left_out, len(outcomes))
    rows = [outcomes.rows[number] for number in np.flatnonzero(usable)]
    return Examples(rows, labels[usable].astype(np.float32), target)
