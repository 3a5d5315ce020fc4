"""Keep an encoder's state in a router's checkpoint."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch

from llmrouter.encoders import create_encoder
from llmrouter.encoders.base import Encoder
from llmrouter.errors import CheckpointError, LLMRouterError
from llmrouter.models.checkpoint import tensors_under

# In place of an encoder's name: queries bring their embeddings.
BROUGHT = "none"
_PREFIX = "encoder."


def encoder_state(encoder: Encoder | None) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return what a checkpoint keeps of an encoder: tensors, and what its header says under ``encoder``."""
    if encoder is None:
        return {}, {"name": BROUGHT}
    arrays, settings = encoder.state()
    tensors = {f"{_PREFIX}{name}": torch.from_numpy(value) for name, value in arrays.items()}
    return tensors, {"name": encoder.name, "version": encoder.version, "settings": settings}


def restored_encoder(
    tensors: Mapping[str, torch.Tensor], told: Mapping[str, Any], path: str | os.PathLike[str]
) -> Encoder | None:
    """Make the encoder again that `encoder_state` told of.

    Args:
        tensors: All of the checkpoint's.
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
    arrays = {key: value.numpy() for key, value in tensors_under(tensors, _PREFIX).items()}
    encoder.restore(arrays, told["settings"])
    return encoder
