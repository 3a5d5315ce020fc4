"""The access log: one JSON object a request, never a word of its content."""

from __future__ import annotations

import logging
import os
import queue
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import BinaryIO

import msgspec

logger = logging.getLogger(__name__)

# Batches that wait while whoever reads the log is slow; later ones are dropped, and counted.
_WAITING = 100


class Entry(msgspec.Struct):
    """What is logged of a request.

    Attributes:
        time: When it arrived.
        id: Of the request.
        key: Name of the key.
        method: Such as ``POST``.
        path: As the client sent it.
        status: Of the answer; 499: the client went away before it.
        router: Name of the router that decided.
        model: The candidate that answered.
        attempts: Upstreams called.
        stream: Whether the answer was streamed.
        error: Code of the error; of a stream that broke too.
        route: The route that it took, such as ``/v1/models/{id...}``.
        decide_ms: Time until the decision was there.
        upstream_ms: Time from the call of the candidate that answered to the first part of its answer.
        first_byte_ms: Time until the answer began.
        ms: Time until it ended.
        bytes_in: Size of the request's body.
        bytes_out: Size of the answer's body.
        prompt_tokens: As the upstream counted them.
        completion_tokens: As the upstream counted them.
        cost: In USD; null is unknown.
    """

    time: datetime
    id: str
    method: str
    path: str
    key: str | None = None
    status: int = 0
    router: str | None = None
    model: str | None = None
    attempts: int = 0
    stream: bool = False
    error: str | None = None
    route: str = "none"
    decide_ms: float | None = None
    upstream_ms: float | None = None
    first_byte_ms: float | None = None
    ms: float = 0.0
    bytes_in: int = 0
    bytes_out: int = 0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost: float | None = None


def now() -> datetime:
    """Return the time, for an entry."""
    return datetime.now(timezone.utc)


class AccessLog:
    """Writes entries in a thread, so that a full disk or a slow reader holds up no request.

    Args:
        path: File to append to; None: standard error.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self._path = Path(path) if path is not None else None
        self._stream = self._open()
        self._encode = msgspec.json.Encoder().encode
        self._batches: queue.Queue[bytes | Callable[[], None] | None] = queue.Queue(_WAITING)
        self._dropped = 0
        # Since it could not be written: lines that were lost, and whether one was written in part.
        self._failing = self._half = False
        self._lost = 0
        self._thread = threading.Thread(target=self._write, name="access log", daemon=True)
        self._thread.start()

    def write(self, entries: Sequence[Entry]) -> None:
        """Log some entries."""
        encode = self._encode
        if not self._put(b"\n".join([*(encode(entry) for entry in entries), b""])):
            self._dropped += len(entries)

    def reopen(self) -> None:
        """Open the file anew, as after it was rotated."""
        if self._path is not None:
            self._put(self._reopen)

    def close(self) -> None:
        """End, once all is written."""
        try:
            self._batches.put(None, timeout=1)
        except queue.Full:  # nobody reads; the thread is a daemon
            return
        self._thread.join(timeout=5)

    def _put(self, item: bytes | Callable[[], None]) -> bool:
        try:
            self._batches.put_nowait(item)
        except queue.Full:
            return False
        return True

    def _write(self) -> None:
        while (item := self._batches.get()) is not None:
            try:
                if callable(item):
                    item()
                else:
                    self._append(item)
            except OSError as error:
                if not callable(item):
                    self._lost += item.count(b"\n")
                # Once, not with every batch for as long as the disk is full.
                if not self._failing:
                    logger.error("The access log cannot be written: %s", error)
                self._failing = True
            if self._dropped:
                logger.warning("The access log is slow: %d lines were dropped", self._dropped)
                self._dropped = 0
        self._stream.close()

    def _append(self, lines: bytes) -> None:
        """Write lines, unbuffered, so that those of several workers stay whole in one file."""
        if self._half:
            # What was written of the line before does not spoil this one.
            lines = b"\n" + lines
        while lines:
            written = self._stream.write(lines)
            self._half = not lines[:written].endswith(b"\n")
            lines = lines[written:]
        if self._failing:
            logger.warning("The access log is written again; %d lines were lost", self._lost)
            self._failing, self._lost = False, 0

    def _open(self) -> BinaryIO:
        if self._path is None:
            return open(sys.__stderr__.fileno() if sys.__stderr__ else 2, "wb", buffering=0, closefd=False)
        return self._path.open("ab", buffering=0)

    def _reopen(self) -> None:
        stream = self._open()
        self._stream.close()
        self._stream = stream
