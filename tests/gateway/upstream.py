"""An upstream LLM on loopback that does as a test tells it: it answers, fails, breaks off, or hangs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

HOST = "127.0.0.1"
SECONDS = 120
WORDS = ("Machine", " learning", " is", " learning", " from", " examples.")
USAGE = {"prompt_tokens": 12, "completion_tokens": 6, "total_tokens": 18}


@dataclass
class Received:
    """A request as it came over the wire.

    Attributes:
        method: Such as ``POST``.
        path: Below the name of the candidate.
        headers: By lower-case name.
        body: The bytes.
        peer: Port of the client, which tells connections apart.
        gone: Set once the client closed the connection before the answer was whole.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    peer: int
    gone: threading.Event = field(default_factory=threading.Event)

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


@dataclass
class Exchange:
    """A request, and the way for an answer."""

    received: Received
    writer: asyncio.StreamWriter

    async def send(self, *parts: bytes) -> None:
        """Write bytes as they are."""
        self.writer.write(b"".join(parts))
        await self.writer.drain()

    async def head(self, status: int, kind: str = "application/json", **headers: str) -> None:
        """Write a head; the body's length is to be among the headers, or ``transfer_encoding``."""
        told = {"content-type": kind, **{name.replace("_", "-"): value for name, value in headers.items()}}
        lines = [f"HTTP/1.1 {status} Reason", *(f"{name}: {value}" for name, value in told.items())]
        await self.send("\r\n".join([*lines, "", ""]).encode())

    async def whole(
        self, body: bytes, status: int = 200, kind: str = "application/json", **more: str
    ) -> None:
        """Write a whole answer."""
        await self.head(status, kind, content_length=str(len(body)), **more)
        await self.send(body)

    async def chunk(self, data: bytes) -> None:
        """Write a chunk of a body."""
        await self.send(f"{len(data):x}\r\n".encode(), data, b"\r\n")


Behaviour = Callable[[Exchange], Awaitable[None]]


class Cut(Exception):
    """The connection is to be closed without another word."""


class Upstream:
    """An HTTP server in a thread of its own. The first part of a path names the candidate that is called.

    Attributes:
        port: On which it listens.
        received: What it was sent, by candidate.
    """

    def __init__(self) -> None:
        self.port = 0
        self.received: dict[str, list[Received]] = {}
        self._behaviours: dict[str, Behaviour] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def url(self, name: str) -> str:
        """The base URL of a candidate."""
        return f"http://{HOST}:{self.port}/{name}/v1"

    def behave(self, name: str, behaviour: Behaviour) -> None:
        """Say what a candidate does from now on; without, it answers well."""
        self._behaviours[name] = behaviour

    def requests(self, name: str) -> list[Received]:
        """What a candidate was sent."""
        return self.received.get(name, [])

    def last(self, name: str) -> Received:
        """What a candidate was sent last."""
        return self.received[name][-1]

    @contextlib.contextmanager
    def running(self) -> Iterator[Upstream]:
        """Serve until the end of the block."""
        started = threading.Event()
        thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)))
        thread.start()
        assert started.wait(SECONDS)
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._stop.set)
            thread.join(SECONDS)
            assert not thread.is_alive()

    async def _serve(self, started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._connected, HOST, 0)
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        await self._stop.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while await self._answered(reader, writer):
                pass
        except (OSError, EOFError, Cut):
            pass
        except asyncio.CancelledError:
            # What was not sent by now is not waited for.
            writer.transport.abort()
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _answered(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection goes on."""
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")[:-2]
        method, target, _ = first.split(" ", 2)
        pairs = (line.split(":", 1) for line in lines)
        headers = {name.lower(): value.strip() for name, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        _, name, path = target.split("/", 2)
        received = Received(method, f"/{path}", headers, body, writer.get_extra_info("peername")[1])
        self.received.setdefault(name, []).append(received)
        exchange = Exchange(received, writer)
        answering = asyncio.ensure_future(self._behaviours.get(name, answers)(exchange))
        # Nothing is sent before the answer is whole, so what ends the wait is the client going away.
        leaving = asyncio.ensure_future(reader.read(1))
        done, _ = await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
        if answering not in done:
            received.gone.set()
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)
            return False
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        if isinstance(answering.exception(), OSError):
            received.gone.set()
        answering.result()
        return True


def completion(**changed: Any) -> dict[str, Any]:
    """A chat completion, as an upstream tells it."""
    message = {"role": "assistant", "content": "".join(WORDS)}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1700000000, "model": "upstream-llm"}
    return {**head, "choices": [choice], "usage": USAGE, **changed}


def text_completion(**changed: Any) -> dict[str, Any]:
    """A text completion, as an upstream tells it."""
    choice = {"index": 0, "text": "".join(WORDS), "logprobs": None, "finish_reason": "stop"}
    head = {"id": "cmpl-1", "object": "text_completion", "created": 1700000000, "model": "upstream-llm"}
    return {**head, "choices": [choice], "usage": USAGE, **changed}


def event(data: Any) -> bytes:
    """An event of a stream."""
    return f"data: {json.dumps(data)}\n\n".encode()


def events(usage: bool = True) -> list[bytes]:
    """A whole stream of a chat completion."""
    deltas: list[Mapping[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": word} for word in WORDS]
    chunks: list[dict[str, Any]] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    chunks.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    told = [event(_chunk(choices=[chunk])) for chunk in chunks]
    if usage:
        told.append(event(_chunk(choices=[], usage=USAGE)))
    return [*told, b"data: [DONE]\n\n"]


def _chunk(**fields: Any) -> dict[str, Any]:
    kind = "chat.completion.chunk"
    return {"id": "chatcmpl-1", "object": kind, "created": 1700000000, "model": "upstream-llm", **fields}


async def answers(exchange: Exchange) -> None:
    """Answer well, streamed where that is asked for."""
    asked = exchange.received.json
    if asked.get("stream"):
        told = events(usage=bool((asked.get("stream_options") or {}).get("include_usage")))
        await streams(told)(exchange)
    elif exchange.received.path.endswith("/chat/completions"):
        await says(json.dumps(completion()).encode())(exchange)
    else:
        await says(json.dumps(text_completion()).encode())(exchange)


def says(body: bytes, kind: str = "application/json", status: int = 200, **headers: str) -> Behaviour:
    """Answer with these bytes."""

    async def behave(exchange: Exchange) -> None:
        await exchange.whole(body, status, kind, **headers)

    return behave


def fails(status: int, message: str = "It failed.", **headers: str) -> Behaviour:
    """Answer with a status and an error."""
    error = {"error": {"message": message, "type": "made_up", "param": None, "code": None}}
    return says(json.dumps(error).encode(), status=status, **headers)


def streams(
    told: list[bytes],
    *,
    pause: float = 0,
    then: Behaviour | None = None,
    proceed: threading.Event | None = None,
) -> Behaviour:
    """Stream events.

    Args:
        told: The events.
        then: What comes after them, before the end.
        proceed: What is waited for after the first event.
    """

    async def behave(exchange: Exchange) -> None:
        await exchange.head(200, "text/event-stream", transfer_encoding="chunked")
        for number, data in enumerate(told):
            await exchange.chunk(data)
            if number == 0 and proceed is not None:
                await asyncio.get_running_loop().run_in_executor(None, proceed.wait, SECONDS)
        if then is not None:
            await then(exchange)
        await exchange.send(b"0\r\n\r\n")

    return behave


async def hangs(exchange: Exchange) -> None:
    """Say nothing until the client goes away."""
    await asyncio.sleep(SECONDS)


async def closes(exchange: Exchange) -> None:
    """Close the connection without an answer."""
    raise Cut


async def speaks_no_http(exchange: Exchange) -> None:
    """Answer with what is no HTTP."""
    await exchange.send(b"220 mail.invalid ESMTP ready\r\n")
    raise Cut


async def truncates(exchange: Exchange) -> None:
    """Promise more than comes."""
    await exchange.head(200, content_length="5000")
    await exchange.send(b'{"id": "chatcmpl-1", "choices": [')
    raise Cut


async def never_ends(exchange: Exchange) -> None:
    """Answer with a body that has no end."""
    await exchange.head(200, transfer_encoding="chunked")
    await exchange.chunk(b'{"id": "')
    while True:
        await exchange.chunk(b"x" * 65536)


async def never_ends_an_event(exchange: Exchange) -> None:
    """Stream an event that has no end."""
    await exchange.head(200, "text/event-stream", transfer_encoding="chunked")
    await exchange.chunk(b'data: {"id": "')
    while True:
        await exchange.chunk(b"x" * 65536)


def trickles(seconds: float) -> Behaviour:
    """Answer byte by byte, with a pause after each."""

    async def behave(exchange: Exchange) -> None:
        streamed = exchange.received.json.get("stream")
        body = b"".join(events()) if streamed else json.dumps(completion()).encode()
        kind = "text/event-stream" if streamed else "application/json"
        await exchange.head(200, kind, content_length=str(len(body)))
        for number in range(len(body)):
            await exchange.send(body[number : number + 1])
            await asyncio.sleep(seconds)

    return behave


@contextlib.contextmanager
def refusing_port() -> Iterator[int]:
    """A port that refuses connections, and that nobody else gets meanwhile."""
    with socket.socket() as bound:
        bound.bind((HOST, 0))
        yield bound.getsockname()[1]
