"""A client that hides nothing of the wire."""

from __future__ import annotations

import http.client
import json
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.gateway.upstream import HOST

# More than any answer may take here: a request that hangs fails its test.
SECONDS = 120


class Answer(NamedTuple):
    """An answer, as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error that the body holds, which must be one as the OpenAI protocol has it."""
        error: dict[str, Any] = self.json["error"]
        assert set(error) >= {"message", "type", "param", "code"}, error
        return error

    @property
    def events(self) -> list[Any]:
        """The events of a stream, decoded but for the closing one."""
        assert self.headers["content-type"].startswith("text/event-stream"), self.headers
        assert self.body.endswith(b"\n\n"), self.body[-200:]
        data = [part.removeprefix(b"data: ") for part in self.body.split(b"\n\n")[:-1]]
        return ["[DONE]" if part == b"[DONE]" else json.loads(part) for part in data]

    @property
    def text(self) -> str:
        """What the LLM said, streamed or not."""
        if self.headers["content-type"].startswith("application/json"):
            return str(self.json["choices"][0]["message"]["content"])
        chunks = [event for event in self.events if event != "[DONE]"]
        choices = [choice for chunk in chunks for choice in chunk.get("choices", [])]
        return "".join(choice["delta"].get("content") or "" for choice in choices)


class Gateway:
    """A gateway that runs.

    Attributes:
        port: Where it listens.
        process: Its first process.
        place: The folder it was started in.
        key: Bearer key that is sent, if any.
    """

    def __init__(self, port: int, process: subprocess.Popen[bytes], place: Path) -> None:
        self.port = port
        self.process = process
        self.place = place
        self.key: str | None = None

    @property
    def url(self) -> str:
        """Base URL for clients."""
        return f"http://{HOST}:{self.port}/v1"

    def output(self) -> str:
        """What it has said."""
        return (self.place / "output.log").read_text(errors="replace")

    def access_log(self) -> str:
        """Its access log, which is written some moments after an answer."""
        path = self.place / "access.log"
        return path.read_text() if path.exists() else ""

    def entries(self, count: int) -> list[Any]:
        """The entries of the access log for requests with a body, once there are so many."""
        wait_for(lambda: self.access_log().count('"POST"') >= count)
        lines = self.access_log().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n") and '"POST"' in line]

    def get(self, path: str, **headers: str) -> Answer:
        """GET a path."""
        return self.send("GET", path, None, headers)

    def post(self, path: str, body: Any, **headers: str) -> Answer:
        """POST something as JSON, bytes as they are."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.send("POST", path, data, {"Content-Type": "application/json", **headers})

    def chat(self, query: str, model: str = "auto", **fields: Any) -> Answer:
        """Ask for a chat completion."""
        messages = [{"role": "user", "content": query}]
        return self.post("/v1/chat/completions", {"model": model, "messages": messages, **fields})

    def send(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        """Send a request and read the whole answer."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=SECONDS)
        own = {} if self.key is None else {"Authorization": f"Bearer {self.key}"}
        try:
            connection.request(method, path, body, {**own, **headers})
            response = connection.getresponse()
            told = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, told, response.read())
        finally:
            connection.close()


def wait_for(condition: Callable[[], bool], seconds: float = SECONDS) -> None:
    """Wait until something is so.

    Raises:
        AssertionError: It is not so in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to it in time"
        time.sleep(0.01)
