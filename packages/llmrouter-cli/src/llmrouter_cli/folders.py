"""Make folders, whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from llmrouter.errors import DataError


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Make a folder that is there when the block ends, and of which nothing is left if it fails.

    Missing folders above it are made.

    Args:
        target: Where it is to be; nothing may be there.

    Raises:
        DataError: Something is there already, or the folder cannot be written.
    """
    if os.path.lexists(target):
        raise DataError(target, "exists already; nothing was written")
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part.mkdir()
        yield part
        part.rename(target)
    except OSError as error:
        # Where several files failed, that is a list of (from, to, reason).
        reason = error.args[0][0][-1] if isinstance(error, shutil.Error) else error.strerror
        raise DataError(target, f"cannot be written: {reason}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
