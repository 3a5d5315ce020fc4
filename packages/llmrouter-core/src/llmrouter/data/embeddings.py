"""Read embeddings that were computed before, from whichever format the file is in."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from llmrouter.data.rows import read_bytes, read_json, read_rows
from llmrouter.errors import DataError, MissingExtraError


def read_embeddings(path: Path) -> Any:
    """Read embeddings; the format is told by the content.

    Returns:
        For JSON its value, for JSONL a list of rows, for NumPy's ``.npy`` an array, for safetensors a dict
        of arrays, for a file of torch whatever tensors it holds.

    Raises:
        DataError: The file is missing or malformed.
        MissingExtraError: Its format needs a package that is not installed.
    """
    head = read_bytes(path, 10)
    try:
        if head.startswith(b"\x93NUMPY"):
            import numpy

            return numpy.load(path, allow_pickle=False)
        if head.startswith(b"PK"):
            import torch

            # As a stream, for torch tells safetensors by the suffix.
            with path.open("rb") as stream:
                return torch.load(stream, map_location="cpu", weights_only=True)
        if is_safetensors(head):
            from safetensors.numpy import load_file

            return load_file(path)
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"{path}", "llmrouter-core[torch]") from error
    except pickle.UnpicklingError as error:
        raise DataError(
            path, "holds more than tensors, which is not loaded, for it could run code"
        ) from error
    except Exception as error:  # each of these libraries raises its own errors for a damaged file
        raise DataError(path, f"is damaged: {' '.join(str(error).split())}") from error
    return read_rows(path) if path.suffix.lower() == ".jsonl" else read_json(path)


def is_safetensors(head: bytes) -> bool:
    """Whether a file that begins so is safetensors: the length of a JSON header in 8 bytes, then the header.

    The length is below 100 MB, so that its last bytes are 0, which no text holds.
    """
    return head[4:9] == b"\0\0\0\0{"
