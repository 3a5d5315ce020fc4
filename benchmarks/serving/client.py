"""A client that sees what comes over the wire, with little of its own in between."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import NamedTuple

from serving.load import PATH
from serving.processes import HOST


class Answer(NamedTuple):
    """The status and the body of an answer."""

    status: int
    body: bytes


class Connection:
    """A connection that is kept, and opened again after it was closed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> Answer:
        """Send a request and read its answer, which has to say its length.

        Raises:
            OSError: The connection was refused or broke.
            EOFError: It was closed before the answer was whole.
        """
        if self._streams is None:
            self._streams = await asyncio.open_connection(HOST, self._port)
        reader, writer = self._streams
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(length)
        if b"\r\nconnection: close" in head:
            self.close()
        return Answer(int(head.split(b" ", 2)[1]), body)

    def close(self) -> None:
        """Close it."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def requests_of(bodies: Path, key: str) -> list[bytes]:
    """The requests, as they are sent, of a file with a body a line."""
    return [_request(body, key) for body in bodies.read_bytes().splitlines()]


def _request(body: bytes, key: str) -> bytes:
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {key}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
