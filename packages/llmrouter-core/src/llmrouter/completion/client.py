"""Call candidate LLMs over the OpenAI chat protocol, with the official client."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import weakref
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from time import perf_counter
from typing import Any

import msgspec

from llmrouter.completion.catalogue import Catalogue, Endpoint
from llmrouter.completion.loop import BackgroundLoop
from llmrouter.completion.result import AnswerBuilder, Completion, record
from llmrouter.completion.turns import Turns
from llmrouter.errors import CompletionError, MissingExtraError

try:
    from openai import AsyncOpenAI, AsyncStream, DefaultAsyncHttpxClient, Omit, Timeout

    from llmrouter.completion.failures import call_of
except ModuleNotFoundError as error:
    if error.name != "openai":
        raise
    raise MissingExtraError("llmrouter.completion.client", "llmrouter-core[openai]") from error

Messages = str | Sequence[Mapping[str, Any]]

# Seconds that a connection may take to come about.
CONNECT_TIMEOUT = 10
# The official client will not be made without a key.
NO_KEY = "none"
# What the official client tells all services from variables that are meant for one.
OPENAI_ALONE = ("OpenAI-Organization", "OpenAI-Project")
# Roles of a message that tells the LLM how to behave.
SYSTEM = ("system", "developer")

_opening = threading.Lock()


class _Connections:
    """What a client opens when it is first used; it belongs to one process."""

    def __init__(self, timeout: float, retries: int) -> None:
        self.process = os.getpid()
        self.loop = BackgroundLoop()
        self.turns: dict[str, Turns] = {}
        limits = Timeout(timeout, connect=min(CONNECT_TIMEOUT, timeout))
        self.client = AsyncOpenAI(
            api_key=NO_KEY,
            base_url="http://127.0.0.1",
            max_retries=retries,
            timeout=limits,
            # Keys and texts go where the configuration says, and nowhere else.
            http_client=DefaultAsyncHttpxClient(follow_redirects=False, timeout=limits),
        )

    def close(self) -> None:
        """Cancel the calls under way, and close them."""
        if self.process == os.getpid():
            self.loop.close(self.client.close)


class CompletionClient:
    """Puts messages to candidates and returns their answers; safe from several threads.

    Calls are repeated, with growing pauses and as ``Retry-After`` says, on connection faults and the statuses
    408, 409, 429 and 5xx. It may be copied and pickled: each copy and each process opens connections of its
    own.

    Args:
        catalogue: How the candidates are called.
        timeout: Seconds that one call may take, its repetitions included; waiting for its turn, where its
            service is limited, is not.
        retries: How often a call is repeated at most.
        parameters: Of every call, unless it says otherwise, such as ``temperature`` and ``max_tokens``.
        system: System message of every conversation that has none.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        timeout: float = 120,
        retries: int = 2,
        parameters: Mapping[str, Any] | None = None,
        system: str | None = None,
    ) -> None:
        self.catalogue = catalogue
        self.timeout = timeout
        self.retries = retries
        self.parameters = dict(parameters or {})
        self.system = system
        self._open: _Connections | None = None
        self._closed = False

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
        completion, _ = self.chat(name, messages, **parameters)
        return completion

    def chat(self, name: str, messages: Messages, **parameters: Any) -> tuple[Completion, dict[str, Any]]:
        """Return a candidate's answer, and beside it the whole of what its service sent.

        Raises:
            ConfigError, CompletionError: As `complete`.
        """
        with _told_when_closed(name):
            completion, sent = self._connections().loop.call(self._complete(name, messages, parameters))
        record(completion)
        return completion, sent

    async def chat_async(
        self, name: str, messages: Messages, **parameters: Any
    ) -> tuple[Completion, dict[str, Any]]:
        """Do as `chat` does, for callers with an event loop of their own; it is not recorded.

        Raises:
            ConfigError, CompletionError: As `complete`.
        """
        work = self._connections().loop.submit(self._complete(name, messages, parameters))
        return await asyncio.wrap_future(work)

    def stream(self, name: str, messages: Messages, **parameters: Any) -> Iterator[str | Completion]:
        """Yield a candidate's answer piece by piece, and at the end the whole of it.

        Raises:
            ConfigError, CompletionError: As `complete`; pieces may have come before.
        """
        with _told_when_closed(name):
            yield from self._connections().loop.iterate(self._stream(name, messages, parameters))

    def close(self) -> None:
        """Cancel the calls under way and close the connections; no other calls are taken."""
        self._closed = True
        with _opening:
            opened, self._open = self._open, None
        if opened is not None:
            opened.close()

    def __enter__(self) -> CompletionClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": None, "_closed": False}

    def _connections(self) -> _Connections:
        with _opening:
            if self._closed:
                raise CancelledError
            # A forked process has the object, but not the thread.
            if self._open is None or self._open.process != os.getpid():
                self._open = _Connections(self.timeout, self.retries)
                # So that one that is thrown away leaves no thread; at exit there is nothing to do.
                weakref.finalize(self, self._open.close).atexit = False
            return self._open

    def _turns(self, opened: _Connections, endpoint: Endpoint) -> Turns:
        service = endpoint.service
        name = service.name if service is not None else endpoint.url
        if name not in opened.turns:
            opened.turns[name] = Turns.of(service)
        return opened.turns[name]

    async def _complete(
        self, name: str, messages: Messages, parameters: Mapping[str, Any]
    ) -> tuple[Completion, dict[str, Any]]:
        opened, endpoint = self._connections(), self._endpoint(name)
        async with self._turns(opened, endpoint):
            started = perf_counter()
            with call_of(endpoint, self.timeout):
                request = self._request(opened, endpoint, messages, parameters)
                answer = AnswerBuilder()
                sent = await asyncio.wait_for(request, self.timeout)
                answer.add(sent)
                whole = msgspec.json.decode(sent) if isinstance(sent, str) else sent
                return answer.completion(endpoint, (perf_counter() - started) * 1000), whole

    async def _stream(
        self, name: str, messages: Messages, parameters: Mapping[str, Any]
    ) -> AsyncIterator[str | Completion]:
        opened, endpoint = self._connections(), self._endpoint(name)
        async with self._turns(opened, endpoint):
            started = perf_counter()
            asked = {"stream_options": {"include_usage": True}, **parameters}
            with call_of(endpoint, self.timeout):
                request = self._request(opened, endpoint, messages, asked, stream=True)
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
                if not answer.finished:
                    raise ValueError("the stream ended before the answer did")
                yield answer.completion(endpoint, (perf_counter() - started) * 1000)

    def _endpoint(self, name: str) -> Endpoint:
        try:
            return self.catalogue.endpoint(name)
        except KeyError:
            known = ", ".join(self.catalogue)
            raise CompletionError(name, f"no candidate is named {name!r}; there are {known}") from None

    async def _request(
        self,
        opened: _Connections,
        endpoint: Endpoint,
        messages: Messages,
        parameters: Mapping[str, Any],
        stream: bool = False,
    ) -> Any:
        key = endpoint.keys.next()
        left_out = [] if key else ["Authorization"]
        if endpoint.service is None or endpoint.service.name != "openai":
            left_out += OPENAI_ALONE
        client = opened.client.with_options(base_url=endpoint.url, api_key=key or NO_KEY)
        # Not client.chat.completions.create, which takes no field that it does not know, and reads the answer
        # into models that check nothing.
        return await client.post(
            "/chat/completions",
            cast_to=object,
            body={
                **endpoint.parameters,
                **self.parameters,
                **parameters,
                "model": endpoint.model,
                "messages": self._conversation(messages),
                "stream": stream,
            },
            options={"headers": {name: Omit() for name in left_out}},
            stream=stream,
            stream_cls=AsyncStream[object],
        )

    def _conversation(self, messages: Messages) -> list[Mapping[str, Any]]:
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        told = list(messages)
        if self.system is None or any(message.get("role") in SYSTEM for message in told):
            return told
        return [{"role": "system", "content": self.system}, *told]


@contextlib.contextmanager
def _told_when_closed(name: str) -> Iterator[None]:
    try:
        yield
    except CancelledError:
        raise CompletionError(name, f"{name} is not asked any more: the client was closed") from None
