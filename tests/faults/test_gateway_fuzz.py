"""Fuzz what clients and upstreams send: never a 500, never a hang, and every place is given back.

``corpus/`` keeps what once failed, and what is likely to: each file is tried as it is, and changed at random.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import time
from pathlib import Path
from typing import Any

import httptools
import httpx2 as httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmrouter_server.sse import EventSplitter, split_event
from tests.server.serving import EVENTS, Serve, Serving, StartRaw, wait_until

CORPUS = Path(__file__).parent / "corpus"
TOKENS = [
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\n\n",
        b"\r\n\r\n",
        b"\0",
        b"\xff",
        b"\xef\xbb\xbf",
        b'"',
        b"{",
        b"}",
        b"[" * 2000,
    ),
    *(
        b"data: ",
        b"data: [DONE]\n\n",
        b": x\n\n",
        b"event: error\n",
        b'"error":{},',
        b"null",
        b"NaN",
        b"-1",
        b"1e999",
    ),
    *(
        b"9" * 400,
        b"\\ud83d",
        b"Content-Length: 5\r\n",
        b"Content-Length: -1\r\n",
        b"Transfer-Encoding: chunked\r\n",
    ),
    *(
        b"Content-Encoding: gzip\r\n",
        b"Retry-After: 1e999\r\n",
        b"Expect: 100-continue\r\n",
        b"0\r\n\r\n",
        b"ffffffff\r\n",
    ),
    *(
        b"HTTP/1.1 101 x\r\n\r\n",
        b"HTTP/1.1 100 x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ),
]
LONGEST_SECONDS = 5.0
SOME = settings(
    deadline=None,
    max_examples=40,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
MANY = settings(SOME, max_examples=1500, derandomize=False)


def kept(kind: str) -> list[bytes]:
    """Return the kept inputs of a kind."""
    found = [path.read_bytes() for path in sorted((CORPUS / kind).iterdir())]
    assert found
    return found


@st.composite
def changed(draw: st.DrawFn, kind: str) -> list[bytes]:
    """Return a kept input, changed in some places and cut into pieces."""
    data = draw(st.sampled_from(kept(kind)))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(data)))
        end = min(len(data), place + draw(st.sampled_from([0, 0, 1, 2, 20])))
        data = data[:place] + draw(st.sampled_from(TOKENS) | st.binary(max_size=4)) + data[end:]
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=3)))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def send(serving: Serving, pieces: list[bytes]) -> bytes:
    """Send bytes to a gateway; returns all that it answers before it closes the connection, which it must."""
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", serving.port), timeout=LONGEST_SECONDS) as connection:
        answer = b""
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                connection.sendall(piece)
            with contextlib.suppress(OSError):
                # Unless it was closed before.
                connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65536):
                answer += part
    assert time.monotonic() - started < LONGEST_SECONDS
    return answer


class Answers:
    """What a client's parser makes of bytes: statuses, and bodies that are complete."""

    def __init__(self, data: bytes) -> None:
        self.statuses: list[int] = []
        self.bodies: list[bytes] = []
        self._body = b""
        self._parser = httptools.HttpResponseParser(self)
        self._parser.feed_data(data)

    def on_headers_complete(self) -> None:
        self.statuses.append(self._parser.get_status_code())
        self._body = b""

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self.bodies.append(self._body)


def check_request(serving: Serving, pieces: list[bytes]) -> None:
    """Send a request that may be anything, and check what comes of it."""
    data = b"".join(pieces)
    answer = send(serving, pieces)
    assert not re.search(rb"^HTTP/1\.1 500 ", answer, re.MULTILINE), (data, answer)
    if answer and b"HEAD" not in data:
        found = Answers(answer)
        assert all(status < 600 and status != 500 for status in found.statuses), (data, answer)
        for status, body in zip(found.statuses, found.bodies, strict=False):
            assert status < 400 or json.loads(body)["error"]["message"], (data, answer)


def one_place(serve: Serve, **options: Any) -> Serving:
    """A gateway with one place for requests: one that is not given back shuts everybody out."""
    return serve(
        max_concurrency=1, request_seconds=0.5, cooldown_seconds=0.001, max_cooldown_seconds=0.001, **options
    )


def fuzz_requests(serving: Serving, limits: settings) -> None:
    @limits
    @given(changed("http"))
    def fuzz(pieces: list[bytes]) -> None:
        check_request(serving, pieces)

    for data in kept("http"):
        check_request(serving, [data])
    fuzz()
    wait_until(lambda: serving.chat().status_code == 200)


def test_no_request_is_a_500_or_keeps_a_place(serve: Serve) -> None:
    fuzz_requests(one_place(serve), SOME)


@pytest.mark.full
def test_no_request_of_many_is_a_500_or_keeps_a_place(serve: Serve) -> None:
    fuzz_requests(one_place(serve), MANY)


class Fuzzed:
    """A gateway before an upstream whose answer is set, with one turn at its service."""

    def __init__(self, serve: Serve, raw_upstream: StartRaw) -> None:
        self._pieces: list[bytes] = []
        raw = raw_upstream(lambda raw, connection: [connection.sendall(piece) for piece in self._pieces])
        self.serving = one_place(
            serve,
            llms={"one": {"service": "s", "api_endpoint": raw.url, "input_price": 1, "output_price": 1}},
            services={"s": {"concurrency": 1}},
            first_byte_seconds=2,
            idle_seconds=2,
        )

    def check(self, pieces: list[bytes], stream: bool) -> None:
        """Have the upstream answer so, and check what the client gets."""
        self._pieces = pieces
        self.serving.gateway.candidates["one"].cooldown.success()
        started = time.monotonic()
        response = self.serving.chat(stream=stream)
        assert time.monotonic() - started < LONGEST_SECONDS, pieces
        assert response.status_code != 500, (pieces, response.text)
        # A turn or a place that was not given back.
        assert "too_many_requests" not in response.text, pieces
        assert "as many calls as it may be" not in response.text, pieces
        if response.status_code != 200:
            assert isinstance(response.json()["error"]["message"], str), pieces
        elif stream:
            check_stream(response, pieces)
        else:
            assert isinstance(response.json()["choices"], list), pieces
            response.content.decode()

    def fuzz(self, kind: str, head: bytes, limits: settings) -> None:
        """Check kept answers of a kind, and changed ones."""

        @limits
        @given(changed(kind), st.booleans())
        def fuzz(pieces: list[bytes], stream: bool) -> None:
            self.check([head, *pieces], stream or bool(head))

        for data in kept(kind):
            for stream in (True,) if head else (False, True):
                self.check([head, data], stream)
        fuzz()


def check_stream(response: httpx.Response, pieces: list[bytes]) -> None:
    """Check that a stream is text, each event JSON, and its end the end or an error."""
    text = response.content.decode()
    found = []
    for event in text.encode().split(b"\n\n")[:-1]:
        _, data = split_event(event)
        if data is not None:
            found.append(data)
    assert text.endswith("\n\n"), pieces
    assert found, pieces
    assert found[-1] == b"[DONE]" or "error" in json.loads(found[-1]), (pieces, text)
    for data in found[:-1]:
        assert isinstance(json.loads(data), dict), (pieces, text)


def test_no_stream_is_a_500_or_keeps_a_turn(serve: Serve, raw_upstream: StartRaw) -> None:
    Fuzzed(serve, raw_upstream).fuzz("sse", EVENTS, SOME)


def test_no_answer_is_a_500_or_keeps_a_turn(serve: Serve, raw_upstream: StartRaw) -> None:
    Fuzzed(serve, raw_upstream).fuzz("answers", b"", SOME)


@pytest.mark.full
@pytest.mark.parametrize(("kind", "head"), [("sse", EVENTS), ("answers", b"")], ids=["sse", "answers"])
def test_no_answer_of_many_is_a_500_or_keeps_a_turn(
    serve: Serve, raw_upstream: StartRaw, kind: str, head: bytes
) -> None:
    Fuzzed(serve, raw_upstream).fuzz(kind, head, MANY)


def events_by_line(data: bytes) -> list[bytes]:
    """Cut a whole stream into events, line by line as the standard describes it."""
    lines = re.split(rb"\r\n|\r|\n", data.removeprefix(b"\xef\xbb\xbf"))
    found: list[bytes] = []
    event: list[bytes] = []
    for line in lines[:-1]:
        if line:
            event.append(line)
        elif event:
            found.append(b"\n".join(event))
            event = []
    return found


@settings(deadline=None)
@given(changed("sse"))
def test_events_are_those_of_the_standard_however_the_bytes_are_cut(pieces: list[bytes]) -> None:
    splitter = EventSplitter(1 << 20)
    found = [event for piece in pieces for event in splitter.feed(piece)]
    assert found == events_by_line(b"".join(pieces))
