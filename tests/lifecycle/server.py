"""The protocol over HTTP, as a server mounts it."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from llmrouter_lifecycle.api import Api
from llmrouter_lifecycle.errors import AuthenticationError
from llmrouter_lifecycle.home import Caller, Home
from llmrouter_lifecycle.rest import error_reply, handle


class Server:
    """Serves a home to the owners of keys.

    Attributes:
        url: Its address.
    """

    def __init__(self, home: Home, keys: Mapping[str, Caller]) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(Api(home), keys))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(api: Api, keys: Mapping[str, Caller]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            caller = keys.get((self.headers.get("Authorization") or "").removeprefix("Bearer "))
            if caller is None:
                reply = error_reply(AuthenticationError("the key is wrong"))
            else:
                parts = urlsplit(self.path)
                query = dict(parse_qsl(parts.query))
                key = self.headers.get("Idempotency-Key")
                reply = handle(api, caller, self.command, unquote(parts.path), query, body, key)
            self._send(reply.status, json.dumps(reply.body).encode())

        do_POST = do_PATCH = do_DELETE = do_GET

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            return

    return Handler
