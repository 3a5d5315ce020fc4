"""Write files whole or not at all; read those of a configuration, or what they held before."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast


class Stamp(NamedTuple):
    """What changes when a file does.

    Attributes:
        changed: When it was last written, in nanoseconds.
        inode: Its number in the file system.
        size: In bytes.
    """

    changed: int
    inode: int
    size: int


def stamp_of(path: str | os.PathLike[str] | int) -> Stamp | None:
    """Return the stamp of a file; None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return Stamp(found.st_mtime_ns, found.st_ino, found.st_size)


class _Reading:
    """What this process reads in place of files, and which files it reads."""

    held: Mapping[str, bytes] = {}
    noted: dict[str, Stamp] | None = None


def read_file(path: str | os.PathLike[str], most: int = -1) -> bytes:
    """Read a file of a configuration: the configuration itself, data, a checkpoint.

    Args:
        path: The file.
        most: Bytes to read at most; -1: all.

    Raises:
        OSError: It cannot be read.
    """
    name = os.path.abspath(path)
    held = _Reading.held.get(name)
    if held is not None:
        return held[:most] if most >= 0 else held
    with open(path, "rb") as stream:
        if _Reading.noted is not None and (stamp := stamp_of(stream.fileno())) is not None:
            _Reading.noted.setdefault(name, stamp)
        return stream.read(most)


def hold_files(held: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """Have `read_file` return these contents, by absolute path, in place of files; returns those before.

    A process that restarts with a configuration that was accepted before gets its contents this way.
    """
    before, _Reading.held = _Reading.held, dict(held)
    return before


def holds_files() -> bool:
    """Whether anything is held in place of files."""
    return bool(_Reading.held)


def held_file(path: str | os.PathLike[str]) -> bytes | None:
    """Return what is held in place of a file; None: nothing is."""
    return _Reading.held.get(os.path.abspath(path))


@contextlib.contextmanager
def noting_files() -> Iterator[dict[str, Stamp]]:
    """Note which files `read_file` reads within a block, by absolute path."""
    before, _Reading.noted = _Reading.noted, {}
    try:
        yield _Reading.noted
    finally:
        _Reading.noted = before


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
        except BaseException:  # an interrupt too must not leave the file behind; it goes on
            os.unlink(stream.name)
            raise
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Have a folder remember after a power cut what was renamed in it, where the system can."""
    # Windows opens no folders, and some file systems do not sync them: the file itself is whole anyway.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _mode(target: Path) -> int:
    if target.exists():
        return target.stat().st_mode & 0o7777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
