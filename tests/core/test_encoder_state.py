"""An encoder's state survives in a checkpoint, and one that cannot be used is an error."""

from __future__ import annotations

import numpy as np
import pytest

from llmrouter.errors import CheckpointError

pytestmark = pytest.mark.torch


def test_a_fitted_encoder_is_restored() -> None:
    from llmrouter.encoders import create_encoder
    from llmrouter.encoders.base import SparseBatch
    from llmrouter.models.encoder_state import encoder_state, restored_encoder

    encoder = create_encoder("hashing")
    encoder.fit(["one thing", "another thing"])
    tensors, told = encoder_state(encoder)
    again = restored_encoder(tensors, told, "m.safetensors")
    assert again is not None
    first, second = encoder.encode(["one"]), again.encode(["one"])
    assert isinstance(first, SparseBatch)
    assert isinstance(second, SparseBatch)
    assert np.array_equal(first.values, second.values)


def test_queries_that_bring_their_embeddings_need_no_encoder() -> None:
    from llmrouter.models.encoder_state import encoder_state, restored_encoder

    tensors, told = encoder_state(None)
    assert (tensors, told) == ({}, {"name": "none"})
    assert restored_encoder(tensors, told, "m.safetensors") is None


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"name": "unheard of"}, "its encoder cannot be used: Unknown encoder"),
        ({"name": "hashing", "version": "0"}, "needs version 0 of encoder hashing, not"),
    ],
)
def test_an_encoder_that_cannot_be_used(told: dict[str, str], says: str) -> None:
    from llmrouter.models.encoder_state import restored_encoder

    with pytest.raises(CheckpointError, match=says):
        restored_encoder({}, told, "m.safetensors")
