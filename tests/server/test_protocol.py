"""What clients send beside the bodies of their requests is bounded."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from pathlib import Path

import pytest

from llmrouter_server import protocol
from tests.server.serving import MESSAGES, Serve, Serving
from tests.timing import allowed

BODY = json.dumps({"messages": MESSAGES}).encode()
START = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def talk(serving: Serving, *parts: bytes, pause: float = 0) -> bytes:
    """Send bytes, as far as they are taken, and return what comes until the connection is closed."""
    with socket.create_connection(("127.0.0.1", serving.port), timeout=300) as connection:
        with contextlib.suppress(ConnectionError):
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while data := connection.recv(65536):
                answer += data
        return answer


def resident() -> int:
    """Resident memory of this process, in which the gateway runs, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_a_head_of_a_megabyte_is_refused(serve: Serve) -> None:
    serving = serve()
    answer = talk(serving, START + b"X-Long: " + b"x" * (1 << 20) + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "head_too_large"
    assert serving.chat().status_code == 200


ENDLESS = {
    "a value": (START + b"X-Long: ", b"x"),
    "headers": (START, b"X: y\r\n"),
    "a path": (b"GET /", b"x"),
    "lines before a request": (b"", b"\r\n"),
    "trailers": (START + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n"),
    "the extension of a chunk": (START + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x"),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_what_has_no_end_is_cut_off_and_not_kept(serve: Serve, what: str) -> None:
    serving = serve()
    serving.chat()
    first, more = ENDLESS[what]
    piece = more * (16384 // len(more))
    before = resident()
    started = time.monotonic()
    answer = talk(serving, first, *[piece] * 10_000)  # 160 MB
    assert time.monotonic() - started < allowed(8)
    assert resident() - before < 20 << 20
    assert answer[:13] in (b"HTTP/1.1 431 ", b"HTTP/1.1 400 ", b"")
    assert serving.chat().status_code == 200


def test_a_head_that_drips_is_not_waited_for(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.2)
    serving = serve()
    answer = talk(serving, *[bytes([byte]) for byte in START[:40]], pause=0.02)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert talk(serving) == b""
    # Neither a body nor the next request falls under it.
    length = b"Content-Length: %d\r\n\r\n" % len(BODY)
    slow = talk(
        serving,
        START + length,
        BODY[:10],
        BODY[10:],
        START + b"Connection: close\r\n" + length + BODY,
        pause=0.3,
    )
    assert slow.count(b"HTTP/1.1 200 OK") == 2


def test_heads_and_bodies_in_any_pieces_are_good(serve: Serve) -> None:
    serving = serve()
    long = b"".join(b"X-%d: %b\r\n" % (number, b"y" * 1000) for number in range(40))
    body = json.dumps({"messages": [{"role": "user", "content": "z" * 300_000}]}).encode()
    whole = START + long + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    answer = talk(serving, *(whole[place : place + 5000] for place in range(0, len(whole), 5000)))
    assert answer.startswith(b"HTTP/1.1 200 ")
    tiny = b"".join(b"1\r\n%c\r\n" % byte for byte in BODY) + b"0\r\n\r\n"
    head = START + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert talk(serving, head, *(tiny[place : place + 7] for place in range(0, len(tiny), 7))).startswith(
        b"HTTP/1.1 200 "
    )
