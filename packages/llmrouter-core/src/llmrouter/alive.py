"""Tell whether the process that left something behind still lives, however it ended."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where nobody can remove a file that is open
    fcntl = None  # type: ignore[assignment]


class Alive:
    """A lock in a folder that this process holds until it ends; the system releases it, even after a kill.

    Args:
        folder: Where the processes that are to know of each other keep their locks; created if missing.

    Attributes:
        id: Of this lock, unlike any other.

    Raises:
        OSError: The folder cannot be used, or its file system knows no locks.
    """

    def __init__(self, folder: Path) -> None:
        self.id = uuid.uuid4().hex
        self._folder = folder
        folder.mkdir(mode=0o700, exist_ok=True)
        self._file = os.open(folder / self.id, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            if fcntl is not None:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise

    def lives(self, id: str) -> bool:
        """Whether a lock is still held; the file of one that is not is removed."""
        if id == self.id:
            return True
        path = self._folder / id
        # An id from elsewhere must not name another file.
        if not id.isalnum() or not path.exists():
            return False
        if fcntl is not None:
            try:
                file = os.open(path, os.O_RDWR)
            except FileNotFoundError:
                return False
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            finally:
                os.close(file)
        try:
            path.unlink(missing_ok=True)
        except PermissionError:
            return True
        return False

    def close(self) -> None:
        """Release the lock."""
        if fcntl is not None:
            with contextlib.suppress(OSError):
                (self._folder / self.id).unlink()
        os.close(self._file)
        if fcntl is None:
            with contextlib.suppress(OSError):
                (self._folder / self.id).unlink()
