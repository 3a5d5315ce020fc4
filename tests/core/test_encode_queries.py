"""Queries are encoded, or bring what stands in for that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from llmrouter.errors import LLMRouterError

pytest.importorskip("numpy")


def lengths() -> Any:
    from llmrouter.encoders.base import Encoder, Floats

    class Lengths(Encoder):
        name = "lengths"
        dim = 2

        def encode(self, texts: Sequence[str]) -> Floats:
            return np.array([[len(text), 1] for text in texts], np.float32).reshape(-1, 2)

    return Lengths()


def encoded(*arguments: Any, **keywords: Any) -> Any:
    from llmrouter.encoders.queries import encode_queries

    return encode_queries(*arguments, **keywords)


def test_an_embedding_stands_in_for_the_encoder() -> None:
    batch = [{"query": "abc"}, {"query": "x", "embedding": [7, 8]}, {"query": "de"}]
    assert encoded(lengths(), batch).tolist() == [[3, 1], [7, 8], [2, 1]]


def test_a_sparse_encoder_takes_no_embedding() -> None:
    from llmrouter.encoders.base import SparseBatch
    from llmrouter.encoders.hashing import HashingEncoder

    batch = [{"query": "abc", "embedding": [7, 8]}]
    assert isinstance(encoded(HashingEncoder(), batch, sparse=True), SparseBatch)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"query": "x"}, "the encoder is 'none', and a query has no 'embedding'"),
        ({"query": "x", "embedding": "y"}, "is not a list of numbers"),
        ({"query": "x", "embedding": [1]}, "has 1 numbers, not 2"),
    ],
)
def test_an_embedding_that_cannot_be_used(query: dict[str, Any], says: str) -> None:
    with pytest.raises(LLMRouterError, match=says):
        encoded(None, [query], width=2)


def test_no_query_at_all() -> None:
    assert encoded(None, [], width=2).shape == (0, 2)
