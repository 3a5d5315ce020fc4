"""Requests and answers between the server and the endpoints: plain ASGI, for a framework costs a quarter."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any

from llmrouter_server.errors import GatewayError
from llmrouter_server.timing import Alarm, TimeLimitError, within

if TYPE_CHECKING:
    from llmrouter_server.access_log import Entry
    from llmrouter_server.auth import Key
    from llmrouter_server.gateway import Gateway

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

JSON = b"application/json"
_WATCH_AFTER_SECONDS = 0.05
# Headers that something here reads; the others are never decoded.
_READ = frozenset(
    (
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"host",
        b"idempotency-key",
        b"origin",
        b"traceparent",
        b"tracestate",
        b"transfer-encoding",
    )
)


class Request:
    """One HTTP request.

    Attributes:
        id: Of this request, in the answer's headers and the access log.
        method: Such as ``POST``.
        path: Such as ``/v1/models``, without escapes.
        query: The parameters of the address, with escapes.
        headers: Those that something here reads, by lower-case name.
        arguments: What the route's pattern found in the path.
        started: When it arrived, by `perf_counter`.
        gateway: What it is answered with; a reload in between changes nothing for it.
        key: Who asks; None where no keys are needed.
        entry: What the access log will say.
        gone: Whether the client went away while its answer was worked on.
    """

    __slots__ = (
        "_alarm",
        "_receive",
        "_task",
        "_watcher",
        "arguments",
        "entry",
        "gateway",
        "gone",
        "headers",
        "id",
        "key",
        "method",
        "path",
        "query",
        "started",
    )

    def __init__(self, scope: Scope, receive: Receive, gateway: Gateway, entry: Entry) -> None:
        self.started = perf_counter()
        self.id = entry.id
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: bytes = scope["query_string"]
        self.headers = {name: value for name, value in scope["headers"] if name in _READ}
        self.arguments: dict[str, str] = {}
        self.gateway = gateway
        self.key: Key | None = None
        self.entry = entry
        self.gone = False
        self._receive = receive
        self._task: asyncio.Task[Any] | None = None
        self._alarm: Alarm | None = None
        self._watcher: asyncio.Task[None] | None = None

    async def json_body(self, limit: int | None = None, *, optional: bool = False) -> bytes:
        """Return the body, which must say that it is JSON, or say nothing and come with a key.

        Args:
            limit: The most bytes it may have; by default as the settings say.
            optional: Whether there may be none; then it is empty.

        Raises:
            GatewayError: It is of another kind, too large, or does not arrive in time.
        """
        if optional and self._has_no_body:
            return b""
        # A page in a browser may send a body of no kind from wherever it is, but no key with it.
        kind = self.headers.get(b"content-type", b"" if self.key is None else JSON)
        if kind != JSON and kind.partition(b";")[0].strip().lower() != JSON:
            raise GatewayError(
                415, "The body must be JSON: send it with 'Content-Type: application/json'.", code="not_json"
            )
        if self.headers.get(b"content-encoding", b"identity") != b"identity":
            raise GatewayError(415, "The body must not be compressed.", code="compressed")
        settings = self.gateway.settings
        if limit is None:
            limit = settings.max_request_bytes
        length = self.headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > limit:
            raise self._too_large(limit)
        message = await self._receive_part(settings.request_seconds)
        body: bytes = message.get("body", b"")
        if not message.get("more_body"):
            self.entry.bytes_in = len(body)
            return body
        parts, size = [body], len(body)
        try:
            with within(settings.request_seconds):
                while message.get("more_body"):
                    message = await self._next_part()
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > limit:
                        raise self._too_large(limit)
        except TimeLimitError:
            raise self._too_slow(settings.request_seconds) from None
        self.entry.bytes_in = size
        return b"".join(parts)

    @property
    def _has_no_body(self) -> bool:
        length = self.headers.get(b"content-length", b"0")
        return length == b"0" and b"transfer-encoding" not in self.headers

    def watch(self) -> None:
        """Cancel the current task when the client goes away; only after the body was read.

        A task that waits for that costs a tenth of a request, so one that is answered at once does without.
        """
        self._task = asyncio.current_task()
        when = asyncio.get_running_loop().time() + _WATCH_AFTER_SECONDS
        self._alarm = Alarm(when, self._begin_watching)
        self._alarm.set()

    def end_watch(self) -> None:
        """Stop watching."""
        if self._alarm is not None:
            self._alarm.clear()
        if self._watcher is not None:
            self._watcher.remove_done_callback(self._left)
            self._watcher.cancel()

    def _begin_watching(self) -> None:
        self._watcher = asyncio.get_running_loop().create_task(self._disconnected())
        self._watcher.add_done_callback(self._left)

    async def _disconnected(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def _left(self, watcher: asyncio.Task[None]) -> None:
        self.gone = True
        if self._task is not None:
            self._task.cancel()

    async def _receive_part(self, seconds: float) -> Message:
        try:
            with within(seconds):
                return await self._next_part()
        except TimeLimitError:
            raise self._too_slow(seconds) from None

    async def _next_part(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        return message

    def _too_large(self, limit: int) -> GatewayError:
        # What is still to come of the body is not waited for.
        return GatewayError(
            413,
            f"The body is larger than {limit} bytes.",
            code="body_too_large",
            headers={"connection": "close"},
        )

    def _too_slow(self, seconds: float) -> GatewayError:
        return GatewayError(
            408,
            f"The body did not arrive within {seconds:g} s.",
            code="body_too_slow",
            headers={"connection": "close"},
        )


class ClientGone(Exception):
    """The client closed the connection; nobody waits for an answer."""


@dataclass(slots=True)
class Response:
    """An answer.

    Attributes:
        body: The whole body.
        status: HTTP status.
        content_type: Of the body.
        headers: Beside the usual ones.
        stream: What follows the body, for a streamed answer.
        close: Called at the end, whatever happened.
    """

    body: bytes
    status: int = 200
    content_type: bytes = JSON
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    stream: AsyncIterator[bytes] | None = None
    close: Callable[[], None] | None = None


def error_response(error: GatewayError) -> Response:
    """Return the answer that an error is."""
    headers = [(name.encode(), value.encode()) for name, value in error.headers.items()]
    return Response(error.body, error.status, JSON, headers)


def request_id() -> str:
    """Return a new id for a request."""
    # It is no secret, and need not be as hard to guess as one.
    return f"req_{random.getrandbits(96):024x}"
