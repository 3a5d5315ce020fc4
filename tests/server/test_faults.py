"""Upstreams that refuse, hang, break off, send garbage or drip: before real connections."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

import httpx2 as httpx
import pytest

from llmrouter_testing.upstream import Reply, Upstream
from tests.server.serving import (
    EVENTS,
    MESSAGES,
    RawUpstream,
    Serve,
    StartRaw,
    answer_with,
    event,
    json_answer,
    wait_until,
)
from tests.timing import allowed

DONE = b"data: [DONE]\n\n"
GOOD = json.dumps({"choices": [], "model": "m"}).encode()


def hang(raw: RawUpstream, connection: socket.socket) -> None:
    raw.wait_for_close(connection)


def slow_head(raw: RawUpstream, connection: socket.socket) -> None:
    for byte in json_answer(GOOD):
        connection.sendall(bytes([byte]))
        if raw.released.wait(0.02):
            return


def unused_url() -> str:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


GARBAGE = {
    "no HTTP": b"hello\r\n\r\n",
    "nothing": b"",
    "no JSON": json_answer(b"{nope"),
    "JSON of another kind": json_answer(b"[1]"),
    "no choices": json_answer(b'{"id": 1}'),
    "choices that are none": json_answer(b'{"choices": "x"}'),
    "an error with status 200": json_answer(b'{"error": {"message": "secret"}}'),
    "HTML": b'HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 15\r\n\r\n{"choices": []}',
    "a redirect": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
    "a broken body": json_answer(GOOD)[:-3],
    "too large a body": json_answer(b'{"choices": ["' + b"x" * 5000 + b'"]}'),
    "an endless head": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000,
    "endless heads": b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000,
    "an endless trailer": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    + b"a: b\r\n" * 50_000,
    "an upgrade": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "two lengths": json_answer(GOOD, "200 OK", "Content-Length: 3"),
    "deep JSON": json_answer(b'{"choices": ' + b"[" * 3000 + b"]" * 2000),
    "compressed in no known way": json_answer(GOOD, "200 OK", "Content-Encoding: gzip"),
}


@pytest.mark.parametrize("what", GARBAGE)
def test_garbage_is_a_fault(serve: Serve, raw_upstream: StartRaw, upstream: Upstream, what: str) -> None:
    raw = raw_upstream(answer_with(GARBAGE[what]))
    llms = {"bad": {"api_endpoint": raw.url}, "good": {"api_endpoint": upstream.url}}
    serving = serve(llms, max_answer_bytes=4096, first_byte_seconds=5)
    assert serving.chat().json()["llmrouter"]["model_name"] == "good"
    response = serving.chat(model="bad")
    assert response.status_code == 502, response.text
    assert "secret" not in response.text
    assert raw.url not in response.text


def test_an_upstream_that_cannot_be_reached_is_replaced(serve: Serve, upstream: Upstream) -> None:
    serving = serve({"gone": {"api_endpoint": unused_url()}, "there": {"api_endpoint": upstream.url}})
    assert serving.chat().json()["llmrouter"]["fallback_reason"] == "gone: the upstream cannot be reached"
    assert serving.chat(model="gone").status_code == 502


@pytest.mark.parametrize("script", [hang, slow_head])
@pytest.mark.parametrize("stream", [False, True])
def test_an_upstream_that_does_not_begin_in_time_is_replaced(
    serve: Serve, raw_upstream: StartRaw, upstream: Upstream, script: Any, stream: bool
) -> None:
    raw = raw_upstream(script)
    serving = serve(
        {"slow": {"api_endpoint": raw.url}, "there": {"api_endpoint": upstream.url}}, first_byte_seconds=0.2
    )
    started = time.monotonic()
    response = serving.chat(stream=stream)
    assert time.monotonic() - started < allowed(2)
    assert response.headers["x-llmrouter-model"] == "there"
    response = serving.chat(model="slow", stream=stream)
    assert response.status_code == 504
    assert response.json()["error"]["code"] == "upstream_timeout"


def test_a_body_that_drips_ends_with_the_time_for_all(serve: Serve, raw_upstream: StartRaw) -> None:
    def drip(raw: RawUpstream, connection: socket.socket) -> None:
        connection.sendall(json_answer(GOOD + b" " * 1000)[: -len(GOOD) - 1000])
        while not raw.released.wait(0.02):
            connection.sendall(b" ")

    raw = raw_upstream(drip)
    started = time.monotonic()
    assert serve({"drip": {"api_endpoint": raw.url}}, total_seconds=0.4).chat().status_code == 504
    assert time.monotonic() - started < allowed(2)


def test_a_body_that_stops_is_a_fault(serve: Serve, raw_upstream: StartRaw) -> None:
    def stop(raw: RawUpstream, connection: socket.socket) -> None:
        connection.sendall(json_answer(GOOD)[:-5])
        hang(raw, connection)

    raw = raw_upstream(stop)
    assert serve({"stop": {"api_endpoint": raw.url}}, idle_seconds=0.2).chat().status_code == 504
    assert raw.closed.wait(60)


def test_a_connection_that_the_upstream_closed_meanwhile_is_no_fault(
    serve: Serve, raw_upstream: StartRaw
) -> None:
    again: list[bytes] = []

    def script(raw: RawUpstream, connection: socket.socket) -> None:
        connection.sendall(json_answer(GOOD))
        if not again:
            # What comes next over the same connection gets no answer.
            again.append(connection.recv(65536))

    raw = raw_upstream(script)
    serving = serve({"one": {"api_endpoint": raw.url}})
    assert serving.chat().status_code == 200
    response = serving.chat()
    assert response.status_code == 200
    assert response.json()["llmrouter"]["attempts"] == 1
    assert again[0].startswith(b"POST ")
    assert len(raw.requests) == 2


def test_a_call_that_may_have_been_worked_on_is_not_repeated(serve: Serve, raw_upstream: StartRaw) -> None:
    raw = raw_upstream(lambda raw, connection: None)
    assert serve({"one": {"api_endpoint": raw.url}}).chat().status_code == 502
    assert len(raw.requests) == 1


def test_an_answer_may_have_many_forms_of_http(serve: Serve, raw_upstream: StartRaw) -> None:
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x;x=1\r\n%b\r\n0\r\nTrailer: 1\r\n\r\n"
    forms = [
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + json_answer(GOOD),
        chunked % (len(GOOD), GOOD),
        b"HTTP/1.0 200 OK\r\n\r\n" + GOOD,
        b"HTTP/1.1 200 \r\nCONTENT-TYPE: Application/JSON; charset=utf-8\r\nConnection: close\r\n\r\n" + GOOD,
        json_answer(GOOD) + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    ]
    for form in forms:
        raw = raw_upstream(answer_with(*(form[place : place + 7] for place in range(0, len(form), 7))))
        serving = serve({"one": {"api_endpoint": raw.url}})
        # The second is no answer to it, though it came over the first one's connection.
        for _ in range(2):
            response = serving.chat()
            assert response.status_code == 200, response.text
            assert response.json()["llmrouter"]["upstream_model"] == "m"


def test_a_stream_is_relayed_with_the_decision_in_its_first_chunk(serve: Serve) -> None:
    chunks = serve().stream(stream_options={"include_usage": True})
    assert chunks[-1] == "[DONE]"
    first, *others = chunks[:-1]
    assert first["llmrouter"]["model_name"] == "small"
    assert first["llmrouter"]["router"] == "randomrouter"
    assert first["llmrouter"]["upstream_model"] == "upstream-vendor/small"
    assert {chunk["model"] for chunk in chunks[:-1]} == {"small"}
    text = [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks[:-2] if chunk["choices"]]
    assert "".join(text) == "echo What is AI?"
    usage = next(chunk for chunk in others if chunk.get("usage"))
    assert usage["llmrouter"]["cost"] == pytest.approx(11e-6)


def test_a_streamed_answer_is_counted_and_logged_whether_or_not_the_client_asks_for_its_tokens(
    serve: Serve, upstream: Upstream
) -> None:
    serving = serve()
    chunks = serving.stream()
    assert upstream.requests[0]["stream_options"] == {"include_usage": True}
    assert all("usage" not in chunk and chunk["choices"] for chunk in chunks[:-1])
    assert serving.metric("answers_total", router="randomrouter", model="small") == 1
    assert serving.metric("tokens_total", model="small", direction="completion") == 4
    entry = serving.entries()[0]
    assert (entry["stream"], entry["status"], entry["completion_tokens"]) == (True, 200, 4)
    assert entry["cost"] == pytest.approx(11e-6)
    assert entry["bytes_out"] > 300


def test_chunks_arrive_as_they_are_sent(serve: Serve, raw_upstream: StartRaw) -> None:
    def script(raw: RawUpstream, connection: socket.socket) -> None:
        connection.sendall(EVENTS + event("one"))
        arrived.wait(60)
        connection.sendall(event("two") + DONE)

    import threading

    arrived = threading.Event()
    serving = serve({"one": {"api_endpoint": raw_upstream(script).url}})
    body = {"messages": MESSAGES, "stream": True}
    with serving.client.stream("POST", "/v1/chat/completions", json=body) as response:
        parts = response.iter_text()
        assert "one" in next(parts)
        arrived.set()
        assert "two" in "".join(parts)


def test_events_may_come_in_any_pieces_with_comments_and_other_line_ends(
    serve: Serve, raw_upstream: StartRaw
) -> None:
    data = (
        b": wait\n\n\n"
        + event("one")
        + b": still here\r\n\r\nid: 7\r\n"
        + event("two")
        + DONE
        + b"data: late\n\n"
    )
    pieces = [bytes([byte]) for byte in data]
    serving = serve({"one": {"api_endpoint": raw_upstream(answer_with(EVENTS, *pieces)).url}})
    response = serving.chat(stream=True)
    lines = [line for line in response.text.splitlines() if line]
    assert lines[0].startswith("data: {")
    assert lines[1] == ": still here"
    assert lines[2] == "id: 7"
    assert '"two"' in lines[3]
    assert lines[4:] == ["data: [DONE]"]


BROKEN = {
    "it ends without [DONE]": b"",
    "an event is no JSON": b"data: {nope\n\n",
    "it reports an error": b'data: {"error": {"message": "secret"}}\n\n',
    "an event is too large": b"data: " + b"x" * 3000,
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_stream_that_breaks_after_it_began_ends_with_an_error_event(
    serve: Serve, raw_upstream: StartRaw, what: str
) -> None:
    raw = raw_upstream(answer_with(EVENTS + event("one"), event("two") + BROKEN[what], pause=0.05))
    serving = serve({"one": {"api_endpoint": raw.url}}, max_event_bytes=1024)
    chunks = serving.stream()
    assert len(chunks) == 3
    assert chunks[1]["choices"][0]["delta"]["content"] == "two"
    error = chunks[-1]["error"]
    assert error["code"] in ("upstream_broken", "upstream_garbage")
    assert "secret" not in json.dumps(chunks)
    assert serving.entries()[0]["error"] == error["code"]
    assert serving.gateway.candidates["one"].cooldown.until > 0


def test_a_stream_that_stops_ends_with_an_error_event(serve: Serve, raw_upstream: StartRaw) -> None:
    def stop(raw: RawUpstream, connection: socket.socket) -> None:
        connection.sendall(EVENTS + event("one"))
        hang(raw, connection)

    raw = raw_upstream(stop)
    chunks = serve({"one": {"api_endpoint": raw.url}}, idle_seconds=0.2).stream()
    assert chunks[-1]["error"]["code"] == "upstream_timeout"
    assert raw.closed.wait(60)


def test_a_stream_ends_with_the_time_for_all(serve: Serve, raw_upstream: StartRaw) -> None:
    def endless(raw: RawUpstream, connection: socket.socket) -> None:
        connection.sendall(EVENTS)
        while not raw.released.wait(0.02):
            connection.sendall(event("more"))

    raw = raw_upstream(endless)
    chunks = serve({"one": {"api_endpoint": raw.url}}, total_seconds=0.4).stream()
    assert len(chunks) > 3
    assert chunks[-1]["error"]["code"] == "upstream_timeout"


def test_a_stream_is_bounded_in_size(serve: Serve, raw_upstream: StartRaw) -> None:
    raw = raw_upstream(answer_with(EVENTS, *[event("x" * 500)] * 20, pause=0.005))
    chunks = serve({"one": {"api_endpoint": raw.url}}, max_answer_bytes=4096).stream()
    assert chunks[-1]["error"]["code"] == "upstream_garbage"


NOT_BEGUN = {
    "an answer that is no stream": json_answer(GOOD),
    "an error first": EVENTS + b'data: {"error": {"message": "secret"}}\n\n',
    "no JSON first": EVENTS + b"data: nope\n\n",
    "nothing": EVENTS,
    "only comments": EVENTS + b": hello\n\n",
    "the end at once": EVENTS + DONE,
}


@pytest.mark.parametrize("what", NOT_BEGUN)
def test_a_stream_that_does_not_begin_well_is_replaced(
    serve: Serve, raw_upstream: StartRaw, upstream: Upstream, what: str
) -> None:
    raw = raw_upstream(answer_with(NOT_BEGUN[what]))
    serving = serve({"bad": {"api_endpoint": raw.url}, "good": {"api_endpoint": upstream.url}})
    chunks = serving.stream()
    assert chunks[0]["llmrouter"]["model_name"] == "good"
    assert chunks[0]["llmrouter"]["attempts"] == 2
    response = serving.chat(model="bad", stream=True)
    assert response.status_code == 502
    assert "secret" not in response.text


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("begun", [False, True])
def test_a_client_that_goes_away_ends_the_call_of_the_upstream(
    serve: Serve, raw_upstream: StartRaw, stream: bool, begun: bool
) -> None:
    def script(raw: RawUpstream, connection: socket.socket) -> None:
        if begun:
            connection.sendall(EVENTS + event("one") if stream else json_answer(GOOD)[:-4])
        hang(raw, connection)

    raw = raw_upstream(script)
    serving = serve({"one": {"api_endpoint": raw.url}})
    body = json.dumps({"messages": MESSAGES, "stream": stream}).encode()
    with socket.create_connection(("127.0.0.1", serving.port)) as client:
        client.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        wait_until(lambda: bool(raw.requests))
        if begun and stream:
            assert b"200 OK" in client.recv(100)
    assert raw.closed.wait(60)
    entry = serving.entries()[0]
    assert entry["error"] == "client_gone"
    assert entry["status"] == (200 if begun and stream else 499)
    assert serving.gateway.candidates["one"].cooldown.until == 0


def test_a_client_that_reads_nothing_is_given_up(serve: Serve, raw_upstream: StartRaw) -> None:
    def flood(raw: RawUpstream, connection: socket.socket) -> None:
        connection.sendall(EVENTS)
        while not raw.released.is_set():
            connection.sendall(event("x" * 100_000))

    raw = raw_upstream(flood)
    serving = serve({"one": {"api_endpoint": raw.url}}, send_seconds=0.3, max_answer_bytes=1 << 30)
    body = json.dumps({"messages": MESSAGES, "stream": True}).encode()
    with socket.create_connection(("127.0.0.1", serving.port)) as client:
        client.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        assert serving.entries()[0]["error"] == "client_too_slow"


def test_an_error_after_fallbacks_says_which_upstream(serve: Serve, upstream: Upstream) -> None:
    def script(request: dict[str, Any]) -> str:
        raise Reply(500)

    upstream.script = script
    response = serve().chat()
    assert isinstance(response, httpx.Response)
    assert response.json()["error"]["message"] == "large: the upstream answered with status 500."
    assert response.json()["error"]["type"] == "upstream_error"
