"""Save and load a model's weights; nothing is ever unpickled."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from safetensors import torch as safetensors

from llmrouter.data.embeddings import is_safetensors
from llmrouter.errors import CheckpointError
from llmrouter.models.arrays import HEADER, header_of, read_content, write_content

State = Mapping[str, "torch.Tensor | NDArray[Any]"]


def write_state(state: State, path: str | os.PathLike[str], header: Mapping[str, Any] | None = None) -> None:
    """Write a ``state_dict`` as safetensors, atomically; missing folders are made.

    Args:
        state: Tensors by name, or arrays.
        path: The file.
        header: What JSON can hold, written beside the tensors.

    Raises:
        CheckpointError: The file cannot be written.
    """
    write_content(pack_checkpoint(state, header), path)


def pack_checkpoint(state: State, header: Mapping[str, Any] | None = None) -> bytes:
    """Return a ``state_dict`` and a header as `write_state` writes them: the same for equal ones."""
    seen: set[int] = set()
    tensors = {}
    for name, value in state.items():
        tensor = torch.as_tensor(value).detach().cpu().contiguous()
        # Tied weights share memory, which the format refuses; each name gets its own copy.
        storage = tensor.untyped_storage().data_ptr()
        tensors[name] = tensor.clone() if storage in seen else tensor
        seen.add(storage)
    return safetensors.save(tensors, {HEADER: json.dumps(header)} if header else None)


def read_state(path: str | os.PathLike[str]) -> dict[str, torch.Tensor]:
    """Read a ``state_dict`` from safetensors, or from a file of ``torch.save`` that holds only tensors.

    Raises:
        CheckpointError: The file is missing, damaged, empty, or neither of these.
    """
    return read_checkpoint(path)[0]


def read_checkpoint(path: str | os.PathLike[str]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read a ``state_dict`` and the header written beside it, which is empty where there was none.

    Raises:
        CheckpointError: As `read_state`.
    """
    return unpack_checkpoint(read_content(path), path)


def unpack_checkpoint(
    raw: bytes, path: str | os.PathLike[str]
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Take apart what a file holds, or what `pack_checkpoint` returned.

    Args:
        raw: The content.
        path: Where it comes from, for errors.

    Raises:
        CheckpointError: As `read_state`.
    """
    if not raw.startswith(b"PK") and not is_safetensors(raw[:9]):
        raise CheckpointError(
            path, "is neither a safetensors nor a torch file; it was saved by something else"
        )
    try:
        if raw.startswith(b"PK"):
            # What torch writes is not compressed; what unpacks to more than it is would fill the memory.
            with zipfile.ZipFile(io.BytesIO(raw)) as packed:
                if (size := sum(part.file_size for part in packed.infolist())) > len(raw):
                    raise CheckpointError(path, f"is damaged: its {len(raw)} bytes claim to hold {size}")
            # As a stream, for torch tells safetensors by the suffix.
            state = torch.load(io.BytesIO(raw), map_location="cpu", weights_only=True)
        else:
            state = safetensors.load(raw)
    except CheckpointError:
        raise
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            path, "holds more than tensors, which is not loaded, for it could run code"
        ) from error
    except Exception as error:  # what torch raises for a damaged file is whatever it stumbles over
        raise CheckpointError(path, f"is damaged: {' '.join(str(error).split())}") from error
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in state.items()
    ):
        raise CheckpointError(path, "does not hold a dict of tensors by name")
    if not state:
        raise CheckpointError(path, "holds no weights")
    return state, {} if raw.startswith(b"PK") else header_of(raw, path)
