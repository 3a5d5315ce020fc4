"""Streams: each event as it comes, the decision in the first, an end for the upstream with the client's."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time

import pytest

from tests.gateway.client import SECONDS, Gateway, wait_for
from tests.gateway.conftest import Serve
from tests.gateway.upstream import (
    HOST,
    USAGE,
    WORDS,
    Exchange,
    Upstream,
    answers,
    completion,
    event,
    events,
    hangs,
    says,
    streams,
)
from tests.timing import allowed

BODY = {"model": "auto", "messages": [{"role": "user", "content": "one"}]}


@pytest.fixture(scope="module")
def gateway(serve_module: Serve) -> Gateway:
    """A gateway with two candidates."""
    return serve_module("one", "two")


def _ask(gateway: Gateway, *, stream: bool) -> socket.socket:
    """Send a request and leave its answer to the test."""
    body = json.dumps({**BODY, "stream": stream}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
    connection = socket.create_connection((HOST, gateway.port), timeout=SECONDS)
    connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return connection


def test_the_first_event_holds_the_decision(gateway: Gateway) -> None:
    answer = gateway.chat("one two", stream=True)
    first, *others = answer.events
    assert first["llmrouter"]["model_name"] == "one"
    assert first["llmrouter"]["router"] == "said"
    assert first["llmrouter"]["scores"] == {"one": 1.0, "two": 0.5}
    assert others[-1] == "[DONE]"
    assert all("llmrouter" not in other for other in others[:-1])
    assert {told["model"] for told in answer.events[:-1]} == {"one"}
    assert answer.text == "".join(WORDS)
    assert answer.headers["x-llmrouter-model"] == "one"
    assert answer.headers["x-llmrouter-router"] == "said"


def test_usage_comes_where_it_is_asked_for(gateway: Gateway) -> None:
    asked = gateway.chat("one", stream=True, stream_options={"include_usage": True}).events
    assert asked[-2]["usage"] == USAGE
    assert all(not told.get("usage") for told in gateway.chat("one", stream=True).events[:-1])


def test_each_event_is_passed_on_as_it_comes(gateway: Gateway, llm: Upstream) -> None:
    proceed = threading.Event()
    llm.behave("one", streams(events(), proceed=proceed))
    connection = http.client.HTTPConnection(HOST, gateway.port, timeout=SECONDS)
    try:
        body = json.dumps({**BODY, "stream": True})
        connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        # The upstream goes on only once the first event has come here.
        assert b"llmrouter" in response.readline()
        proceed.set()
        assert response.read().endswith(b"data: [DONE]\n\n")
    finally:
        proceed.set()
        connection.close()


def test_the_connection_of_a_finished_stream_is_used_again(gateway: Gateway, llm: Upstream) -> None:
    async def soon(exchange: Exchange) -> None:
        await asyncio.sleep(0.05)

    llm.behave("one", streams(events(), then=soon))
    peers = []
    for _ in range(3):
        assert gateway.chat("Hello", stream=True).body.endswith(b"data: [DONE]\n\n")
        peers.append(llm.last("one").peer)
        time.sleep(0.5)
    assert len(set(peers)) == 1


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_the_upstream_is_left_when_the_client_goes(gateway: Gateway, llm: Upstream, stream: bool) -> None:
    llm.behave("one", streams(events()[:2], then=hangs) if stream else hangs)
    before = len(llm.requests("one"))
    connection = _ask(gateway, stream=stream)
    if stream:
        received = b""
        while b"llmrouter" not in received:
            received += connection.recv(65536)
    wait_for(lambda: len(llm.requests("one")) > before)
    assert not llm.last("one").gone.is_set()
    connection.close()
    wait_for(llm.last("one").gone.is_set, 3)


def test_a_client_that_goes_before_the_first_event_is_no_fault_of_the_candidate(
    gateway: Gateway, llm: Upstream
) -> None:
    llm.behave("one", hangs)
    before, spare = len(llm.requests("one")), len(llm.requests("two"))
    connection = _ask(gateway, stream=True)
    wait_for(lambda: len(llm.requests("one")) > before)
    connection.close()
    wait_for(llm.last("one").gone.is_set, 3)
    llm.behave("one", answers)
    assert gateway.chat("one two").json["llmrouter"]["model_name"] == "one"
    assert len(llm.requests("two")) == spare


def test_a_client_that_reads_slowly_does_not_hold_up_others(gateway: Gateway, llm: Upstream) -> None:
    sent = threading.Event()

    async def then(exchange: Exchange) -> None:
        sent.set()

    llm.behave("one", streams([event({"choices": [], "filler": "x" * 200_000})] * 200, then=then))
    with _ask(gateway, stream=True) as connection:
        assert connection.recv(1000)
        started = time.monotonic()
        assert gateway.chat("two").status == 200
        assert time.monotonic() - started < allowed(2)
        # What nobody reads is not gathered: the upstream does not get rid of it.
        assert not sent.wait(0.5)
    wait_for(llm.last("one").gone.is_set, 3)


def test_an_upstream_that_answers_a_stream_in_one_piece_is_understood(
    gateway: Gateway, llm: Upstream
) -> None:
    llm.behave("one", says(b"".join(events()), "text/event-stream; charset=utf-8"))
    assert gateway.chat("one", stream=True).text == "".join(WORDS)


def test_events_cut_anywhere_are_put_together(gateway: Gateway, llm: Upstream) -> None:
    whole = b"".join(events())
    llm.behave("one", streams([whole[place : place + 7] for place in range(0, len(whole), 7)]))
    answer = gateway.chat("one", stream=True)
    assert answer.text == "".join(WORDS)
    assert answer.events[-1] == "[DONE]"


def test_a_plain_answer_holds_the_decision(gateway: Gateway, llm: Upstream) -> None:
    llm.behave("one", says(json.dumps(completion()).encode()))
    answer = gateway.chat("one two")
    report = answer.json["llmrouter"]
    assert (report["model_name"], report["router"], report["attempts"]) == ("one", "said", 1)
    assert report["upstream_model"] == "upstream-llm"
    assert answer.json["model"] == "one"
    assert answer.headers["x-llmrouter-model"] == "one"
    assert answer.headers["x-llmrouter-request-id"] == report["request_id"]
