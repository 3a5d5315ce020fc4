"""Call candidate LLMs over the OpenAI chat protocol, with the official client."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from functools import cached_property
from time import perf_counter
from typing import Any, NamedTuple

from llmrouter.completion.catalogue import Catalogue, Endpoint
from llmrouter.completion.failures import call_of
from llmrouter.completion.loop import BackgroundLoop
from llmrouter.completion.result import AnswerBuilder, Completion, record
from llmrouter.errors import CompletionError, MissingExtraError

try:
    from aiolimiter import AsyncLimiter
    from openai import AsyncOpenAI, Omit, Timeout
except ModuleNotFoundError as error:
    if error.name not in ("aiolimiter", "openai"):
        raise
    raise MissingExtraError("llmrouter.completion.client", "llmrouter-core[openai]") from error

Messages = str | Sequence[Mapping[str, Any]]

# Seconds that a connection may take to come about.
CONNECT_TIMEOUT = 10
# The official client will not be made without a key.
NO_KEY = "none"


# What a client opens when it is first used.
_OPEN = ("_loop", "_client", "_limits")


class _Limits(NamedTuple):
    """What bounds the calls to one service."""

    at_once: contextlib.AbstractAsyncContextManager[Any]
    per_minute: contextlib.AbstractAsyncContextManager[Any]


class CompletionClient:
    """Puts messages to candidates and returns their answers; safe from several threads.

    Calls are repeated, with growing pauses and as ``Retry-After`` says, on connection faults and the statuses
    408, 409, 429 and 5xx. It may be pickled: each process opens connections of its own.

    Args:
        catalogue: How the candidates are called.
        timeout: Seconds that one call may take, its repetitions included.
        retries: How often a call is repeated at most.
        parameters: Of every call, unless it says otherwise, such as ``temperature`` and ``max_tokens``.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        timeout: float = 120,
        retries: int = 2,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        self.catalogue = catalogue
        self.timeout = timeout
        self.retries = retries
        self.parameters = dict(parameters or {})

    def complete(self, name: str, messages: Messages, **parameters: Any) -> Completion:
        """Return a candidate's answer.

        Args:
            name: The candidate.
            messages: A conversation as the chat protocol has it, or the text of one message of the user.
            parameters: Further fields of the request, such as ``temperature``.

        Raises:
            ConfigError: It is not known how to call the candidate.
            CompletionError: The call failed.
        """
        completion = self._loop.call(self._complete(name, messages, parameters))
        record(completion)
        return completion

    def stream(self, name: str, messages: Messages, **parameters: Any) -> Iterator[str | Completion]:
        """Yield a candidate's answer piece by piece, and at the end the whole of it.

        Raises:
            ConfigError, CompletionError: As `complete`; pieces may have come before.
        """
        return self._loop.iterate(self._stream(name, messages, parameters))

    def close(self) -> None:
        """Cancel the calls under way and close the connections; calling again opens new ones."""
        if "_loop" in self.__dict__:
            self._loop.close(self._client.close())
            # They belong to the loop.
            for name in _OPEN:
                self.__dict__.pop(name, None)

    def __enter__(self) -> CompletionClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in _OPEN}

    @cached_property
    def _loop(self) -> BackgroundLoop:
        return BackgroundLoop()

    @cached_property
    def _limits(self) -> dict[str, _Limits]:
        return {}

    @cached_property
    def _client(self) -> AsyncOpenAI:
        timeout = Timeout(self.timeout, connect=min(CONNECT_TIMEOUT, self.timeout))
        return AsyncOpenAI(
            api_key=NO_KEY, base_url="http://127.0.0.1", timeout=timeout, max_retries=self.retries
        )

    def _bounds(self, endpoint: Endpoint) -> _Limits:
        service = endpoint.service
        name = service.name if service is not None else endpoint.url
        if name not in self._limits:
            at_once = service.concurrency if service is not None else None
            per_minute = service.requests_per_minute if service is not None else None
            self._limits[name] = _Limits(
                asyncio.Semaphore(at_once) if at_once else contextlib.nullcontext(),
                AsyncLimiter(per_minute) if per_minute else contextlib.nullcontext(),
            )
        return self._limits[name]

    async def _complete(self, name: str, messages: Messages, parameters: Mapping[str, Any]) -> Completion:
        endpoint = self._endpoint(name)
        limits = self._bounds(endpoint)
        async with limits.at_once, limits.per_minute:
            started = perf_counter()
            with call_of(endpoint, self.timeout):
                request = self._request(endpoint, messages, parameters)
                answer = AnswerBuilder()
                answer.add(await asyncio.wait_for(request, self.timeout))
                return answer.completion(endpoint, (perf_counter() - started) * 1000)

    async def _stream(
        self, name: str, messages: Messages, parameters: Mapping[str, Any]
    ) -> AsyncIterator[str | Completion]:
        endpoint = self._endpoint(name)
        limits = self._bounds(endpoint)
        async with limits.at_once, limits.per_minute:
            started = perf_counter()
            streamed = {**parameters, "stream": True, "stream_options": {"include_usage": True}}
            with call_of(endpoint, self.timeout):
                request = self._request(endpoint, messages, streamed)
                chunks = await asyncio.wait_for(request, self.timeout)
                answer = AnswerBuilder()
                try:
                    while True:
                        left = max(self.timeout - (perf_counter() - started), 0)
                        try:
                            chunk = await asyncio.wait_for(chunks.__anext__(), left)
                        except StopAsyncIteration:
                            break
                        if piece := answer.add(chunk):
                            yield piece
                finally:
                    await chunks.close()
                yield answer.completion(endpoint, (perf_counter() - started) * 1000)

    def _endpoint(self, name: str) -> Endpoint:
        try:
            return self.catalogue.endpoint(name)
        except KeyError:
            known = ", ".join(self.catalogue)
            raise CompletionError(name, f"no candidate is named {name!r}; there are {known}") from None

    async def _request(self, endpoint: Endpoint, messages: Messages, parameters: Mapping[str, Any]) -> Any:
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        key = endpoint.keys.next()
        client = self._client.with_options(base_url=endpoint.url, api_key=key or NO_KEY)
        create: Any = client.chat.completions.create
        return await create(
            model=endpoint.model,
            messages=list(messages),
            extra_headers=None if key else {"Authorization": Omit()},
            **{**endpoint.parameters, **self.parameters, **parameters},
        )
