"""The ASGI application: a request comes in, is checked, answered, counted and logged."""

from __future__ import annotations

import asyncio
import logging
import sys
from time import perf_counter
from typing import cast

from llmrouter_server import tracing
from llmrouter_server.access_log import AccessLog, Entry, now
from llmrouter_server.asgi import (
    ClientGone,
    Receive,
    Request,
    Response,
    Scope,
    Send,
    error_response,
    request_id,
)
from llmrouter_server.auth import allow, is_loopback_host, is_loopback_origin
from llmrouter_server.errors import GatewayError, retry_after
from llmrouter_server.gateway import Gateway
from llmrouter_server.metrics import GATHER_SECONDS
from llmrouter_server.peers import CUT, Peers
from llmrouter_server.routes import Route, Routes
from llmrouter_server.shares import Shares
from llmrouter_server.unavailable import unavailable

logger = logging.getLogger(__name__)

# What the log says of a request whose client went away; never sent.
CLIENT_GONE = 499
# Methods that change nothing.
_SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))


class Application:
    """The ASGI application of one worker.

    Args:
        gateway: What requests are answered with.
        routes: Which handler answers which.
        log: The access log.
        most_connections: Clients may have so many open at most; None: no bound.

    Attributes:
        gateway: May be replaced at any time; a request keeps the one that it began with.
        peers: Connections of clients.
    """

    def __init__(
        self, gateway: Gateway, routes: Routes, log: AccessLog, most_connections: int | None = None
    ) -> None:
        self.peers = Peers(most_connections)
        self._routes = routes
        self._log = log
        self._metrics = gateway.metrics
        self.serve(gateway)
        self._places = Shares()
        self._tasks: set[asyncio.Task[object]] = set()
        self._ending = False
        self._finished: list[Entry] = []

    def serve(self, gateway: Gateway) -> None:
        """Answer what comes from now on with another gateway, and count by its names."""
        self.gateway = gateway
        self._metrics.label_by((decider.name for decider in gateway.routers), gateway.candidates)

    def tell_metrics(self) -> None:
        """Bring what was gathered into the metrics, which a worker does for the others to read."""
        self._count_finished()
        self._metrics.in_flight.set(len(self._tasks))
        self._metrics.flush()

    def end_running(self) -> None:
        """End what is still running, because the time for it is over."""
        self._ending = True
        for task in self._tasks:
            task.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as the server calls it."""
        if scope["type"] != "http":
            raise RuntimeError(f"{scope['type']} is not served")
        entry = Entry(now(), request_id(), scope["method"], scope["path"])
        request = Request(scope, receive, self.gateway, entry)
        answer = Answering(send, entry)
        task = cast("asyncio.Task[object]", asyncio.current_task())
        self._tasks.add(task)
        with tracing.request_span(entry.method, request.headers) as span:
            try:
                await self._answer(request, answer)
            except ClientGone:
                entry.status = CLIENT_GONE
            except asyncio.CancelledError:
                if not request.gone and not self._ending:
                    raise
                await self._cancelled(request, answer, task)
            finally:
                request.end_watch()
                self._tasks.discard(task)
                if cut := scope.get("state", {}).get(CUT):
                    entry.error = cut
                self._finish(request, answer)
                if span is not None:
                    span.update_name(f"{entry.method} {entry.route}")
                    span.set_attribute("http.response.status_code", entry.status)

    async def _answer(self, request: Request, answer: Answering) -> None:
        response: Response | None = None
        try:
            try:
                response = await self._handle(request, answer)
            except GatewayError as error:
                request.entry.error = error.code
                response = error_response(error)
            except (ClientGone, asyncio.CancelledError):
                raise
            except Exception as error:  # a bug: the client gets a 500, the log the cause
                away = unavailable(error)
                if away is None:
                    logger.exception("%s %s failed", request.id, request.path, exc_info=error)
                else:
                    # Its first line, for the others may quote a statement.
                    logger.error("%s: the database is away: %s", request.id, str(error).partition("\n")[0])
                failed = away or GatewayError(
                    500, f"The gateway failed; its log tells more of {request.id}.", code="internal_error"
                )
                request.entry.error = failed.code
                response = error_response(failed)
            await answer.send(response)
        finally:
            if response is not None and response.close is not None:
                response.close()

    async def _handle(self, request: Request, answer: Answering) -> Response:
        route = self._routes.find(request)
        request.entry.route = route.path
        self._check_access(request, route)
        if not route.counts:
            return await route.handler(request)
        self._take_place(request, answer)
        return await route.handler(request)

    def _take_place(self, request: Request, answer: Answering) -> None:
        gateway, key = request.gateway, request.key
        owners = gateway.sharers(key)
        places = gateway.settings.max_concurrency
        if not self._places.may_take(places, owners):
            whose = "The gateway" if key is None or self._places.taken >= places else f"The key {key.name!r}"
            raise GatewayError(
                429,
                f"{whose} has as many requests in work as it may; try again.",
                code="too_many_requests",
                headers=retry_after(1),
            )
        self._places.take(owners)
        answer.owners = owners

    def _check_access(self, request: Request, route: Route) -> None:
        keys = request.gateway.keys
        if keys is None:
            if not is_loopback_host(request.headers.get(b"host")):
                raise GatewayError(
                    403,
                    "A gateway without keys answers to localhost alone; it gets other names by --keys-file.",
                    code="host_not_allowed",
                )
            origin = request.headers.get(b"origin")
            if origin is not None and request.method not in _SAFE_METHODS and not is_loopback_origin(origin):
                raise GatewayError(
                    403,
                    "A gateway without keys takes nothing from pages of other sites.",
                    code="origin_not_allowed",
                )
        elif route.scope is not None:
            request.key = key = keys.identify(request.headers.get(b"authorization"))
            request.entry.key = key.name
            allow(key, route.scope)

    async def _cancelled(self, request: Request, answer: Answering, task: asyncio.Task[object]) -> None:
        if sys.version_info >= (3, 11):
            task.uncancel()
        if request.gone:
            if not answer.started:
                request.entry.status = CLIENT_GONE
            request.entry.error = "client_gone"
            return
        error = GatewayError(
            503, "The gateway is shutting down.", code="shutting_down", headers=retry_after(1)
        )
        request.entry.error = error.code
        await answer.end(error)

    def _finish(self, request: Request, answer: Answering) -> None:
        entry = request.entry
        if answer.owners is not None:
            self._places.give_back(answer.owners)
        seconds = perf_counter() - request.started
        entry.ms = round(seconds * 1000, 3)
        if answer.started:
            entry.first_byte_ms = round((answer.started - request.started) * 1000, 3)
        if not self._finished:
            asyncio.get_running_loop().call_later(GATHER_SECONDS, self._count_finished)
        self._finished.append(entry)

    def _count_finished(self) -> None:
        """Count and log what finished; many at once, which takes a third of the time."""
        finished, self._finished = self._finished, []
        if finished:
            self._metrics.count(finished)
            self._log.write(finished)


class Answering:
    """The sending of one answer.

    Attributes:
        owners: For whom a place was taken among the requests in work; None: none was.
        started: When the answer began, by `perf_counter`; 0 before.
    """

    def __init__(self, send: Send, entry: Entry) -> None:
        self._send = send
        self._entry = entry
        self.owners: tuple[str, ...] | None = None
        self.started = 0.0
        self._streams = False

    async def send(self, response: Response) -> None:
        """Send an answer; a client that does not take it is cut by the protocol."""
        entry = self._entry
        entry.status = response.status
        headers = [
            (b"content-type", response.content_type),
            (b"x-llmrouter-request-id", entry.id.encode()),
            *response.headers,
        ]
        stream = response.stream
        if stream is None:
            headers.append((b"content-length", b"%d" % len(response.body)))
        else:
            self._streams = True
        self.started = perf_counter()
        await self._send({"type": "http.response.start", "status": response.status, "headers": headers})
        entry.bytes_out = len(response.body)
        await self._send(
            {"type": "http.response.body", "body": response.body, "more_body": stream is not None}
        )
        if stream is None:
            return
        async for part in stream:
            entry.bytes_out += len(part)
            await self._send({"type": "http.response.body", "body": part, "more_body": True})
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def end(self, error: GatewayError) -> None:
        """End the answer with an error, as far as it has come."""
        if not self.started:
            await self.send(error_response(error))
        elif self._streams:
            await self._send({"type": "http.response.body", "body": error.event, "more_body": False})
