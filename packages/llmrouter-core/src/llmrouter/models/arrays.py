"""Checkpoints of safetensors, as far as they need no torch: arrays by name, and a header of JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from llmrouter.data.embeddings import is_safetensors
from llmrouter.errors import CheckpointError
from llmrouter.files import read_file, replacing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")

HEADER = "llmrouter"


def write_arrays(
    arrays: Mapping[str, NDArray[Any]], path: str | os.PathLike[str], header: Mapping[str, Any]
) -> None:
    """Write arrays and a header as safetensors, whole or not at all; missing folders are made.

    Raises:
        CheckpointError: The file cannot be written.
    """
    write_content(pack_arrays(arrays, header), path)


def pack_arrays(arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any]) -> bytes:
    """Return what `write_arrays` writes."""
    import numpy as np
    from safetensors import numpy as safetensors

    # The format knows no strides.
    packed = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return bytes(safetensors.save(packed, {HEADER: json.dumps(header)}))


def read_arrays(path: str | os.PathLike[str]) -> tuple[dict[str, NDArray[np.generic]], dict[str, Any]]:
    """Read what `write_arrays` wrote.

    Raises:
        CheckpointError: The file is missing, damaged, or no safetensors.
    """
    return unpack_arrays(read_content(path), path)


def unpack_arrays(
    raw: bytes, path: str | os.PathLike[str]
) -> tuple[dict[str, NDArray[np.generic]], dict[str, Any]]:
    """Take apart what a file holds, or what `pack_arrays` returned.

    Args:
        raw: The content.
        path: Where it comes from, for errors.

    Raises:
        CheckpointError: It is damaged, or no safetensors.
    """
    from safetensors import numpy as safetensors

    if not is_safetensors(raw[:9]):
        raise CheckpointError(path, "is no safetensors file; it was saved by something else")
    try:
        arrays = safetensors.load(raw)
    except Exception as error:  # the library raises errors of its own, and numpy's and Python's
        raise CheckpointError(path, f"is damaged: {' '.join(str(error).split())}") from error
    return arrays, header_of(raw, path)


def write_content(content: bytes, path: str | os.PathLike[str]) -> None:
    """Write a checkpoint, whole or not at all; missing folders are made.

    Raises:
        CheckpointError: The file cannot be written.
    """
    path = Path(os.path.expanduser(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as stream:
            stream.write(content)
    except OSError as error:
        raise CheckpointError(path, f"cannot be written: {error.strerror}") from error


def read_content(path: str | os.PathLike[str]) -> bytes:
    """Read a checkpoint.

    Raises:
        CheckpointError: The file is missing or cannot be read.
    """
    path = Path(os.path.expanduser(path))
    try:
        return read_file(path)
    except FileNotFoundError:
        raise CheckpointError(path, "there is no such file; train the router first") from None
    except OSError as error:
        raise CheckpointError(path, f"cannot be read: {error.strerror}") from None


def header_of(raw: bytes, path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the header in the content of a safetensors file that was loaded; empty where there is none.

    Raises:
        CheckpointError: It is damaged.
    """
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


def named_under(values: Mapping[str, T], prefix: str) -> dict[str, T]:
    """Return the values whose names begin so, without that beginning."""
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}
