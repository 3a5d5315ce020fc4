"""The way of a request for an answer: who may answer, and the calls of upstreams until one does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from llmrouter.constraints import KEY
from llmrouter_server import tracing
from llmrouter_server.address import Address
from llmrouter_server.asgi import ClientGone, Request, Response
from llmrouter_server.call import Call
from llmrouter_server.candidates import Candidate
from llmrouter_server.choosing import choose
from llmrouter_server.parsing import (
    Asked,
    ChatAsked,
    LifecycleChatAsked,
    TextAsked,
    client_fields,
    parser_of,
)
from llmrouter_server.plain import plain_answer
from llmrouter_server.requirements import Demand
from llmrouter_server.streaming import streamed_answer
from llmrouter_server.upstream import Fault, Refusal


@dataclass(frozen=True)
class Kind:
    """A kind of request for an answer.

    Attributes:
        parse: Reads the body.
        address: Where a candidate takes it.
    """

    parse: Callable[[bytes], Asked]
    address: Callable[[Candidate], Address]


CHAT = Kind(parser_of(ChatAsked), lambda candidate: candidate.chat)
LIFECYCLE_CHAT = Kind(parser_of(LifecycleChatAsked), lambda candidate: candidate.chat)
TEXT = Kind(parser_of(TextAsked), lambda candidate: candidate.completions)


async def chat_completions(request: Request) -> Response:
    """Answer a conversation."""
    return await answer(request, CHAT)


async def completions(request: Request) -> Response:
    """Answer a prompt."""
    return await answer(request, TEXT)


async def answer(request: Request, kind: Kind) -> Response:
    """Answer a request: by the candidate chosen for it, or by the next choice where that one fails.

    Raises:
        GatewayError: The request is wrong, nobody can answer it, or all who could failed.
    """
    return await answer_body(request, kind, await request.json_body())


async def answer_body(request: Request, kind: Kind, body: bytes) -> Response:
    """Do as `answer` does, once the body is there."""
    gateway = request.gateway
    asked = kind.parse(body)
    fields = client_fields(body)
    request.watch()
    request.entry.stream = bool(asked.stream)
    priced = request.key is not None and request.key.budget_usd is not None
    demand = Demand(asked, len(body), priced)
    choice = await choose(request, asked, demand)
    # It was for the router.
    fields.pop(KEY, None)
    call = Call(request, asked, fields, demand, choice.decision)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + gateway.settings.total_seconds
    failed: tuple[str, Fault] | None = None
    for name in choice.order():
        if call.attempts == gateway.settings.max_attempts or (call.attempts and loop.time() >= deadline):
            break
        if request.gone:
            # It left in the very moment in which a time limit ended the call before.
            raise ClientGone
        candidate = gateway.candidates[name]
        try:
            await call.begin(candidate, deadline)
            response = await _attempt(call, kind.address(candidate), deadline)
            if priced:
                await call.settled()
            return response
        except Fault as fault:
            call.failed(fault)
            failed = name, fault
    if failed is None:
        raise RuntimeError("no candidate was tried")  # a choice has one at least
    raise failed[1].error(failed[0])


async def _attempt(call: Call, address: Address, deadline: float) -> Response:
    """Call the candidate whose turn it is.

    Where a budget pays for it, the call goes on for a while when the client leaves: what it uses is paid for.

    Returns:
        The answer, or the error of an upstream that refused the request.

    Raises:
        Fault: It failed before the first part of its answer.
    """
    if not call.reads_on:
        return await _answered(call, address, deadline)
    work = asyncio.get_running_loop().create_task(_answered(call, address, deadline))

    def left() -> None:
        if work.cancelled() or work.exception() is not None:
            call.settle()
        elif (close := work.result().close) is not None:
            close()

    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        gateway = call.request.gateway
        gateway.upstreams.reading_on.begin(work, gateway.settings.leave_seconds, left)
        raise


async def _answered(call: Call, address: Address, deadline: float) -> Response:
    gateway = call.request.gateway
    answer = None
    try:
        with tracing.span("upstream", {"llmrouter.model": call.candidate.name}):
            answer = await gateway.upstreams.call(
                call.candidate, address, call.body(), call.headers(), gateway.settings, deadline, call.sending
            )
            finish = streamed_answer if call.asked.stream else plain_answer
            return await finish(call, answer)
    except Refusal as refusal:
        call.release()
        call.request.entry.error = "upstream_refused"
        return Response(refusal.body, refusal.status)
    except BaseException as error:  # a cancelled call is settled too; it goes on
        if answer is not None:
            answer.close()
        if not call.sent or (answer is None and isinstance(error, Fault) and error.kind != "timeout"):
            call.release()
        else:
            # It may have worked for it.
            call.settle()
        raise
