"""Write files whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file beside `path` that takes its place when the block ends, and is removed if it fails.

    A device or pipe is written to directly. A link is followed, and the file's permissions are kept.

    Raises:
        OSError: The folder does not exist or cannot be written to, or writing failed.
    """
    given = Path(path)
    if given.exists() and not given.is_file():
        # As given, for the real path of a pipe behind /dev/stdout cannot be opened.
        with given.open("wb") as stream:
            yield stream
        return
    target = Path(os.path.realpath(path))
    if target.exists() and not os.access(target, os.W_OK):
        raise PermissionError(13, "Permission denied", str(target))
    with tempfile.NamedTemporaryFile(
        dir=target.parent, prefix=f".{target.name}.", suffix=".part", delete=False
    ) as stream:
        try:
            os.chmod(stream.name, _mode(target))
            yield cast(BinaryIO, stream)
            stream.flush()
            os.fsync(stream.fileno())
            os.replace(stream.name, target)
        except BaseException:
            os.unlink(stream.name)
            raise


def _mode(target: Path) -> int:
    if target.exists():
        return target.stat().st_mode & 0o7777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
