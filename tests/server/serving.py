"""A gateway in this process, in a thread of its own, before upstreams that do as a test tells them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2 as httpx

from llmrouter.plugin_system import PluginRegistry
from llmrouter_server.access_log import AccessLog
from llmrouter_server.app import Application
from llmrouter_server.budgets import Budgeting, Budgets
from llmrouter_server.gateway import Gateway, RouterOption, open_gateway
from llmrouter_server.metrics import Metrics
from llmrouter_server.options import listen
from llmrouter_server.server import Server, make_server
from llmrouter_server.service import gateway_routes
from llmrouter_server.upstream import Upstreams

if TYPE_CHECKING:
    from llmrouter_server.lifecycle.process import LifecycleProcess

MESSAGES = [{"role": "user", "content": "What is AI?"}]
LOG = Path("access.log")
# An answer costs 11 µUSD: 3 tokens at 1 and 4 at 2 USD per million.
COST = 11e-6


def most_of(**fields: Any) -> float:
    """What a request with these fields may cost the candidate small, in USD: a token for each byte of it."""
    body = httpx.Request("POST", "http://x", json={"messages": MESSAGES, **fields}).content
    tokens: int = fields["max_tokens"]
    return (len(body) + 2 * tokens) * 1e-6


class Serving:
    """A gateway that runs.

    Args:
        routers: What it serves.
        keys_file: Who may ask.
        lifecycle: A database and a configuration, to serve a lifecycle too.

    Attributes:
        client: Speaks to it.
        gateway: What it answers with.
        port: Where it listens.
    """

    def __init__(
        self,
        routers: list[RouterOption],
        keys_file: str | None,
        lifecycle: tuple[str, str] | None = None,
    ) -> None:
        self._routers = routers
        self._lifecycle = lifecycle
        self._keys_file = keys_file
        self._metrics = Metrics()
        self._listener = listen("127.0.0.1", 0)
        self.port = self._listener.getsockname()[1]
        self._server: Server
        self.app: Application
        self._loop: asyncio.AbstractEventLoop
        self._problem: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        while not (hasattr(self, "_server") and self._server.started):
            if not self._thread.is_alive():
                raise AssertionError("the gateway did not start") from self._problem
            time.sleep(0.002)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=300)

    @property
    def gateway(self) -> Gateway:
        """What it answers with now."""
        return self.app.gateway

    def chat(self, key: str | None = None, **fields: Any) -> httpx.Response:
        """Ask for a chat completion."""
        return self.post("/v1/chat/completions", key, **{"messages": MESSAGES, **fields})

    def post(self, path: str, key: str | None = None, **fields: Any) -> httpx.Response:
        """Send a JSON object."""
        headers = {"authorization": f"Bearer {key}"} if key else {}
        return self.client.post(path, json=fields, headers=headers)

    def stream(self, **fields: Any) -> list[Any]:
        """Ask for a streamed chat completion; returns the data of its events."""
        response = self.chat(stream=True, **fields)
        assert response.headers["content-type"] == "text/event-stream", response.text
        return events_of(response.text)

    def entries(self, count: int = 1) -> list[dict[str, Any]]:
        """Wait for so many lines of the access log."""
        wait_until(lambda: LOG.exists() and LOG.read_bytes().count(b"\n") >= count)
        return [json.loads(line) for line in LOG.read_text().splitlines()]

    def metric(self, name: str, **labels: str) -> float:
        """Return a metric."""
        self._call(self.app.tell_metrics)
        return self._metrics.registry.get_sample_value(f"llmrouter_{name}", labels) or 0.0

    def close(self) -> None:
        """Stop."""
        self.client.close()
        self._server.should_exit = True
        self._thread.join(300)
        assert not self._thread.is_alive()

    def _call(self, function: Callable[[], None]) -> None:
        async def call() -> None:
            function()

        asyncio.run_coroutine_threadsafe(call(), self._loop).result(5)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._problem = error

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        upstreams = Upstreams()
        process = _process(self._lifecycle)
        budgets: Budgeting | None = None
        if process is not None:
            budgets = process.budgets
        elif self._keys_file:
            budgets = Budgets(self._keys_file)
        log = AccessLog(LOG)
        try:
            gateway = open_gateway(
                PluginRegistry(),
                self._routers,
                self._keys_file,
                self._metrics,
                upstreams,
                budgets,
                None if process is None or self._lifecycle is None else process.open(self._lifecycle[1]),
            )
            self.app = Application(gateway, gateway_routes(() if process is None else process.routes), log)
            self._server = make_server(self.app, 1)
            await self._server.serve([self._listener])
            gateway.close()
        finally:
            self._listener.close()
            log.close()
            if process is not None:
                process.close()
            elif budgets is not None:
                budgets.close()
            await upstreams.close()


def _process(lifecycle: tuple[str, str] | None) -> LifecycleProcess | None:
    if lifecycle is None:
        return None
    # Its package is not installed everywhere.
    from llmrouter_server.lifecycle.process import LifecycleProcess

    return LifecycleProcess(lifecycle[0])


Serve = Callable[..., Serving]
StartRaw = Callable[..., "RawUpstream"]


class RawUpstream:
    """Accepts connections, reads a request from each, and does with it what the script says.

    Attributes:
        url: Base URL.
        requests: Heads and bodies of the requests that came.
        closed: Set when a client closed its connection while the script waited for that.
        released: Set when the test ends, for scripts that wait.
    """

    def __init__(self, script: Callable[[RawUpstream, socket.socket], None]) -> None:
        self.script = script
        self.requests: list[bytes] = []
        self.closed = threading.Event()
        self.released = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def wait_for_close(self, connection: socket.socket, seconds: float = 300) -> None:
        """Wait until the client closes the connection."""
        connection.settimeout(seconds)
        with contextlib.suppress(OSError):
            while connection.recv(1024):
                pass
            self.closed.set()

    def close(self) -> None:
        """Stop."""
        self.released.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(300)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=[connection])
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(10)
            request = b""
            while b"\r\n\r\n" not in request:
                if not (data := connection.recv(65536)):
                    return
                request += data
            head, _, body = request.partition(b"\r\n\r\n")
            length = int(
                next(line[15:] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
            )
            while len(body) < length:
                body += connection.recv(65536)
            self.requests.append(head + b"\r\n\r\n" + body)
            self.script(self, connection)


def answer_with(data: bytes, *more: bytes, pause: float = 0) -> Callable[[RawUpstream, socket.socket], None]:
    """Return a script that writes bytes, the parts with a pause between, and closes the connection."""

    def script(raw: RawUpstream, connection: socket.socket) -> None:
        connection.sendall(data)
        for part in more:
            raw.released.wait(pause)
            connection.sendall(part)

    return script


def json_answer(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """Return an HTTP answer with a JSON body."""
    head = "\r\n".join(
        [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    )
    return head.encode() + b"\r\n\r\n" + body


EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


def event(text: str, **fields: Any) -> bytes:
    """Return an event with a part of an answer."""
    chunk = {
        "id": "c",
        "object": "chat.completion.chunk",
        "model": "upstream",
        "choices": [{"index": 0, "delta": {"content": text}}],
        **fields,
    }
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def events_of(text: str) -> list[Any]:
    """Return the data of events."""
    data = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
    return [item if item == "[DONE]" else json.loads(item) for item in data]


def wait_until(condition: Callable[[], bool], seconds: float = 300) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.01)
