"""A server on this machine that speaks the OpenAI chat protocol as a test tells it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Reply(Exception):
    """Raised by a script in place of an answer: a status with headers and a body.

    The body is sent as JSON, bytes as they are, and what a generator yields piece by piece until it ends,
    which closes the connection.
    """

    def __init__(self, status: int, body: Any = None, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.body = body if isinstance(body, bytes | Iterator) else json.dumps(body).encode()
        self.headers = {"Content-Type": "application/json", **(headers or {})}


Script = Callable[[dict[str, Any]], str]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that went away."""


class Upstream:
    """Answers each request with what the script returns for its body.

    Attributes:
        url: Base URL, such as ``http://127.0.0.1:4711/v1``.
        requests: The bodies that came, in order.
        keys: The key of each.
        headers: The headers of each, their names in lower case.
        connections: How many were opened.
        script: Text of the answer to a request; it may raise `Reply`, or wait.
        released: Set when the server ends, for scripts that wait for it.
    """

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.headers: list[dict[str, str]] = []
        self.connections = 0
        self.script: Script = lambda request: f"echo {request['messages'][-1]['content']}"
        self.released = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(upstream: Upstream) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Else an answer's body waits until its head was acknowledged, 40 ms.
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            upstream.connections += 1

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            upstream.requests.append(request)
            upstream.headers.append({name.lower(): value for name, value in self.headers.items()})
            upstream.keys.append((self.headers["Authorization"] or "").removeprefix("Bearer ") or None)
            try:
                text = upstream.script(request)
            except Reply as reply:
                self._send(reply.status, reply.body, reply.headers)
                return
            if not request.get("stream"):
                self._send(200, json.dumps(completion(request, text)).encode(), {})
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            for event in events(request, text):
                self.wfile.write(b"data: " + json.dumps(event).encode() + b"\n\n")
                self.wfile.flush()
            self.wfile.write(b"data: [DONE]\n\n")
            self.close_connection = True

        def _send(self, status: int, body: bytes | Iterable[bytes], headers: Mapping[str, str]) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            if isinstance(body, bytes):
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                return
            self.close_connection = True
            self.end_headers()
            for piece in body:
                self.wfile.write(piece)
                self.wfile.flush()

        def log_message(self, format: str, *args: Any) -> None:
            return

    return Handler


def completion(request: Mapping[str, Any], text: str) -> dict[str, Any]:
    """A whole answer: a token for each word."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": f"upstream-{request['model']}",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": usage(request, text),
    }


def events(request: Mapping[str, Any], text: str) -> Iterator[dict[str, Any]]:
    """The chunks of a streamed answer: one for each word."""
    head = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": f"upstream-{request['model']}",
    }
    for word in text.split(" "):
        delta = {"content": word if word == text.split(" ")[0] else f" {word}"}
        yield {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    yield {**head, "choices": [], "usage": usage(request, text)}


def usage(request: Mapping[str, Any], text: str) -> dict[str, int]:
    """Tokens of a request and its answer."""
    asked = sum(len(message["content"].split()) for message in request["messages"])
    return {
        "prompt_tokens": asked,
        "completion_tokens": len(text.split()),
        "total_tokens": asked + len(text.split()),
    }
