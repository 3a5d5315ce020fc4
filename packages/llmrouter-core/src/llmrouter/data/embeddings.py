"""Read embeddings that were computed before, from whichever format the file is in."""

from __future__ import annotations

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

            return torch.load(path, map_location="cpu", weights_only=True)
        if head[8:9] == b"{":
            from safetensors.numpy import load_file

            return load_file(path)
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"{path}", "llmrouter-core[torch]") from error
    except Exception as error:  # each of these libraries raises its own errors for a damaged file
        raise DataError(path, f"is damaged: {error}") from error
    return read_rows(path) if path.suffix.lower() == ".jsonl" else read_json(path)
