"""Call upstreams, bounded in time and size; whatever goes wrong is a fault of one of a few kinds."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import logging
import time
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from llmrouter.completion.services import Service
from llmrouter.completion.turns import Turns
from llmrouter.gateway_settings import Settings
from llmrouter_server.address import Address
from llmrouter_server.candidates import Candidate
from llmrouter_server.connections import Connections, Sending
from llmrouter_server.errors import GatewayError, retry_after
from llmrouter_server.http1 import Disconnected, HttpError, Incomplete, Reply
from llmrouter_server.reading_on import ReadingOn
from llmrouter_server.timing import TimeLimitError, time_limit
from llmrouter_server.unicode import repaired

logger = logging.getLogger(__name__)

Kind = Literal["busy", "connection", "timeout", "status", "refused", "garbage", "broken"]

# Statuses that say something about the upstream, not about the request. 401 to 403 are about the key that
# the gateway sends: the client can do nothing about it.
_FAULTS = frozenset((401, 402, 403, 408, 425, 429))
# The longest time that an upstream may ask to wait, in seconds.
_LONGEST_WAIT = 86_400.0
# Where upstreams that do not keep to the protocol say what is wrong.
_MESSAGES = ("message", "detail")
# Most of an error that is read, to be passed on.
_ERROR_BYTES = 64 << 10


class Fault(Exception):
    """An upstream failed in a way that another may not.

    Attributes:
        kind: For metrics.
        problem: What happened, without anything that the upstream sent.
        status: With which the client is told, where it was the last one.
        retry_after: Seconds that the upstream asked to wait, or None.
    """

    def __init__(self, kind: Kind, problem: str, status: int = 502, retry_after: float | None = None) -> None:
        super().__init__(problem)
        self.kind = kind
        self.problem = problem
        self.status = status
        self.retry_after = retry_after

    def error(self, candidate: str) -> GatewayError:
        """Return what the client is told."""
        if self.status == 429:
            return GatewayError(
                429,
                f"{candidate}: {self.problem}.",
                code="upstream_rate_limit",
                headers=retry_after(self.retry_after or 1),
            )
        headers = retry_after(self.retry_after or 1) if self.status == 503 else None
        return GatewayError(
            self.status,
            f"{candidate}: {self.problem}.",
            code=f"upstream_{self.kind}",
            type="upstream_error",
            headers=headers,
        )


class Refusal(Exception):
    """The upstream answered that the request is wrong: the client is to know, and no other is asked.

    Attributes:
        status: That it answered with.
        body: Its error, as the OpenAI protocol has it.
    """

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


class Answer:
    """An upstream's answer, as it arrives.

    Args:
        reply: Its head is there.
        candidate: Who answers.
        settings: Time limits and bounds.
        first_by: When its beginning has to be there, by the event loop's time.
        deadline: When all of it has to be there.
    """

    def __init__(
        self, reply: Reply, candidate: Candidate, settings: Settings, first_by: float, deadline: float
    ) -> None:
        self._reply = reply
        self._candidate = candidate
        self._settings = settings
        self._first_by: float | None = first_by
        self._deadline = deadline
        self._size = 0

    @property
    def content_type(self) -> bytes:
        """Its media type in lower case; empty where the upstream says none."""
        return self._reply.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()

    @property
    def complete(self) -> bool:
        """Whether nothing more is to come."""
        return self._reply.complete

    def begun(self) -> None:
        """Note that its beginning is there: from now on the limits are those between parts."""
        self._first_by = None

    async def part(self) -> bytes:
        """Return what arrived since the last call, or wait for more; empty at the end.

        Raises:
            Fault: Nothing comes in time, the answer is too large, or it breaks off.
        """
        try:
            data = self._reply.take()
            if not data and not self._reply.complete:
                await self._wait()
                data = self._reply.take()
        except HttpError as error:
            raise fault_of(error, self._candidate) from error
        self._size += len(data)
        if self._size > self._settings.max_answer_bytes:
            raise Fault(
                "garbage",
                f"the upstream's answer is larger than {self._settings.max_answer_bytes} bytes",
                502,
            )
        return data

    def close(self) -> None:
        """Close the connection unless the answer is complete, which ends the call."""
        self._reply.close()

    def leave(self) -> None:
        """Do as `close`, for an answer of which only the end of HTTP's is still to come."""
        self._reply.leave()

    async def _wait(self) -> None:
        now = asyncio.get_running_loop().time()
        limit = self._first_by or min(now + self._settings.idle_seconds, self._deadline)
        try:
            with time_limit(limit):
                await self._reply.arrival()
        except TimeLimitError:
            if self._size and limit < now + self._settings.idle_seconds:
                # It sent something all the time, and came to no end.
                raise Fault("timeout", "the upstream's answer took too long", 504) from None
            raise _too_slow(limit - now) from None


class Upstreams:
    """All upstreams, as one worker calls them.

    Args:
        workers: How many there are: each has its share of the calls that a service allows.

    Attributes:
        reading_on: Answers whose client has left.
    """

    def __init__(self, workers: int = 1) -> None:
        self._connections = Connections()
        self._workers = workers
        self.reading_on = ReadingOn()
        self._turns: dict[tuple[str, int | None, float | None], Turns] = {}

    def turns(self, service: Service | None) -> Turns | None:
        """Return this worker's share of the calls that a service allows; None where it does not bound them.

        A reload changes nothing for one that stays as it was.
        """
        if service is None or not (service.concurrency or service.requests_per_minute):
            return None
        concurrency, per_minute = service.concurrency, service.requests_per_minute
        known = service.name, concurrency, per_minute
        if known not in self._turns:
            self._turns[known] = Turns(
                concurrency and max(1, concurrency // self._workers),
                per_minute and per_minute / self._workers,
            )
        return self._turns[known]

    async def close(self) -> None:
        """End what is read on without a client, and close all connections."""
        await self.reading_on.close()
        await self._connections.close()

    async def call(
        self,
        candidate: Candidate,
        address: Address,
        body: bytes,
        headers: Mapping[str, str],
        settings: Settings,
        deadline: float,
        sending: Sending = None,
    ) -> Answer:
        """Send a request, and return the answer where its head says that all is well.

        Args:
            candidate: Whom to ask.
            address: Where.
            body: The request.
            headers: Beside the usual ones.
            settings: Time limits and bounds.
            deadline: When the answer has to be complete, by the event loop's time.
            sending: Awaited just before the request is sent.

        Raises:
            Fault: The upstream cannot be reached, or answers with a status that says it failed.
            Refusal: It answered that the request is wrong.
        """
        started = asyncio.get_running_loop().time()
        first_by = min(started + settings.first_byte_seconds, deadline)
        sent = {"content-type": "application/json", **headers}
        key = candidate.endpoint.keys.next()
        if key is not None:
            sent["authorization"] = f"Bearer {key}"
        request = address.request(body, sent.items())
        try:
            with time_limit(first_by):
                reply = await self._reply(candidate, address, request, settings, sending)
        except TimeLimitError:
            raise _too_slow(first_by - started) from None
        answer = Answer(reply, candidate, settings, first_by, deadline)
        if reply.status != 200:
            try:
                await _raise(answer, reply, candidate)
            finally:
                answer.close()
        if reply.headers.get(b"content-encoding", b"").strip().lower() not in (b"", b"identity"):
            answer.close()
            raise Fault("garbage", "the upstream's answer is compressed, which it was not asked for", 502)
        return answer

    async def _reply(
        self, candidate: Candidate, address: Address, request: bytes, settings: Settings, sending: Sending
    ) -> Reply:
        try:
            return await self._connections.ask(address.origin, request, settings.connect_seconds, sending)
        except (HttpError, OSError) as error:
            raise fault_of(error, candidate) from error


async def _raise(answer: Answer, reply: Reply, candidate: Candidate) -> None:
    """Raise what an answer means whose status is not 200."""
    status = reply.status
    if status in _FAULTS or not 400 <= status < 500:
        wait = seconds_of(reply.headers.get(b"retry-after", b"").decode("latin-1"))
        if status == 429:
            raise Fault("status", "the upstream has too many requests (429)", 429, wait)
        if status in (401, 402, 403):
            logger.error("%s: the upstream refused the gateway's key (%d)", candidate.name, status)
            raise Fault("refused", f"the upstream refused the gateway's own key ({status})", 502)
        told = 504 if status in (408, 504) else 503 if status == 503 else 502
        raise Fault("status", f"the upstream answered with status {status}", told, wait)
    text = b""
    while len(text) < _ERROR_BYTES and (more := await answer.part()):
        text += more
    raise Refusal(status, _passed_on(text[:_ERROR_BYTES], status, candidate))


def _too_slow(seconds: float) -> Fault:
    return Fault("timeout", f"the upstream sent nothing for {seconds:.1f} s", 504)


def fault_of(error: HttpError | OSError, candidate: Candidate) -> Fault:
    """Return the fault that an error of a connection is."""
    logger.warning(
        "%s: %s: %s", candidate.name, type(error).__name__, candidate.endpoint.keys.redact(str(error))
    )
    if isinstance(error, TimeoutError):
        return Fault("timeout", "the upstream could not be reached in time", 504)
    if isinstance(error, OSError):
        return Fault("connection", "the upstream cannot be reached", 502)
    if isinstance(error, Disconnected):
        return Fault("connection", "the upstream closed the connection", 502)
    if isinstance(error, Incomplete):
        return Fault("broken", "the upstream's answer broke off", 502)
    return Fault("garbage", "the upstream did not answer as HTTP has it", 502)


def seconds_of(header: str) -> float | None:
    """Return the seconds that a header ``Retry-After`` asks for, a number or a date, a day at most.

    None stands for a header that is missing or makes no sense.
    """
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(header).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(0.0, seconds), _LONGEST_WAIT) if seconds == seconds else None


class _Error(msgspec.Struct):
    """An error as the OpenAI protocol has it."""

    message: str
    type: str | None = None
    param: str | None = None
    code: str | int | None = None


class _Refused(msgspec.Struct):
    error: _Error


def _passed_on(text: bytes, status: int, candidate: Candidate) -> bytes:
    """Return an upstream's error as the OpenAI protocol has it, without the gateway's keys."""
    redacted = repaired(candidate.endpoint.keys.redact(text.decode(errors="replace")).encode())
    told: Any = None
    with contextlib.suppress(msgspec.DecodeError, RecursionError):
        told = msgspec.json.decode(redacted)
    with contextlib.suppress(msgspec.ValidationError):
        msgspec.convert(told, _Refused)
        return redacted
    found = told if isinstance(told, dict) else {}
    error = found.get("error")
    messages = (error.get("message") if isinstance(error, dict) else error, *map(found.get, _MESSAGES))
    default = f"{candidate.name}: the upstream refused the request with status {status}."
    message = next((message for message in messages if isinstance(message, str)), default)
    return GatewayError(status, message, code="upstream_refused").body
