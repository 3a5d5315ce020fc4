"""The endpoints of the lifecycle's protocol, below the root of the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from llmrouter_lifecycle import api
from llmrouter_lifecycle.repeats import Claim, Reply, claim
from llmrouter_lifecycle.rest import handle
from llmrouter_server.answering import LIFECYCLE_CHAT, answer_body
from llmrouter_server.asgi import Request, Response
from llmrouter_server.errors import GatewayError
from llmrouter_server.lifecycle.mount import Lifecycle, caller_of, told_as_the_protocol_does
from llmrouter_server.lifecycle.threads import Kind
from llmrouter_server.parsing import encode
from llmrouter_server.routes import Handler, Route
from llmrouter_server.streaming import EVENT_STREAM
from llmrouter_server.unavailable import RETRY_SECONDS

# Under which a whole streamed answer is kept for who repeats the request; no other answer has it.
_STREAM = "event_stream"


def lifecycle_routes() -> list[Route]:
    """Return the routes of the protocol; those with an action, as in ``{id}:render``, come first."""
    routes = sorted(api.ROUTES, key=lambda route: ":" not in route.path)
    return [
        Route(
            route.method,
            route.path,
            chat if route.path == api.CHAT else _handler(route),
            scope=route.scope,
            counts=True,
        )
        for route in routes
    ]


def _handler(route: api.Route) -> Handler:
    kind: Kind = "slow" if route.slow else "operations"

    async def operation(request: Request) -> Response:
        settings = request.gateway.settings
        body = await request.json_body(settings.max_job_bytes if route.large else None, optional=True)
        lifecycle = lifecycle_of(request)
        large = len(body) > settings.max_request_bytes
        status, answer, code = await lifecycle.threads.run(
            "large" if large else kind,
            _answer,
            lifecycle,
            request,
            body,
            owners=request.gateway.sharers(request.key),
        )
        request.entry.error = code
        response = Response(answer, status)
        if status == 503:
            response.headers.append((b"retry-after", b"%d" % RETRY_SECONDS))
        return response

    return operation


def _answer(lifecycle: Lifecycle, request: Request, body: bytes) -> tuple[int, bytes, str | None]:
    """Do what a request asks for; returns the status, the JSON, and the code of an error."""
    reply = handle(
        lifecycle.api,
        caller_of(request.key),
        request.method,
        request.path,
        dict(parse_qsl(request.query.decode("latin-1"))),
        body,
        _idempotency_key(request),
    )
    code = None if reply.status < 400 else reply.body["error"]["code"]
    return reply.status, encode(reply.body), code


async def chat(request: Request) -> Response:
    """Answer a conversation: by an LLM, a router, or a version of a router."""
    body = await request.json_body()
    key = _idempotency_key(request)
    if key is None:
        return _in_form(await answer_body(request, LIFECYCLE_CHAT, body))
    lifecycle = lifecycle_of(request)
    with told_as_the_protocol_does():
        claimed = await lifecycle.threads.run(
            "operations",
            claim,
            lifecycle.home.database,
            caller_of(request.key),
            request.path,
            {},
            body,
            key,
            owners=request.gateway.sharers(request.key),
        )
    if isinstance(claimed, Reply):
        return _repeated(claimed)
    keeping = Keeping(lifecycle, claimed)
    try:
        response = _in_form(await answer_body(request, LIFECYCLE_CHAT, body))
    except GatewayError as error:
        if error.status in (400, 404):
            await keeping.keep(Reply(error.status, error.told))
        else:
            await keeping.release()
        raise
    except BaseException:
        keeping.end()
        raise
    else:
        return await keeping.response(response)


class Keeping:
    """Keeps the answer to a request that may be repeated, or lets the request be done again."""

    def __init__(self, lifecycle: Lifecycle, claimed: Claim) -> None:
        self._lifecycle = lifecycle
        self._claim = claimed
        self._open = True

    async def keep(self, reply: Reply) -> None:
        """Keep an answer, even where its client goes away meanwhile."""
        self._open = False
        await asyncio.shield(self._lifecycle.threads.run("operations", self._claim.keep, reply))

    async def release(self) -> None:
        """Let the request be done again."""
        self._open = False
        await asyncio.shield(self._lifecycle.threads.run("operations", self._claim.release))

    def end(self) -> None:
        """Let the request be done again, unless its answer was kept; waits for nothing."""
        if self._open:
            self._open = False
            self._lifecycle.threads.begin("operations", self._claim.release)

    async def response(self, response: Response) -> Response:
        """Keep what succeeded; a stream as soon as all of it was sent."""
        if response.status >= 400:
            # The LLM refused it, and may not do so again.
            await self.release()
        elif response.stream is None:
            await self.keep(Reply(response.status, msgspec.json.decode(response.body)))
        else:
            close = response.close
            response.stream = self._stream(response.body, response.stream)

            def end() -> None:
                self.end()
                if close is not None:
                    close()

            response.close = end
        return response

    async def _stream(self, first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        parts = [first]
        async for part in rest:
            parts.append(part)
            yield part
        if b"data: [DONE]" in parts[-1]:
            await self.keep(Reply(200, {_STREAM: b"".join(parts).decode("utf-8", "replace")}))


def _repeated(reply: Reply) -> Response:
    told: Any = reply.body
    if isinstance(told, dict) and _STREAM in told:
        return Response(told[_STREAM].encode(), reply.status, EVENT_STREAM)
    return Response(encode(told), reply.status)


def _in_form(response: Response) -> Response:
    """Return an answer whose error, which may be an upstream's, has the form of the protocol's errors."""
    if response.status < 400:
        return response
    try:
        found = msgspec.json.decode(response.body).get("error")
    except (msgspec.DecodeError, AttributeError):
        found = None
    told = found if isinstance(found, dict) else {"message": found or "the LLM refused the request"}
    error = GatewayError(
        response.status,
        str(told.get("message") or "the LLM refused the request"),
        param=told.get("param"),
        code=told.get("code"),
        type=told.get("type"),
    )
    response.body = error.body
    return response


def _idempotency_key(request: Request) -> str | None:
    found = request.headers.get(b"idempotency-key")
    return None if found is None or request.method != "POST" else found.decode("latin-1")


def lifecycle_of(request: Request) -> Lifecycle:
    """Return the lifecycle that a request is for."""
    found = request.gateway.lifecycle
    if found is None:
        raise RuntimeError("no lifecycle is served")  # its routes are there only where it is
    return found
