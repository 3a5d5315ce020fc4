"""Look for the nearest of many unit vectors."""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from llmrouter.encoders.base import Floats
from llmrouter.errors import MissingExtraError

SEARCHES = ("auto", "numpy", "faiss", "hnswlib")
# Queries that are compared with all vectors at a time; bounds the memory this takes, and fits caches.
AT_ONCE = 128
# One of so many similarities is looked at to tell where the largest begin.
SAMPLE = 16
# Of the graph that hnswlib makes: links of a vector, and how many candidates are kept while it is built.
LINKS = 32
BREADTH = 400


class Near(NamedTuple):
    """The nearest vectors of n queries, in whatever order.

    Attributes:
        numbers: Which they are, int64 of shape (n, k).
        similarity: Cosine similarities, float32 of shape (n, k).
    """

    numbers: NDArray[np.int64]
    similarity: Floats


class Search(ABC):
    """Finds neighbours among r unit vectors, float32 of shape (r, d)."""

    def __init__(self, vectors: Floats) -> None:
        self.vectors = vectors

    @abstractmethod
    def nearest(self, queries: Floats, k: int) -> Near:
        """Return the k nearest vectors of unit vectors of shape (n, d); k is at most r."""


class NumpySearch(Search):
    """Compares with every vector."""

    def nearest(self, queries: Floats, k: int) -> Near:
        """See `Search.nearest`."""
        found = [
            self._nearest(queries[at : at + AT_ONCE], k) for at in range(0, max(len(queries), 1), AT_ONCE)
        ]
        return Near(*(np.concatenate(tables) for tables in zip(*found, strict=True)))

    def _nearest(self, queries: Floats, k: int) -> Near:
        similarity = queries @ self.vectors.T
        all_of_them = np.broadcast_to(np.arange(len(self.vectors)), similarity.shape)
        near = _near(similarity, k) if len(self.vectors) > SAMPLE * k // 2 else None
        return _largest(near or Near(all_of_them, similarity), k)


def _near(similarity: Floats, k: int) -> Near | None:
    """Leave out most of what is not among the k largest of a row, in far less time than sorting takes.

    Where they begin is told by a sample. Returns None where it told too much: fewer than k are left.
    """
    sample = similarity[:, ::SAMPLE]
    most = min(2 * k // SAMPLE + 4, sample.shape[1])
    least = np.partition(sample, -most, axis=1)[:, -most]
    kept = np.flatnonzero(similarity >= least[:, None])
    rows, numbers = np.divmod(kept, similarity.shape[1])
    counts = np.bincount(rows, minlength=len(similarity))
    if not len(counts) or counts.min() < k:
        return None
    places = np.arange(len(kept)) - np.repeat(np.cumsum(counts) - counts, counts)
    near = Near(
        np.zeros((len(counts), counts.max()), np.int64),
        np.full((len(counts), counts.max()), -np.inf, np.float32),
    )
    near.numbers[rows, places] = numbers
    near.similarity[rows, places] = similarity.ravel()[kept]
    return near


def _largest(near: Near, k: int) -> Near:
    """Return the k most similar of each row."""
    if near.similarity.shape[1] == k:
        return near
    places = np.argpartition(near.similarity, -k, axis=1)[:, -k:]
    return Near(
        np.take_along_axis(near.numbers, places, axis=1), np.take_along_axis(near.similarity, places, axis=1)
    )


class FaissSearch(Search):
    """Compares with every vector, by FAISS (Douze et al. 2024, arXiv 2401.08281)."""

    def __init__(self, vectors: Floats) -> None:
        super().__init__(vectors)
        import faiss

        self._index: Any = faiss.IndexFlatIP(vectors.shape[1])
        self._index.add(np.ascontiguousarray(vectors))

    def nearest(self, queries: Floats, k: int) -> Near:
        """See `Search.nearest`."""
        similarity, numbers = self._index.search(np.ascontiguousarray(queries), k)
        return Near(numbers, similarity)


class HnswlibSearch(Search):
    """Walks a graph of near vectors, and may miss some (Malkov and Yashunin 2016, arXiv 1603.09320)."""

    def __init__(self, vectors: Floats) -> None:
        super().__init__(vectors)
        import hnswlib

        self._index: Any = hnswlib.Index(space="ip", dim=vectors.shape[1])
        self._index.init_index(max_elements=len(vectors), M=LINKS, ef_construction=BREADTH, random_seed=0)
        # In one thread, or the graph depends on who comes first.
        self._index.add_items(vectors, num_threads=1)

    def nearest(self, queries: Floats, k: int) -> Near:
        """See `Search.nearest`."""
        self._index.set_ef(max(BREADTH, 2 * k))
        numbers, distance = self._index.knn_query(queries, k)
        return Near(numbers.astype(np.int64), 1 - distance)


def create_search(name: str, vectors: Floats) -> Search:
    """Make what looks for neighbours, by its name among `SEARCHES`.

    Raises:
        MissingExtraError: It needs a package that is not installed.
    """
    if name == "numpy" or (name == "auto" and not _installed("faiss")):
        return NumpySearch(vectors)
    library = "faiss" if name == "auto" else name
    if not _installed(library):
        raise MissingExtraError(f"hparam.search: {name}", f"llmrouter-knn[{library}]")
    return FaissSearch(vectors) if library == "faiss" else HnswlibSearch(vectors)


def _installed(library: str) -> bool:
    return importlib.util.find_spec(library) is not None
