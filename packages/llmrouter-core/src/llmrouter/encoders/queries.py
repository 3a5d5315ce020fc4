"""Features of queries, some of which may bring their embedding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from llmrouter.encoders.base import Encoder, Floats, SparseBatch
from llmrouter.errors import LLMRouterError


def encode_queries(
    encoder: Encoder | None,
    batch: Sequence[Mapping[str, Any]],
    width: int | None = None,
    sparse: bool = False,
) -> Floats | SparseBatch:
    """Return the features of queries.

    An ``embedding`` that a query brings stands in for the encoder's, where that is dense; what a sparse
    encoder gives cannot be brought.

    Args:
        encoder: The encoder; None where each query brings its embedding.
        batch: The n queries.
        width: Number of features, where it is known.
        sparse: Whether the encoder is known to be sparse.

    Raises:
        LLMRouterError: An embedding is missing where there is no encoder, or of another width.
    """
    own = [query.get("embedding") for query in batch]
    if encoder is None:
        return _stacked(own, width)
    texts = [query["query"] for query, embedding in zip(batch, own, strict=True) if embedding is None]
    if len(texts) < len(batch) and not sparse:
        # A model is not loaded to encode nothing.
        made = encoder.encode(texts) if texts or not width else np.empty((0, width), np.float32)
        if not isinstance(made, SparseBatch):
            rows = iter(made)
            return _stacked([next(rows) if one is None else one for one in own], made.shape[1])
    return encoder.encode([query["query"] for query in batch])


def _stacked(embeddings: Sequence[Any], width: int | None) -> Floats:
    """Return the embeddings of queries, (n, width); where no width is given it is that of the first."""
    rows: list[Floats] = []
    for embedding in embeddings:
        if embedding is None:
            raise LLMRouterError("the encoder is 'none', and a query has no 'embedding', a list of numbers")
        try:
            row = np.asarray(embedding, dtype=np.float32)
        except (TypeError, ValueError):
            row = np.empty((0, 0), dtype=np.float32)
        if row.ndim != 1:
            raise LLMRouterError("the 'embedding' of a query is not a list of numbers")
        width = width or len(row)
        if len(row) != width:
            raise LLMRouterError(f"the 'embedding' of a query has {len(row)} numbers, not {width}")
        rows.append(row)
    return np.stack(rows) if rows else np.empty((0, width or 0), dtype=np.float32)
