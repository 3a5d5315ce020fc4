"""Call upstreams, bounded in time and size; whatever goes wrong is a fault of one of a few kinds."""

from __future__ import annotations

import asyncio
import email.utils
import json
import logging
import time
import urllib.request
from collections.abc import Mapping
from typing import Literal

import aiohttp
from yarl import URL

from llmrouter_server.candidates import Candidate
from llmrouter_server.errors import GatewayError, retry_after
from llmrouter_server.settings import Settings
from llmrouter_server.timing import TimeLimitError, time_limit

logger = logging.getLogger(__name__)

Kind = Literal["connection", "timeout", "status", "refused", "garbage", "broken"]

# Statuses that say something about the upstream, not about the request. 401 to 403 are about the key that
# the gateway sends: the client can do nothing about it.
_FAULTS = frozenset((401, 402, 403, 408, 425, 429))
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
        response: Its head.
        candidate: Who answers.
        settings: Time limits and bounds.
        first_by: When its beginning has to be there, by the event loop's time.
        deadline: When all of it has to be there.
    """

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        candidate: Candidate,
        settings: Settings,
        first_by: float,
        deadline: float,
    ) -> None:
        self._response = response
        self._content = response.content
        self._candidate = candidate
        self._settings = settings
        self._first_by: float | None = first_by
        self._deadline = deadline
        self._size = 0

    @property
    def content_type(self) -> str:
        """Its media type in lower case; empty where the upstream says none."""
        return self._response.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def complete(self) -> bool:
        """Whether nothing more is to come."""
        return self._content.at_eof()

    def begun(self) -> None:
        """Note that its beginning is there: from now on the limits are those between parts."""
        self._first_by = None

    async def part(self) -> bytes:
        """Return what arrived since the last call, or wait for more; empty at the end.

        Raises:
            Fault: Nothing comes in time, the answer is too large, or it breaks off.
        """
        try:
            data = self._content.read_nowait()
            if not data and not self.complete:
                data = await self._wait()
        except (aiohttp.ClientError, OSError, ValueError) as error:
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
        """Give the connection back if the answer is complete, else close it, which ends the call."""
        self._response.close()

    async def _wait(self) -> bytes:
        now = asyncio.get_running_loop().time()
        limit = self._first_by or min(now + self._settings.idle_seconds, self._deadline)
        try:
            with time_limit(limit):
                return await self._content.readany()
        except TimeLimitError:
            if self._size and limit < now + self._settings.idle_seconds:
                # It sent something all the time, and came to no end.
                raise Fault("timeout", "the upstream's answer took too long", 504) from None
            raise _too_slow(limit - now) from None


class Upstreams:
    """The connections to all upstreams of one worker."""

    def __init__(self) -> None:
        # The number of connections is bounded by that of requests. Looking for proxies in the environment for
        # each request costs more than the rest of it, so that is done only where there are any.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("accept", "user-agent"),
            trust_env=bool(urllib.request.getproxies()),
        )
        self._timeouts: tuple[float, aiohttp.ClientTimeout] | None = None

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def call(
        self,
        candidate: Candidate,
        url: URL,
        body: bytes,
        headers: Mapping[str, str],
        settings: Settings,
        deadline: float,
    ) -> Answer:
        """Send a request, and return the answer where its head says that all is well.

        Args:
            candidate: Whom to ask.
            url: Where.
            body: The request.
            headers: Beside the usual ones.
            settings: Time limits and bounds.
            deadline: When the answer has to be complete, by the event loop's time.

        Raises:
            Fault: The upstream cannot be reached, or answers with a status that says it failed.
            Refusal: It answered that the request is wrong.
        """
        started = asyncio.get_running_loop().time()
        first_by = min(started + settings.first_byte_seconds, deadline)
        try:
            with time_limit(first_by):
                response = await self._head(candidate, url, body, headers, settings)
        except TimeLimitError:
            raise _too_slow(first_by - started) from None
        return Answer(response, candidate, settings, first_by, deadline)

    async def _head(
        self, candidate: Candidate, url: URL, body: bytes, headers: Mapping[str, str], settings: Settings
    ) -> aiohttp.ClientResponse:
        key = candidate.endpoint.keys.next()
        sent = {"content-type": "application/json", **headers}
        if key is not None:
            sent["authorization"] = f"Bearer {key}"
        try:
            response = await self._post(url, body, sent, settings)
        except aiohttp.ClientConnectorError as error:
            raise fault_of(error, candidate) from error
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            # What a connection that was kept open too long looks like: the upstream closed it meanwhile.
            try:
                response = await self._post(url, body, sent, settings)
            except (aiohttp.ClientError, OSError, ValueError) as error:
                raise fault_of(error, candidate) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise fault_of(error, candidate) from error
        if response.status == 200:
            return response
        try:
            await self._raise(response, candidate)
        finally:
            response.close()
        raise AssertionError

    async def _post(
        self, url: URL, body: bytes, headers: Mapping[str, str], settings: Settings
    ) -> aiohttp.ClientResponse:
        if self._timeouts is None or self._timeouts[0] != settings.connect_seconds:
            limit = settings.connect_seconds
            # The other limits are kept by those who read the answer.
            self._timeouts = limit, aiohttp.ClientTimeout(total=None, sock_connect=limit)
        return await self._session.post(
            url,
            data=aiohttp.BytesPayload(body),
            headers=headers,
            timeout=self._timeouts[1],
            allow_redirects=False,
        )

    async def _raise(self, response: aiohttp.ClientResponse, candidate: Candidate) -> None:
        status = response.status
        if status in _FAULTS or not 400 <= status < 500:
            wait = seconds_of(response.headers.get("retry-after"))
            if status == 429:
                raise Fault("status", "the upstream has too many requests (429)", 429, wait)
            if status in (401, 402, 403):
                logger.error("%s: the upstream refused the gateway's key (%d)", candidate.name, status)
                raise Fault("refused", f"the upstream refused the gateway's own key ({status})", 502)
            told = 504 if status in (408, 504) else 503 if status == 503 else 502
            raise Fault("status", f"the upstream answered with status {status}", told, wait)
        try:
            text = await response.content.read(_ERROR_BYTES)
            while len(text) < _ERROR_BYTES and (more := await response.content.read(_ERROR_BYTES)):
                text += more
        except (aiohttp.ClientError, OSError) as error:
            raise fault_of(error, candidate) from error
        raise Refusal(status, _passed_on(text, status, candidate))


def _too_slow(seconds: float) -> Fault:
    return Fault("timeout", f"the upstream sent nothing for {seconds:.1f} s", 504)


def fault_of(error: BaseException, candidate: Candidate) -> Fault:
    """Return the fault that an error of the client library is."""
    logger.warning(
        "%s: %s: %s", candidate.name, type(error).__name__, candidate.endpoint.keys.redact(str(error))
    )
    if isinstance(error, asyncio.TimeoutError):
        return Fault("timeout", "the upstream could not be reached in time", 504)
    if isinstance(error, aiohttp.ClientConnectorError):
        return Fault("connection", "the upstream cannot be reached", 502)
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError | ConnectionError):
        return Fault("connection", "the upstream closed the connection", 502)
    if isinstance(error, aiohttp.ClientPayloadError):
        return Fault("broken", "the upstream's answer broke off", 502)
    return Fault("garbage", "the upstream did not answer as HTTP has it", 502)


def seconds_of(header: str | None) -> float | None:
    """Return the seconds that a header ``Retry-After`` asks for: a number or a date."""
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(header).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return max(0.0, seconds) if seconds == seconds else None


def _passed_on(text: bytes, status: int, candidate: Candidate) -> bytes:
    """Return an upstream's error as the OpenAI protocol has it, without the gateway's keys."""
    redacted = candidate.endpoint.keys.redact(text.decode(errors="replace"))
    try:
        told = json.loads(redacted)
    except (ValueError, RecursionError):
        told = None
    if isinstance(told, dict) and isinstance(told.get("error"), dict) and "message" in told["error"]:
        return redacted.encode()
    if isinstance(told, dict):
        message = told.get("message") or told.get("detail") or told.get("error")
    else:
        message = None
    if not isinstance(message, str):
        message = f"{candidate.name}: the upstream refused the request with status {status}."
    return GatewayError(status, message, code="upstream_refused").body
