"""Save and load a model's weights; nothing is ever unpickled."""

from __future__ import annotations

import io
import json
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import torch as safetensors

from llmrouter.data.embeddings import is_safetensors
from llmrouter.errors import CheckpointError
from llmrouter.files import replacing

HEADER = "llmrouter"


def write_state(
    state: Mapping[str, torch.Tensor], path: str | os.PathLike[str], header: Mapping[str, Any] | None = None
) -> None:
    """Write a ``state_dict`` as safetensors, atomically; missing folders are made.

    Args:
        state: Tensors by name.
        path: The file.
        header: What JSON can hold, written beside the tensors.

    Raises:
        CheckpointError: The file cannot be written.
    """
    content = pack_checkpoint(state, header)
    path = Path(os.path.expanduser(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as stream:
            stream.write(content)
    except OSError as error:
        raise CheckpointError(path, f"cannot be written: {error.strerror}") from error


def pack_checkpoint(state: Mapping[str, torch.Tensor], header: Mapping[str, Any] | None = None) -> bytes:
    """Return a ``state_dict`` and a header as `write_state` writes them: the same for equal ones."""
    seen: set[int] = set()
    tensors = {}
    for name, tensor in state.items():
        tensor = tensor.detach().cpu().contiguous()
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
    path = Path(os.path.expanduser(path))
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise CheckpointError(path, "there is no such file; train the router first") from None
    except OSError as error:
        raise CheckpointError(path, f"cannot be read: {error.strerror}") from None
    return unpack_checkpoint(raw, path)


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
    path = Path(path)
    if not raw.startswith(b"PK") and not is_safetensors(raw[:9]):
        raise CheckpointError(
            path, "is neither a safetensors nor a torch file; it was saved by something else"
        )
    try:
        if raw.startswith(b"PK"):
            # As a stream, for torch tells safetensors by the suffix.
            state = torch.load(io.BytesIO(raw), map_location="cpu", weights_only=True)
        else:
            state = safetensors.load(raw)
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
    return state, _header(path, raw)


def check_header(
    header: Mapping[str, Any], path: str | os.PathLike[str], router: str, newest: int, package: str
) -> None:
    """Check whose checkpoint it is, by the header's ``router`` and ``format``.

    Args:
        header: As it was read.
        path: Where it was read, for errors.
        router: Name of the router that is to load it.
        newest: The newest format that it knows.
        package: Name of its distribution.

    Raises:
        CheckpointError: It is another router's, or of a newer format.
    """
    if header.get("router") != router:
        raise CheckpointError(
            path, f"was saved by {header.get('router') or 'something else'}, not by {router}"
        )
    if not isinstance(header.get("format"), int) or header["format"] > newest:
        raise CheckpointError(path, f"is of a newer format; upgrade {package} to read it")


def tensors_under(state: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Return the tensors whose names begin so, without that beginning."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def _header(path: Path, raw: bytes) -> dict[str, Any]:
    if raw.startswith(b"PK"):
        return {}
    length = int.from_bytes(raw[:8], "little")
    # The library has read it already, so it is JSON.
    text = json.loads(raw[8 : 8 + length]).get("__metadata__", {}).get(HEADER)
    if text is None:
        return {}
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(path, f"its header is damaged: {error}") from error
    if not isinstance(header, dict):
        raise CheckpointError(path, "its header is no JSON object")
    return header
