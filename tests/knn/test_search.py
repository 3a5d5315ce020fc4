"""The nearest vectors, by whichever library."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from llmrouter.encoders.base import Floats
from llmrouter.errors import MissingExtraError
from llmrouter_knn import search as module
from llmrouter_knn.memory import unit
from llmrouter_knn.search import FaissSearch, HnswlibSearch, NumpySearch, Search, create_search


def vectors(count: int, dim: int = 16, seed: int = 0) -> Floats:
    return unit(np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32))


def expected(remembered: Floats, queries: Floats, k: int) -> list[list[float]]:
    """The k largest similarities of each query, by sorting all."""
    return [sorted(row, reverse=True)[:k] for row in (queries @ remembered.T).tolist()]


@pytest.mark.parametrize("kind", [NumpySearch, FaissSearch])
@pytest.mark.parametrize(
    ("count", "k", "asked"),
    [(1, 1, 3), (7, 7, 2), (40, 5, 300), (3000, 20, 130), (3000, 3000, 2), (500, 499, 3)],
)
def test_exact_search_finds_the_nearest(kind: type[Search], count: int, k: int, asked: int) -> None:
    remembered, queries = vectors(count), vectors(asked, seed=1)
    near = kind(remembered).nearest(queries, k)
    assert near.numbers.shape == near.similarity.shape == (asked, k)
    assert all(len(set(row)) == k for row in near.numbers.tolist())
    np.testing.assert_allclose(
        -np.sort(-near.similarity, axis=1), expected(remembered, queries, k), rtol=0, atol=1e-5
    )
    for query, numbers, similarity in zip(queries, near.numbers, near.similarity, strict=True):
        np.testing.assert_allclose(remembered[numbers] @ query, similarity, rtol=0, atol=1e-5)


def test_where_a_sample_tells_too_much_all_are_sorted() -> None:
    # The sample holds the nearest only, so that what it lets through is too little.
    remembered = np.repeat(vectors(2), [62, 938], axis=0)[
        np.argsort(np.arange(1000) % 16 != 0, kind="stable").argsort()
    ]
    query = remembered[:1]
    assert module._near(query @ remembered.T, 100) is None
    found = NumpySearch(remembered).nearest(query, 100)
    np.testing.assert_allclose(
        -np.sort(-found.similarity, axis=1), expected(remembered, query, 100), rtol=0, atol=1e-5
    )


def test_equal_vectors_are_all_neighbours() -> None:
    remembered = np.repeat(vectors(1), 900, axis=0)
    near = NumpySearch(remembered).nearest(remembered[:2], 30)
    assert len(set(near.numbers[0].tolist())) == 30
    np.testing.assert_allclose(near.similarity, 1, atol=1e-5)


def test_no_query_has_no_neighbours() -> None:
    near = NumpySearch(vectors(9)).nearest(vectors(1)[:0], 3)
    assert near.numbers.shape == near.similarity.shape == (0, 3)


def test_hnswlib_finds_nearly_all_of_them() -> None:
    pytest.importorskip("hnswlib", reason="hnswlib is not installed; it needs a compiler")
    remembered, queries = vectors(2000), vectors(50, seed=1)
    found = HnswlibSearch(remembered).nearest(queries, 20).numbers
    exact = NumpySearch(remembered).nearest(queries, 20).numbers
    shared = [len(set(a) & set(b)) / 20 for a, b in zip(found.tolist(), exact.tolist(), strict=True)]
    assert sum(shared) / len(shared) > 0.95


def test_auto_takes_faiss_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(create_search("auto", vectors(3)), FaissSearch)
    assert isinstance(create_search("numpy", vectors(3)), NumpySearch)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert isinstance(create_search("auto", vectors(3)), NumpySearch)
    with pytest.raises(MissingExtraError, match=r"llmrouter-knn\[hnswlib\]"):
        create_search("hnswlib", vectors(3))
