"""Files that commands write at their users' wish."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import BinaryIO

from llmrouter.errors import DataError
from llmrouter.files import replacing


@contextlib.contextmanager
def output_file(path: str) -> Iterator[BinaryIO]:
    """Open a file that is written whole or not at all.

    Raises:
        DataError: It cannot be written.
    """
    try:
        with replacing(path) as stream:
            yield stream
    except BrokenPipeError:
        raise
    except OSError as error:
        raise DataError(path, f"cannot be written: {error.strerror or error}") from error
