"""What a worker and its supervisor say to each other: lines of JSON over the worker's standard streams."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from typing import TypeVar

import msgspec

from llmrouter.files import Stamp
from llmrouter_server.options import ServeOptions
from llmrouter_server.totals import Family

logger = logging.getLogger(__name__)

# Most bytes of a message.
MESSAGE_BYTES = 256 << 20
# A worker that waits longer for the numbers of the others tells its own.
_TOTAL_SECONDS = 2.0
# A supervisor that leaves so much unread gets no more numbers meanwhile.
_UNREAD_BYTES = 1 << 20

M = TypeVar("M")


class Start(msgspec.Struct, tag=True):
    """To a worker, first: what it serves.

    Attributes:
        options: What the command line asks for.
        files: Contents to use in place of files that changed since the configuration was last accepted.
    """

    options: ServeOptions
    files: dict[str, bytes]


class Total(msgspec.Struct, tag=True):
    """To a worker that asked: the numbers of all.

    Attributes:
        families: The sums.
    """

    families: list[Family]


class Loaded(msgspec.Struct, tag=True):
    """From a worker: it serves what these files say.

    Attributes:
        files: Paths and stamps of what was read; not of what the supervisor gave in place of files.
        whole: Whether all of the configuration was read.
        names: Of routers and LLMs, by which it counts.
        shutdown_seconds: How long it may take to end.
        reloaded: Whether it was told to read them anew.
    """

    files: dict[str, Stamp]
    whole: bool
    names: frozenset[str]
    shutdown_seconds: float
    reloaded: bool = False


class Ready(msgspec.Struct, tag=True):
    """From a worker: it answers requests."""


class Counted(msgspec.Struct, tag=True):
    """From a worker: what it has counted.

    Attributes:
        families: A list of `Family`, decoded only when someone asks.
        asks: Whether the total is asked for.
    """

    families: msgspec.Raw
    asks: bool = False


FromWorker = Loaded | Ready | Counted


class Link(asyncio.Protocol):
    """A worker's end.

    Args:
        write: The file descriptor that the supervisor reads.
        lost: Called when the supervisor is gone.
    """

    def __init__(self, write: int, lost: Callable[[], None]) -> None:
        self._write = write
        self._lost = lost
        self._transport: asyncio.WriteTransport | None = None
        self._buffer = bytearray()
        self._waiting: list[asyncio.Future[Total]] = []

    async def open(self) -> None:
        """Begin to speak and to listen."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(self._write, "wb"))
        # Standard input ends when the supervisor does, however that comes.
        await loop.connect_read_pipe(lambda: self, os.fdopen(0, "rb", closefd=False))

    def close(self) -> None:
        """Say no more."""
        if self._transport is not None:
            self._transport.close()

    def send(self, message: FromWorker) -> None:
        """Send a message, unless the supervisor reads none."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if not isinstance(message, Counted) or transport.get_write_buffer_size() < _UNREAD_BYTES:
            transport.write(msgspec.json.encode(message) + b"\n")

    async def total(self, families: msgspec.Raw) -> Total | None:
        """Return the numbers of all workers; None if the supervisor does not answer."""
        waiting: asyncio.Future[Total] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        self.send(Counted(families, asks=True))
        try:
            return await asyncio.wait_for(waiting, _TOTAL_SECONDS)
        except asyncio.TimeoutError:
            return None
        finally:
            with contextlib.suppress(ValueError):
                self._waiting.remove(waiting)

    def data_received(self, data: bytes) -> None:
        """Read totals."""
        self._buffer += data
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            total = msgspec.json.decode(line, type=Total)
            for waiting in self._waiting:
                if not waiting.done():
                    waiting.set_result(total)

    def connection_lost(self, exc: Exception | None) -> None:
        """Say that the supervisor is gone."""
        self._lost()
