"""HTTP from clients: uvicorn's, with bounds on what it gathers without the application's knowledge."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from llmrouter_server.errors import GatewayError

# Most bytes of a head, or of what frames a body, beyond those that came at once with its beginning.
FRAMING_BYTES = 64 << 10
# How long a client may take for a head.
HEAD_SECONDS = 30.0
# How long what a client still sends is read, so that it gets to read why it was refused.
_LINGER_SECONDS = 1.0


class BoundedProtocol(HttpToolsProtocol):
    """Refuses heads that have no end: of requests, and the fields that may follow a chunked body.

    httptools puts them together as they come, however long that takes.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._framing = 0
        self._advanced = False
        self._in_head = False
        self._head_by: asyncio.TimerHandle | None = None
        self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, and count what leads nowhere."""
        if self._refused:
            return
        self._advanced = False
        super().data_received(data)
        if self._refused:
            return
        if self._in_head and self._head_by is None:
            self._wait_for_head()
        if self._advanced:
            self._framing = 0
            return
        self._framing += len(data)
        if self._framing > FRAMING_BYTES:
            message = "The head of the request is too large."
            self._refuse(431, "Request Header Fields Too Large", "head_too_large", message)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP, in the protocol's own form."""
        self._refuse(400, "Bad Request", "not_http", "The request is not valid HTTP/1.1.")

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._advanced = self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Hand the request on."""
        self._advanced = True
        self._in_head = False
        self._stop_waiting()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Hand a part of its body on."""
        self._advanced = True
        super().on_body(body)

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

    def _refuse(self, status: int, reason: str, code: str, message: str) -> None:
        """Answer with an error if no other answer is under way, and close the connection."""
        self._refused = True
        self._stop_waiting()
        answering: Any = self.cycle  # None before the first request
        if answering is not None and not answering.response_complete:
            if self.pipeline or answering.response_started or not answering.more_body:
                self.transport.abort()
                return
            # What is refused is the body of this request: nothing else may answer it.
            answering.disconnected = True
            answering.message_event.set()
        body = GatewayError(status, message, code=code).body
        head = (
            f"HTTP/1.1 {status} {reason}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.loop.call_later(_LINGER_SECONDS, self.transport.close)
