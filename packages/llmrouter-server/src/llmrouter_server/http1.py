"""A connection to an upstream, over which it is asked one thing after another in HTTP/1.1.

Parsed by httptools, which the server uses as well. A client library takes three times as long for it, a third
of a request's whole time, with what is not needed here: cookies, redirects, forms.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import httptools

# Most bytes that may come without any of the body being among them: a head, or what frames the body.
_FRAMING_BYTES = 64 << 10
# How long the end of an answer is waited for whose last part is there.
_LEAVE_SECONDS = 1.0
# Bytes of an answer that may wait to be taken before the upstream is made to wait.
_WAITING_BYTES = 256 << 10


class HttpError(Exception):
    """A connection cannot be used any more; the message says why."""


class Disconnected(HttpError):
    """It was closed before anything of an answer came."""


class Incomplete(HttpError):
    """It was closed before the answer was complete."""


class Malformed(HttpError):
    """What came is not HTTP as it should be."""


class Reply:
    """What an upstream answers to one request.

    Attributes:
        status: Its HTTP status; 0 until its head is there.
        headers: By lower-case name.
        complete: Whether all of it arrived, taken or not.
    """

    __slots__ = (
        "_connection",
        "_error",
        "_left",
        "_parts",
        "_size",
        "_waiter",
        "complete",
        "headers",
        "status",
    )

    def __init__(self, connection: Connection) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.complete = False
        self._connection: Connection | None = connection
        self._left = False
        self._parts: list[bytes] = []
        self._size = 0
        self._error: HttpError | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def begin(self) -> None:
        """Wait for its head.

        Raises:
            HttpError: It does not come.
        """
        while not self.status:
            if self._error is not None:
                raise self._error
            await self.arrival()

    def take(self) -> bytes:
        """Return what arrived of its body since the last call.

        Raises:
            HttpError: Nothing did, and nothing will.
        """
        if not self._parts:
            if self._error is not None:
                raise self._error
            return b""
        data = b"".join(self._parts)
        self._parts.clear()
        if self._size > _WAITING_BYTES and self._connection is not None:
            self._connection.resume()
        self._size = 0
        return data

    async def arrival(self) -> None:
        """Wait until something arrives, or nothing will any more."""
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def close(self) -> None:
        """Give it up: unless it is complete, the connection ends with it."""
        if self._connection is not None:
            self._connection.close()

    def leave(self) -> None:
        """Have the connection wait for its end, which is all that is to come, to be used again."""
        if self._connection is not None:
            self._left = True
            asyncio.get_running_loop().call_later(_LEAVE_SECONDS, self.close)

    # What follows is for the connection.

    def add(self, data: bytes) -> None:
        """Add a part of its body."""
        if self._left:
            # There was more to come.
            self.close()
            return
        self._parts.append(data)
        self._size += len(data)
        if self._size > _WAITING_BYTES and self._connection is not None:
            self._connection.pause()

    def end(self, error: HttpError | None = None) -> None:
        """Note that nothing more comes; an error says why that is too early."""
        self.complete = error is None
        self._error = error
        self._connection = None

    def wake(self) -> None:
        """Wake who waits for it."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Connection(asyncio.Protocol):
    """A connection, made by the event loop.

    Args:
        idle: Called whenever it can take another request.

    Attributes:
        closed: Whether it cannot be used any more.
        idle_since: By the event loop's time.
    """

    def __init__(self, idle: Callable[[Connection], None]) -> None:
        self.closed = False
        self.idle_since = 0.0
        self._idle = idle
        self._transport: asyncio.Transport
        self._parser = httptools.HttpResponseParser(self)
        self._reply: Reply | None = None
        self._paused = False
        # Of the answer under way: whether all of it came, whether another may follow, and how many bytes came
        # since the last part of its body.
        self._ended = False
        self._keeps = False
        self._framing = 0
        # Whether anything of it came.
        self._answered = False

    def send(self, request: bytes) -> Reply:
        """Send a request, while there is no other under way."""
        self._reply = reply = Reply(self)
        self._ended = self._answered = False
        self._framing = 0
        self._transport.write(request)
        return reply

    def close(self) -> None:
        """Close it, with what is under way."""
        self._fail(Incomplete("it was given up"))

    def pause(self) -> None:
        """Have the upstream wait."""
        if not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Let the upstream go on."""
        if self._paused and not self.closed:
            self._paused = False
            self._transport.resume_reading()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        reply = self._reply
        if reply is None:
            # Nobody asked: whatever it is, no later answer may be taken for it.
            self._fail(Malformed("an answer came without a request"))
            return
        self._answered = True
        self._framing += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self._ended:
                self._fail(Malformed(str(error) or "an upgrade that was not asked for"))
                return
            # All of the answer is there; what follows it is nobody's.
            self._keeps = False
        if self._ended:
            self._end(reply)
        elif self._framing > _FRAMING_BYTES:
            self._fail(Malformed("the head of an answer is too large"))
        if reply.status:
            reply.wake()

    def connection_lost(self, error: Exception | None) -> None:
        """End."""
        reply = self._reply
        why = f"it was closed: {error}" if error else "it was closed"
        if reply is not None and reply.status and error is None and _lasts_until_the_end(reply.headers):
            self._keeps = False
            self._end(reply)
            reply.wake()
        elif reply is not None and self._answered:
            self._fail(Incomplete(why))
        else:
            self._fail(Disconnected(why))

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Refuse a second answer."""
        if self._ended:
            raise Malformed("a second answer follows the first")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; what comes after the body is not looked at."""
        if self._reply is not None and not self._reply.status:
            self._reply.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Note the status; one below 200 only says that another follows."""
        if self._reply is None:
            return
        status = self._parser.get_status_code()
        if status >= 200:
            self._reply.status = status
            self._framing = 0
        else:
            self._reply.headers.clear()

    def on_body(self, data: bytes) -> None:
        """Keep a part of the body."""
        if self._reply is not None:
            self._framing = 0
            self._reply.add(data)

    def on_message_complete(self) -> None:
        """Note that the answer is complete."""
        self._ended = self._reply is not None and self._reply.status > 0
        # Asked here, for the parser forgets it.
        self._keeps = self._parser.should_keep_alive()

    def _end(self, reply: Reply) -> None:
        """Let go of a complete answer, and be there for the next request if that is possible."""
        self._reply = None
        reply.end()
        if not self._keeps or self._transport.get_write_buffer_size():
            self.closed = True
            self._transport.close()
            return
        self.idle_since = asyncio.get_running_loop().time()
        self.resume()
        self._idle(self)

    def _fail(self, error: HttpError) -> None:
        if not self.closed:
            self.closed = True
            self._transport.abort()
        reply, self._reply = self._reply, None
        if reply is not None:
            reply.end(error)
            reply.wake()


def _lasts_until_the_end(headers: dict[bytes, bytes]) -> bool:
    """Whether the end of the connection is the end of an answer with these headers."""
    coding = headers.get(b"transfer-encoding")
    if coding is not None:
        return not coding.strip().lower().endswith(b"chunked")
    return b"content-length" not in headers
