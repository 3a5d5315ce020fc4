"""An answer that comes in parts, as server-sent events."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import msgspec

from llmrouter_server.asgi import Response
from llmrouter_server.call import Call
from llmrouter_server.errors import GatewayError
from llmrouter_server.parsing import NULL, Fields, encode, upstream_fields, with_fields
from llmrouter_server.report import headers_of
from llmrouter_server.sse import DONE, EventSplitter, event_of, split_event
from llmrouter_server.upstream import Answer, Fault

logger = logging.getLogger(__name__)

# No choices, as in the chunk with the tokens.
_NONE = (b"[]", b"null")
EVENT_STREAM = b"text/event-stream"
_ERROR_EVENT = b"event: error\n"
# Proxies must not gather the events.
_HEADERS = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]


async def streamed_answer(call: Call, answer: Answer) -> Response:
    """Wait for the first part of an upstream's answer, and return a response that relays it.

    Raises:
        Fault: The first part does not come, or is an error.
    """
    relay = Relay(call, answer)
    first = await relay.begin()
    return Response(
        first,
        content_type=EVENT_STREAM,
        headers=[*_HEADERS, *headers_of(call.report())],
        stream=relay.rest(),
        close=relay.close,
    )


class Relay:
    """Reads events of an upstream, and writes them for the client.

    The first one with data gets the decision; in each the model is the candidate's name; the rest stays as it
    was.
    """

    def __init__(self, call: Call, answer: Answer) -> None:
        self._call = call
        self._answer = answer
        self._splitter = EventSplitter(call.request.gateway.settings.max_event_bytes)
        self._begun = False
        self._ended = False
        self._broken = False
        self._fault: Fault | None = None

    async def begin(self) -> bytes:
        """Return what there is to write as soon as the first event with data is there.

        Raises:
            Fault: It does not come in time, or is no part of a completion.
        """
        if self._answer.content_type != EVENT_STREAM:
            raise Fault("garbage", "the upstream's answer is not a stream of events", 502)
        while not self._begun:
            written = await self._next()
        self._answer.begun()
        self._call.first_byte()
        return written

    async def rest(self) -> AsyncIterator[bytes]:
        """Yield what follows; an answer that breaks off ends with an event that says so."""
        call = self._call
        try:
            while not self._ended:
                if written := await self._next():
                    yield written
            call.answered()
        except Fault as fault:
            self._broken = True
            call.failed(fault)
            yield _broken(fault).event

    def close(self) -> None:
        """End the call: an answer that did not come to its end ends with the connection.

        Where a budget pays for it, it is read on for a while first: what the client left is paid for too.
        """
        if self._ended or self._broken or not self._call.reads_on:
            self._close()
        else:
            self._call.request.gateway.upstreams.reading_on.begin(
                asyncio.get_running_loop().create_task(self._rest_unseen()),
                self._call.request.gateway.settings.leave_seconds,
                self._close,
            )

    async def _rest_unseen(self) -> None:
        try:
            while not self._ended and self._call.reads_on:
                await self._next()
            self._call.answered()
        except Fault as fault:
            logger.warning("%s: %s", self._call.candidate.name, fault.problem)

    def _close(self) -> None:
        if self._ended:
            self._answer.leave()
        else:
            self._answer.close()
        self._call.settle()

    async def _next(self) -> bytes:
        """Read what arrived, and return what there is to write of it."""
        if self._fault is not None:
            raise self._fault
        data = await self._answer.part()
        events = self._splitter.feed(data) if data else self._splitter.end()
        if not data and not events:
            raise Fault("broken", "the upstream's answer ended before it was complete", 502)
        written = []
        try:
            for event in events:
                written.append(self._rewritten(event))
                if self._ended:
                    break
            if self._splitter.too_large and not self._ended:
                raise Fault("garbage", "an event of the upstream's answer is too large", 502)
        except Fault as fault:
            if not self._begun:
                raise
            # What came before it is written first.
            self._fault = fault
        return b"".join(written)

    def _rewritten(self, event: bytes) -> bytes:
        others, data = split_event(event)
        if not others.isascii():
            others = others.decode("utf-8", "replace").encode()
        if data is None:
            # A comment keeps the connection alive; before the first data the answer has not begun.
            return others + b"\n" if self._begun and others else b""
        if data == DONE:
            if not self._begun:
                raise Fault("garbage", "the upstream's answer is empty", 502)
            self._ended = True
            return event_of(data, others)
        try:
            fields = upstream_fields(data)
        except (msgspec.DecodeError, RecursionError):
            raise Fault("garbage", "an event of the upstream's answer is not valid JSON", 502) from None
        if fields.get("error", NULL) != NULL or others.startswith(_ERROR_EVENT):
            raise Fault("broken", "the upstream reported an error in its answer", 502)
        if not self._begun and "choices" not in fields:
            raise Fault("garbage", "the upstream's answer does not begin as a completion", 502)
        return self._chunk(fields, others)

    def _chunk(self, fields: Fields, others: bytes) -> bytes:
        call = self._call
        usage = fields.get("usage")
        has_usage = usage is not None and usage != NULL
        if has_usage:
            last = bytes(fields.get("choices", NULL)).translate(None, b" \t\r\n") in _NONE
            call.count(usage, complete=last)
            if call.adds_usage and last:
                # The client did not ask for it.
                return b""
        elif call.adds_usage:
            fields.pop("usage", None)
        changed = {"model": call.candidate.own_name}
        if not self._begun or has_usage:
            report = call.report()
            report.upstream_model = fields.get("model")
            report.cost = call.cost
            changed["llmrouter"] = report.encode()
            if call.asked.tells_cost:
                changed["cost"] = msgspec.Raw(encode(report.cost))
        self._begun = True
        return event_of(with_fields(fields, **changed), others)


def _broken(fault: Fault) -> GatewayError:
    return GatewayError(
        502, f"The answer broke off: {fault.problem}.", code=f"upstream_{fault.kind}", type="upstream_error"
    )
