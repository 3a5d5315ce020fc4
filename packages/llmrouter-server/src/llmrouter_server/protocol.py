"""HTTP from clients: uvicorn's protocol, with bounds on what clients send, keep open and leave unread."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from llmrouter_server.errors import GatewayError
from llmrouter_server.peers import CUT, peer_of

if TYPE_CHECKING:
    from llmrouter.gateway_settings import Settings

# Most bytes of a head, or of what frames a body, beyond those that came at once with its beginning.
FRAMING_BYTES = 64 << 10
# Most headers of a request, and most requests that wait on one connection for the answer before theirs.
HEADERS = 256
PIPELINED = 32
# How long a client may take for a head.
HEAD_SECONDS = 30.0
# What a client has to take of a waiting answer within `send_seconds`, unless less is left.
SEND_BYTES = 16 << 10
# How often connections are looked at, in ticks of the server, of a tenth of a second each.
CHECK_TICKS = 2
# How long what a client still sends is read, so that it gets to read why it was refused.
_LINGER_SECONDS = 1.0
# A client that ends its side so soon after a request may still wait for the answer; later it is gone.
_HALF_CLOSED_SECONDS = 1.0
_PROBE = b"HTTP/1.1 100 Continue\r\n\r\n"
# A comment between two events, as a chunk.
_STREAM_PROBE = b"3\r\n:\n\n\r\n"


class BoundedProtocol(HttpToolsProtocol):
    """Refuses what has no end, and cuts clients that do not read.

    httptools collects heads for as long as they come, and uvicorn waits forever for a client to read.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.app_state = {}
        self._framing = 0
        self._advanced = False
        self._in_head = False
        self._head_by: asyncio.TimerHandle | None = None
        self._refused = False
        self._peer: str | None = None
        # Time by which more has to be taken of what waits to be sent, and how much waited then.
        self._take_by = 0.0
        self._waiting = 0
        self._began = 0.0
        self._half_closed = False
        # Whether the request asks for another protocol, such as HTTP/2, and its body is still to come.
        self._upgrades = False

    @property
    def _application(self) -> Any:
        return self.config.app

    @property
    def _settings(self) -> Settings:
        settings: Settings = self._application.gateway.settings
        return settings

    @property
    def _answering(self) -> bool:
        cycle: Any = self.cycle  # None before the first request
        return cycle is not None and (not cycle.response_complete or bool(self.pipeline))

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request, unless there are too many connections."""
        super().connection_made(transport)
        self._peer = peer_of(self.client)
        problem = self._application.peers.refusal(self._peer, self._settings)
        if problem is None:
            self._wait_for_head()
        else:
            self._refuse(429, "Too Many Requests", "too_many_connections", problem, linger=0)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._stop_waiting()
        if self._peer is not None:
            self._application.peers.left(self._peer)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, and count what leads nowhere."""
        if self._refused:
            return
        self._advanced = False
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            # Such as TLS.
            self._refuse(400, "Bad Request", "not_http", "The request is not valid HTTP/1.1.")
            return
        except httptools.HttpParserUpgrade as upgrade:
            self._stay(data[upgrade.args[0] :])
        if self._head_by is None and (self._in_head or not self._answering):
            # Bytes that begin no request, as empty lines, may not keep a connection open for ever.
            self._wait_for_head()
        if self._advanced:
            self._framing = 0
            return
        self._framing += len(data)
        if self._framing > FRAMING_BYTES:
            message = "The head of the request is too large."
            self._refuse(431, "Request Header Fields Too Large", "head_too_large", message)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep a client that has only ended its own side; returns whether to."""
        cycle: Any = self.cycle
        if self._refused or self._in_head or not self._answering or cycle.more_body:
            return False
        if cycle.response_started and self.loop.time() - self._began > _HALF_CLOSED_SECONDS:
            return False
        self._half_closed = True
        cycle.keep_alive = False
        return True

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._advanced = self._in_head = True
        super().on_message_begin()
        self.scope["state"] = self.app_state

    def on_headers_complete(self) -> None:
        """Hand the request on."""
        if self._refused:
            return
        self._advanced = True
        self._in_head = False
        self._stop_waiting()
        if len(self.headers) > HEADERS:
            self._refuse(
                431,
                "Request Header Fields Too Large",
                "head_too_large",
                f"The request has more than {HEADERS} headers.",
            )
        elif len(self.pipeline) >= PIPELINED:
            self._refuse(429, "Too Many Requests", "too_many_requests", "Too many requests wait.")
        else:
            self._began = self.loop.time()
            self._upgrades = self.parser.should_upgrade()
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Hand a part of its body on."""
        if not self._refused:
            self._advanced = True
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that a request is complete."""
        if not self._refused and not self._upgrades:
            super().on_message_complete()

    def _stay(self, rest: bytes) -> None:
        """Go on with HTTP/1.1 after a request for another protocol, whose body httptools leaves unread."""
        cycle: Any = self.cycle
        if self._refused or not cycle.more_body:
            return
        # The connection ends with this request: what follows its body is not read.
        cycle.keep_alive = False
        framing = [
            name + b": " + value
            for name, value in self.headers
            if name in (b"content-length", b"transfer-encoding")
        ]
        self._upgrades = False
        self.parser = httptools.HttpRequestParser(_Body(self))
        self.parser.feed_data(b"\r\n".join([b"POST / HTTP/1.1", *framing, b"", rest]))

    def check(self, now: float) -> None:
        """Cut a client that takes nothing of its answer, or has left; called several times a second.

        Args:
            now: The event loop's time.
        """
        if self._half_closed:
            self._look_for_reset()
        waiting = self.transport.get_write_buffer_size()
        # While an answer goes on and its client keeps up, more comes to what waits: that tells nothing.
        if not waiting or not (self.flow.write_paused or self.transport.is_closing() or not self._answering):
            self._take_by = 0.0
        elif not self._take_by or waiting <= self._waiting - SEND_BYTES:
            self._take_by = now + self._settings.send_seconds
            self._waiting = waiting
        elif now >= self._take_by:
            self.app_state[CUT] = "client_too_slow"
            self.transport.abort()

    def _look_for_reset(self) -> None:
        """Find out whether a client that ended its side has left: then it resets what is sent to it."""
        connection: socket.socket | None = self.transport.get_extra_info("socket")
        if connection is not None and connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.transport.abort()
            return
        cycle: Any = self.cycle
        if cycle.response_started:
            # Only streams of events are chunked, and each event is written whole.
            if cycle.chunked_encoding and not cycle.response_complete and not self.flow.write_paused:
                self.transport.write(_STREAM_PROBE)
        elif not self.pipeline and cycle.scope["http_version"] == "1.1":
            self.transport.write(_PROBE)

    def _wait_for_head(self) -> None:
        self._head_by = self.loop.call_later(HEAD_SECONDS, self._late)

    def _stop_waiting(self) -> None:
        if self._head_by is not None:
            self._head_by.cancel()
            self._head_by = None

    def _late(self) -> None:
        self._head_by = None
        if not self._in_head:
            # Nothing was sent at all, so there is nothing to answer.
            self.transport.close()
            return
        self._refuse(408, "Request Timeout", "head_too_slow", f"No head arrived within {HEAD_SECONDS:g} s.")

    def _refuse(
        self, status: int, reason: str, code: str, message: str, linger: float = _LINGER_SECONDS
    ) -> None:
        """Answer with an error if no other answer is under way, and close the connection."""
        self._refused = True
        self._stop_waiting()
        if self._answering:
            cycle: Any = self.cycle
            if self.pipeline or cycle.response_started or not cycle.more_body:
                self.transport.abort()
                return
            # What is refused is the body of this request: nothing else may answer it.
            cycle.disconnected = True
            cycle.message_event.set()
        body = GatewayError(status, message, code=code).body
        head = (
            f"HTTP/1.1 {status} {reason}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.loop.call_later(linger, self.transport.close)


class _Body:
    """Passes on the body of a request, whose head was read by another parser."""

    def __init__(self, protocol: BoundedProtocol) -> None:
        self.on_body = protocol.on_body
        self.on_message_complete = protocol.on_message_complete
