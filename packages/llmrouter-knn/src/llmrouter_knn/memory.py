"""What is remembered: queries as vectors, and how the LLMs did on them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmrouter.encoders.base import Floats, SparseBatch
from llmrouter.learning.predictor import Predictions
from llmrouter_knn.search import Near, Search, create_search

# Dimensions that sparse features are folded into.
FOLDED = 1024
# Queries whose neighbours are averaged at a time; bounds the memory this takes.
AT_ONCE = 256


@dataclass
class Memory:
    """The r training queries.

    Attributes:
        vectors: The queries, in half precision, (r, d).
        quality: From 0 to 1, (r, m), NaN where unknown; each LLM has one at least.
        outlay: Tokens of answers or USD, (r, m), NaN where unknown.
        search: What looks for neighbours, of `llmrouter_knn.search.SEARCHES`.
    """

    vectors: NDArray[np.float16]
    quality: Floats
    outlay: Floats
    search: str = "auto"

    def __post_init__(self) -> None:
        shape = (len(self.vectors), *self.quality.shape[1:])
        sound = self.vectors.ndim == self.quality.ndim == 2 and len(self.vectors)
        if not sound or self.quality.shape != shape or self.outlay.shape != shape:
            raise ValueError("what is remembered of queries and LLMs differs in number")
        if not np.isfinite(self.vectors).all() or np.isnan(self.quality).all(axis=0).any():
            raise ValueError("what is remembered holds what is no number")

    def predict(self, features: Floats | SparseBatch, k: int, temperature: float) -> Predictions:
        """Average over the k nearest queries, each weighted by exp(similarity / temperature).

        An LLM's mean over all queries counts as one more neighbour, of average weight, so that an LLM of
        which few neighbours tell goes by that.

        Args:
            features: Of n queries, (n, d).
            k: Neighbours, at most all.
            temperature: In cosine similarity.
        """
        near = self._search.nearest(dense(features), min(k, len(self.vectors)))
        parts = [
            self._average(
                Near(near.numbers[at : at + AT_ONCE], near.similarity[at : at + AT_ONCE]), temperature
            )
            for at in range(0, max(len(near.numbers), 1), AT_ONCE)
        ]
        return Predictions(*(np.concatenate(tables) for tables in zip(*parts, strict=True)))

    def _average(self, near: Near, temperature: float) -> Predictions:
        weights = np.exp((near.similarity - 1) / temperature)
        weights /= weights.sum(axis=1, keepdims=True)
        averaged = _averaged(self._outcomes, self._means, near.numbers, weights)
        quality, outlay = np.split(averaged, 2, axis=1)
        # Rounding may lead a little beyond.
        return Predictions(quality.clip(0, 1), outlay)

    @cached_property
    def _search(self) -> Search:
        return create_search(self.search, unit(self.vectors.astype(np.float32)))

    @cached_property
    def _outcomes(self) -> Floats:
        # Side by side, so that those of neighbours are gathered once.
        return np.concatenate([self.quality, self.outlay], axis=1)

    @cached_property
    def _means(self) -> Floats:
        return _means(self._outcomes)

    def __getstate__(self) -> dict[str, Any]:
        # An index belongs to its process; what is derived is made again where it is needed.
        return {field.name: getattr(self, field.name) for field in fields(self)}


def dense(features: Floats | SparseBatch) -> Floats:
    """Return features as unit vectors; sparse ones are folded, which keeps their products on average.

    Source: Weinberger et al. 2009, "Feature hashing for large scale multitask learning" (arXiv 0902.2206).
    """
    if not isinstance(features, SparseBatch):
        return unit(np.asarray(features, np.float32))
    count = len(features.offsets)
    lengths = np.diff(features.offsets, append=len(features.indices))
    rows = np.repeat(np.arange(count), lengths)
    signs = 1 - 2 * (features.indices // FOLDED % 2)
    cells = np.bincount(
        rows * FOLDED + features.indices % FOLDED, features.values * signs, minlength=count * FOLDED
    )
    return unit(cells.reshape(count, FOLDED).astype(np.float32))


def unit(vectors: Floats) -> Floats:
    """Scale vectors to length 1; those of zeros stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Floats = vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
    return scaled


def _means(table: Floats) -> Floats:
    known = ~np.isnan(table)
    with np.errstate(invalid="ignore"):
        means: Floats = np.nansum(table, axis=0) / known.sum(axis=0).astype(np.float32)
    return means


def _averaged(table: Floats, means: Floats, numbers: NDArray[np.int64], weights: Floats) -> Floats:
    """Return weighted means of rows of a table, (n, m), in which a column's mean counts as one more row."""
    taken = table[numbers]
    unknown = np.isnan(taken)
    if not unknown.any():
        total, weight = np.einsum("nk,nkm->nm", weights, taken), weights.sum(axis=1, keepdims=True)
    else:
        total = np.einsum("nk,nkm->nm", weights, np.where(unknown, 0, taken))
        weight = np.einsum("nk,nkm->nm", weights, (~unknown).astype(np.float32))
    one = 1 / weights.shape[1]
    averaged: Floats = (total + one * means) / (weight + one)
    return averaged
