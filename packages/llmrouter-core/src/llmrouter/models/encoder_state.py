"""Keep an encoder's state in a router's checkpoint."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmrouter.encoders import create_encoder
from llmrouter.encoders.base import Encoder
from llmrouter.errors import CheckpointError, LLMRouterError
from llmrouter.models.arrays import named_under

# In place of an encoder's name: queries bring their embeddings.
BROUGHT = "none"
_PREFIX = "encoder."


def encoder_state(encoder: Encoder | None) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Return what a checkpoint keeps of an encoder: arrays, and what its header says under ``encoder``."""
    if encoder is None:
        return {}, {"name": BROUGHT}
    arrays, settings = encoder.state()
    named = {f"{_PREFIX}{name}": value for name, value in arrays.items()}
    return named, {"name": encoder.name, "version": encoder.version, "settings": settings}


def restored_encoder(
    arrays: Mapping[str, Any], told: Mapping[str, Any], path: str | os.PathLike[str]
) -> Encoder | None:
    """Make the encoder again that `encoder_state` told of.

    Args:
        arrays: All of the checkpoint's, as NumPy or torch has them.
        told: What its header says of the encoder.
        path: Of the checkpoint, for errors.

    Raises:
        CheckpointError: The encoder cannot be used, or is of another version.
        KeyError, TypeError, ValueError: What the checkpoint holds is damaged.
    """
    name = told["name"]
    if name == BROUGHT:
        return None
    try:
        encoder = create_encoder(name)
    except LLMRouterError as error:
        raise CheckpointError(path, f"its encoder cannot be used: {error}") from error
    version = told.get("version")
    if encoder.version != version:
        raise CheckpointError(path, f"needs version {version} of encoder {name}, not {encoder.version}")
    own = {name: np.asarray(value) for name, value in named_under(arrays, _PREFIX).items()}
    encoder.restore(own, told["settings"])
    return encoder
