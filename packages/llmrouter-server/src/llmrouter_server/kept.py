"""The configuration that was last accepted, as its files were then."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from llmrouter.files import Stamp, stamp_of

logger = logging.getLogger(__name__)

# Larger files are not kept, nor more than this of all together: a worker that starts anew reads them again.
FILE_BYTES = 16 << 20
ALL_BYTES = 64 << 20


class KeptFiles:
    """What the files of the last accepted configuration held, for workers that start later."""

    def __init__(self) -> None:
        self._stamps: dict[str, Stamp] = {}
        self._contents: dict[str, bytes] = {}

    def accept(self, stamps: Mapping[str, Stamp], whole: bool) -> None:
        """Keep the files of a configuration that a worker has accepted.

        Args:
            stamps: By path, as they were when the worker read them; one that has changed since is not kept.
            whole: Whether these are all; else what is kept of others stays.
        """
        if not whole:
            stamps = {**self._stamps, **stamps}
        contents: dict[str, bytes] = {}
        left = ALL_BYTES
        for path, stamp in stamps.items():
            content = self._contents.get(path) if self._stamps.get(path) == stamp else None
            if content is None and stamp.size <= min(FILE_BYTES, left):
                content = _read(path, stamp)
            if content is not None:
                contents[path] = content
                left -= len(content)
        self._stamps, self._contents = dict(stamps), contents

    def changed(self) -> dict[str, bytes]:
        """Return what files held that have changed since, by path."""
        return {
            path: content for path, content in self._contents.items() if stamp_of(path) != self._stamps[path]
        }


def _read(path: str, stamp: Stamp) -> bytes | None:
    try:
        content = Path(path).read_bytes()
    except OSError:
        return None
    return content if stamp_of(path) == stamp else None
