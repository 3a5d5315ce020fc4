"""One client does not shut out the others, whatever it sends, keeps open, or leaves unread."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from llmrouter.gateway_settings import Settings
from llmrouter_server import protocol
from llmrouter_server.auth import Keys
from llmrouter_server.key_file import create_key
from llmrouter_server.peers import Peers, peer_of
from llmrouter_server.shares import Shares
from llmrouter_testing.upstream import Upstream
from tests.server.serving import (
    EVENTS,
    MESSAGES,
    RawUpstream,
    Serve,
    Serving,
    StartRaw,
    event,
    json_answer,
    wait_until,
)
from tests.server.test_protocol import talk


def request_bytes(*headers: str, key: str | None = None, **fields: object) -> bytes:
    """Return a chat request, as it goes over the wire."""
    body = json.dumps({"messages": MESSAGES, **fields}).encode()
    lines = [
        "POST /v1/chat/completions HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *([f"Authorization: Bearer {key}"] if key else []),
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@contextlib.contextmanager
def connected(serving: Serving, *data: bytes, receive: int | None = None) -> Iterator[socket.socket]:
    """Open a connection, which keeps only so many bytes that were not read, and send something."""
    with socket.socket() as client:
        if receive is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        client.settimeout(10)
        client.connect(("127.0.0.1", serving.port))
        for part in data:
            client.sendall(part)
        yield client


def read_all(client: socket.socket) -> bytes:
    """Read until the other side closes or resets the connection."""
    found = b""
    with contextlib.suppress(ConnectionError):
        while data := client.recv(65536):
            found += data
    return found


def big(raw: RawUpstream, connection: socket.socket) -> None:
    """Answer with some megabytes."""
    message = {"role": "assistant", "content": "x" * (8 << 20)}
    connection.sendall(json_answer(json.dumps({"choices": [{"message": message}]}).encode()))


def test_answers_that_nobody_reads_hold_no_places(serve: Serve, raw_upstream: StartRaw) -> None:
    serving = serve({"one": {"api_endpoint": raw_upstream(big).url}}, max_concurrency=5, send_seconds=0.5)
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(connected(serving, request_bytes() * 3, receive=4096))
        wait_until(lambda: serving.chat().status_code == 429)
        wait_until(lambda: serving.chat().status_code == 200)
        wait_until(lambda: any(entry["error"] == "client_too_slow" for entry in serving.entries()))


def test_an_answer_left_unread_on_an_idle_connection_is_not_kept(
    serve: Serve, raw_upstream: StartRaw, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving = serve({"one": {"api_endpoint": raw_upstream(big).url}}, send_seconds=0.3)
    # It was handed over as a whole, and its request has ended.
    with connected(serving, request_bytes("Connection: close"), receive=4096):
        wait_until(lambda: connections(serving) > 0)
        wait_until(lambda: connections(serving) == 0)


def connections(serving: Serving) -> int:
    return len(serving._server.server_state.connections)


def test_a_client_that_reads_a_byte_a_second_is_cut(serve: Serve, raw_upstream: StartRaw) -> None:
    def flood(raw: RawUpstream, connection: socket.socket) -> None:
        connection.sendall(EVENTS)
        while not raw.released.is_set():
            connection.sendall(event("x" * 100_000))

    raw = raw_upstream(flood)
    llms = {"one": {"api_endpoint": raw.url}}
    serving = serve(llms, max_concurrency=1, send_seconds=0.5, max_answer_bytes=1 << 30)
    with connected(serving, request_bytes(stream=True), receive=4096) as client:
        started = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while client.recv(1) and time.monotonic() - started < 8:
                time.sleep(0.05)
        assert serving.entries()[0]["error"] == "client_too_slow"
    assert serving.client.get("/healthz").status_code == 200


def test_a_client_that_reads_slowly_but_steadily_gets_all(serve: Serve, raw_upstream: StartRaw) -> None:
    serving = serve({"one": {"api_endpoint": raw_upstream(big).url}}, send_seconds=0.4)
    with connected(serving, request_bytes("Connection: close"), receive=65536) as client:
        size, started = 0, time.monotonic()
        while data := client.recv(1 << 17):
            size += len(data)
            if time.monotonic() - started < 1.5:
                time.sleep(0.02)
    assert size > 8 << 20


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_only_ended_its_own_side_is_answered(
    serve: Serve, upstream: Upstream, stream: bool
) -> None:
    def script(request: dict[str, object]) -> str:
        time.sleep(1)
        return "all of it"

    upstream.script = script
    serving = serve()
    with connected(serving, request_bytes(stream=stream)) as client:
        client.shutdown(socket.SHUT_WR)
        answer = read_all(client)
    *interim, last = answer.split(b"HTTP/1.1 ")[1:]
    assert all(part.startswith(b"100 Continue\r\n\r\n") for part in interim)
    assert last.startswith(b"200 OK")
    if stream:
        assert last.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    else:
        assert json.loads(last.partition(b"\r\n\r\n")[2])["choices"][0]["message"]["content"] == "all of it"


def test_pipelined_requests_of_a_client_that_ended_its_side_are_all_answered(serve: Serve) -> None:
    serving = serve()
    with connected(serving, request_bytes() * 4) as client:
        client.shutdown(socket.SHUT_WR)
        assert read_all(client).count(b"HTTP/1.1 200 OK") == 4


def test_a_client_that_left_is_not_taken_for_one_that_waits(serve: Serve, raw_upstream: StartRaw) -> None:
    raw = raw_upstream(lambda raw, connection: raw.wait_for_close(connection, 8))
    serving = serve({"one": {"api_endpoint": raw.url}})
    with connected(serving, request_bytes()):
        wait_until(lambda: bool(raw.requests))
    assert raw.closed.wait(4)
    assert serving.entries()[0]["status"] == 499


def test_only_so_many_requests_wait_on_one_connection(serve: Serve, upstream: Upstream) -> None:
    go = threading.Event()
    upstream.script = lambda request: (go.wait(5), "fine")[1]
    serving = serve()
    with connected(serving, request_bytes() * (protocol.PIPELINED + 2)) as client:
        assert read_all(client) == b""
    go.set()
    with connected(serving, request_bytes() * 8, request_bytes("Connection: close")) as client:
        assert read_all(client).count(b"HTTP/1.1 200 OK") == 9


def test_one_key_leaves_places_to_the_others(serve: Serve, upstream: Upstream) -> None:
    keys = {name: create_key("keys.json", name) for name in ("greedy", "other")}
    go = threading.Event()
    upstream.script = lambda request: (go.wait(10), "fine")[1]
    serving = serve(keys_file="keys.json", max_concurrency=5)
    ends: list[int] = []
    threads = [
        threading.Thread(target=lambda: ends.append(serving.chat(keys["greedy"]).status_code))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(ends) == 4)
    assert ends == [429] * 4
    refused = serving.chat(keys["greedy"])
    assert "'greedy'" in refused.json()["error"]["message"]
    answers: list[int] = []
    other = threading.Thread(target=lambda: answers.append(serving.chat(keys["other"]).status_code))
    other.start()
    wait_until(lambda: len(upstream.requests) == 5)
    go.set()
    for thread in [*threads, other]:
        thread.join()
    assert answers == [200]
    assert sorted(ends) == [200] * 4 + [429] * 4


def test_one_key_alone_may_have_all_places(serve: Serve) -> None:
    create_key("keys.json", "only")
    (key,) = Keys("keys.json")
    assert Keys("keys.json").sharers(key) == ()
    shares = Shares()
    for _ in range(7):
        assert shares.may_take(7, ())
        shares.take(())
    assert not shares.may_take(7, ())


@pytest.mark.parametrize("greedy", [1, 2, 5, 50])
@pytest.mark.parametrize("places", [2, 5, 100, 1024])
def test_whoever_is_greedy_a_newcomer_finds_a_place(places: int, greedy: int) -> None:
    shares = Shares()
    owners = [(f"key{number}", f"org{number}/") for number in range(min(greedy, places - 1))]
    granted = 1
    while granted:
        granted = 0
        for owner in owners:
            if shares.may_take(places, owner):
                shares.take(owner)
                granted += 1
    assert shares.taken < places
    assert shares.may_take(places, ("new", "new/"))
    if greedy == 1 and places > 4:
        assert shares.taken >= 0.75 * places
    for owner in owners:
        while shares._held[owner[0]]:
            shares.give_back(owner)
    assert (shares.taken, shares._held) == (0, {})


def test_keys_of_an_organisation_share_its_part() -> None:
    shares = Shares()
    number = 0
    while shares.may_take(100, owner := (f"key{number % 50}", "greedy/")):
        shares.take(owner)
        number += 1
    assert 75 <= number <= 85
    assert shares.may_take(100, ("other", "other/"))


def test_the_connections_of_one_peer_are_bounded() -> None:
    peers, settings = Peers(most=6), Settings(peer_connections=2, trusted_proxies=("10.1.0.0/16",))
    assert [peers.refusal("9.9.9.9", settings) is None for _ in range(3)] == [True, True, False]
    assert peers.refusal("9.9.9.8", settings) is None
    peers.left("9.9.9.9")
    peers.left("9.9.9.9")
    assert peers.refusal("9.9.9.9", settings) is None
    # A proxy that is trusted, or on this machine, speaks for many; all together are bounded all the same.
    for proxy in ("10.1.2.3", "127.0.0.1", "::1"):
        assert peers.refusal(proxy, settings) is None
    assert "as many connections" in (peers.refusal("10.1.2.3", settings) or "")


@pytest.mark.parametrize(
    ("address", "peer"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::1"),
    ],
)
def test_a_peer_is_an_address_or_a_network(address: str, peer: str) -> None:
    assert peer_of((address, 1)) == peer


def test_a_connection_too_many_is_told_so_and_closed(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    serving = serve(peer_connections=3)
    monkeypatch.setattr(Settings, "trusts", lambda settings, peer: False)
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(connected(serving))
        with connected(serving) as client:
            answer = read_all(client)
    assert answer.startswith(b"HTTP/1.1 429 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "too_many_connections"
    wait_until(lambda: connections(serving) == 0)
    assert serving.chat().status_code == 200


def test_very_many_headers_are_refused(serve: Serve) -> None:
    serving = serve()
    more = [f"X-{number}: y" for number in range(protocol.HEADERS + 1)]
    answer = talk(serving, request_bytes(*more))
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert talk(serving, request_bytes(*more[:200], "Connection: close")).startswith(b"HTTP/1.1 200 ")


def test_tls_on_the_plain_port_is_refused(serve: Serve) -> None:
    serving = serve()
    answer = talk(serving, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "not_http"
    # Garbage behind a request does not get into its answer.
    assert b"HTTP/1.1 400 " not in talk(serving, request_bytes() + b"\x16\x03\x01\r\n\r\n")
    assert serving.chat().status_code == 200


@pytest.mark.parametrize("protocol_name", ["h2c", "websocket", "TLS/1.2"])
def test_a_request_for_another_protocol_is_answered_in_this_one(serve: Serve, protocol_name: str) -> None:
    serving = serve(request_seconds=1)
    upgrade = f"Connection: Upgrade\r\nUpgrade: {protocol_name}\r\n"
    get = f"GET /healthz HTTP/1.1\r\nHost: localhost\r\n{upgrade}\r\n".encode()
    with connected(serving, get) as client:
        assert client.recv(4096).startswith(b"HTTP/1.1 200 ")
    with connected(serving, request_bytes("Connection: Upgrade", f"Upgrade: {protocol_name}")) as client:
        assert client.recv(4096).startswith(b"HTTP/1.1 200 ")
    wait_until(lambda: connections(serving) == 0)


def test_who_asks_to_continue_and_sends_nothing_is_not_waited_for(serve: Serve) -> None:
    serving = serve(request_seconds=0.3)
    head = request_bytes("Expect: 100-continue").partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    answer = talk(serving, head)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 408 ")


def test_bytes_that_begin_no_request_keep_no_connection(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.3)
    serving = serve()
    # The second is a body that nobody reads, and that drips after the answer.
    for request, more in (
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\r\n"),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n", b"x"),
    ):
        with connected(serving, request) as client:
            answer = b""
            while not answer.endswith(b'"ok"}'):
                answer += client.recv(4096)
            client.sendall(more)
            assert read_all(client) == b""


def test_very_many_connections_that_say_nothing_shut_out_nobody(serve: Serve) -> None:
    serving = serve()
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(connected(serving, b"GET / HT"))
        assert serving.chat().status_code == 200
