"""Whatever an upstream does, the client gets an answer: from the next choice, or an error that says why."""

from __future__ import annotations

import json
import time

import pytest

from tests.gateway.client import Answer, Gateway, wait_for
from tests.gateway.conftest import Serve
from tests.gateway.upstream import (
    WORDS,
    Behaviour,
    Upstream,
    closes,
    completion,
    event,
    events,
    fails,
    hangs,
    never_ends,
    never_ends_an_event,
    refusing_port,
    says,
    speaks_no_http,
    streams,
    trickles,
    truncates,
)
from tests.timing import allowed

SECRET = "upstream-secret-4711"
KEY = "sk-upstream-0123456789"
# No test of a fault may take longer, whatever the upstream does.
LIMIT_SECONDS = 60

BEFORE_THE_ANSWER: dict[str, Behaviour] = {
    "hangs": hangs,
    "closes": closes,
    "speaks-no-http": speaks_no_http,
    "rate-limits": fails(429, SECRET, retry_after="7"),
    "fails-500": fails(500, SECRET),
    "fails-503": fails(503, SECRET),
    "refuses-the-key": fails(401, f"Incorrect API key provided: {KEY}"),
    "forbids": fails(403, SECRET),
    "redirects": says(b"", status=307, location="http://127.0.0.1:1/elsewhere"),
}
PLAIN: dict[str, Behaviour] = {
    "truncates": truncates,
    "never-ends": never_ends,
    "is-no-json": says(f"<html>{SECRET}</html>".encode()),
    "is-html": says(f"<html>{SECRET}</html>".encode(), "text/html"),
    "is-a-list": says(b"[]"),
    "is-empty": says(b""),
    "is-no-completion": says(json.dumps({"hello": SECRET}).encode()),
}
STREAMED: dict[str, Behaviour] = {
    "ends-before-an-event": streams([]),
    "breaks-before-an-event": streams([], then=closes),
    "streams-nothing": streams([], then=hangs),
    "begins-with-garbage": streams([f"data: {SECRET}\n\n".encode()]),
    "begins-with-an-error": streams([event({"error": {"message": SECRET}})]),
    "begins-with-comments": streams([b": processing\n\n"] * 3, then=hangs),
    "answers-html": says(f"<html>{SECRET}</html>".encode(), "text/html"),
    "never-ends-an-event": never_ends_an_event,
}
LATER: dict[str, Behaviour] = {
    "breaks-off": streams(events()[:3], then=closes),
    "stalls": streams(events()[:3], then=hangs),
    "goes-wrong": streams([*events()[:3], f"data: {SECRET}\n\n".encode()]),
    "reports-an-error": streams([*events()[:3], event({"error": {"message": SECRET}})]),
    "ends-without-done": streams(events()[:3]),
}
STATUS = {
    "hangs": 504,
    "rate-limits": 429,
    "fails-503": 503,
    "streams-nothing": 504,
    "begins-with-comments": 504,
}
LIMITS = {
    "connect_seconds": 1,
    "first_byte_seconds": 1,
    "idle_seconds": 1,
    "total_seconds": 6,
    "max_answer_bytes": 1_000_000,
    "max_event_bytes": 100_000,
}
FAULTS = [
    *((name, stream) for name in BEFORE_THE_ANSWER for stream in (False, True)),
    *((name, False) for name in PLAIN),
    *((name, True) for name in STREAMED),
]
IDS = [f"{name}-{'streamed' if stream else 'plain'}" for name, stream in FAULTS]


def _names() -> list[str]:
    """Each fault has candidates of its own, so that one's cool-down is not another's."""
    faulty = [*IDS, *(f"{name}-alone" for name in IDS), *LATER]
    return [*faulty, *(f"backup-{name}" for name in IDS), "well"]


@pytest.fixture(scope="module")
def gateway(serve_module: Serve, llm: Upstream) -> Gateway:
    """A gateway whose candidates fail, each in its way, and others that do not."""
    for name, stream in FAULTS:
        behaviour = {**BEFORE_THE_ANSWER, **(STREAMED if stream else PLAIN)}[name]
        for suffix in ("", "-alone"):
            llm.behave(f"{name}-{'streamed' if stream else 'plain'}{suffix}", behaviour)
    for name, behaviour in LATER.items():
        llm.behave(name, behaviour)
    return serve_module(*_names(), gateway=LIMITS, environ={"API_KEYS": KEY})


def _no_secret(answer: Answer, gateway: Gateway) -> None:
    for place in (answer.body.decode(), json.dumps(answer.headers), gateway.output(), gateway.access_log()):
        assert SECRET not in place
        assert KEY not in place


@pytest.mark.parametrize(("name", "stream"), FAULTS, ids=IDS)
def test_the_next_choice_answers_in_place_of_one_that_fails(
    gateway: Gateway, llm: Upstream, name: str, stream: bool
) -> None:
    faulty = f"{name}-{'streamed' if stream else 'plain'}"
    started = time.monotonic()
    answer = gateway.chat(f"{faulty} backup-{faulty}", stream=stream)
    assert time.monotonic() - started < allowed(LIMIT_SECONDS)
    assert answer.status == 200, answer.body
    assert answer.text == "".join(WORDS)
    report = (answer.events[0] if stream else answer.json)["llmrouter"]
    assert report["model_name"] == f"backup-{faulty}"
    assert report["fallback"] is True
    assert faulty in report["fallback_reason"]
    assert answer.headers["x-llmrouter-model"] == f"backup-{faulty}"
    assert len(llm.requests(faulty)) >= 1
    assert len(llm.requests(f"backup-{faulty}")) == 1
    _no_secret(answer, gateway)


@pytest.mark.parametrize(("name", "stream"), FAULTS, ids=IDS)
def test_a_fault_without_another_choice_is_an_error_that_tells_no_secret(
    gateway: Gateway, name: str, stream: bool
) -> None:
    faulty = f"{name}-{'streamed' if stream else 'plain'}-alone"
    started = time.monotonic()
    answer = gateway.chat("anything", model=faulty, stream=stream)
    assert time.monotonic() - started < allowed(LIMIT_SECONDS)
    assert answer.status == STATUS.get(name, 502)
    assert faulty in answer.error["message"]
    if answer.status in (429, 503):
        assert int(answer.headers["retry-after"]) >= 1
    _no_secret(answer, gateway)


@pytest.mark.parametrize("name", LATER)
def test_after_the_first_event_a_fault_ends_the_stream_with_an_error_event(
    gateway: Gateway, llm: Upstream, name: str
) -> None:
    before = len(llm.requests("well"))
    started = time.monotonic()
    answer = gateway.chat(f"{name} well", stream=True)
    assert time.monotonic() - started < allowed(LIMIT_SECONDS)
    assert answer.status == 200
    *chunks, last = answer.events
    assert [chunk["choices"][0]["delta"].get("content") for chunk in chunks] == ["", "Machine", " learning"]
    assert last["error"]["message"]
    assert last["error"]["code"]
    assert len(llm.requests("well")) == before
    _no_secret(answer, gateway)


def test_an_unreachable_upstream_gives_way_to_the_next_choice(serve: Serve) -> None:
    with refusing_port() as port:
        dead = {"api_endpoint": f"http://127.0.0.1:{port}/v1"}
        gateway = serve("well", candidates={"dead": dead, "well": {}})
        answer = gateway.chat("dead well")
        assert answer.json["llmrouter"]["model_name"] == "well"
        alone = gateway.chat("anything", model="dead")
        assert alone.status == 502
        assert "dead" in alone.error["message"]
        ready = gateway.get("/readyz")
        assert ready.status == 200
        assert "dead" in json.dumps(ready.json)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_an_answer_that_comes_byte_by_byte_ends_with_the_time_for_the_request(
    serve: Serve, llm: Upstream, stream: bool
) -> None:
    # Something comes all the time, so that no other limit ends it.
    gateway = serve("slow", gateway={"idle_seconds": 1, "first_byte_seconds": 2, "total_seconds": 2})
    llm.behave("slow", trickles(0.05))
    started = time.monotonic()
    answer = gateway.chat("slow", stream=stream)
    assert 1 < time.monotonic() - started < allowed(4)
    assert answer.status == 504
    assert "took too long" in answer.error["message"]
    wait_for(llm.last("slow").gone.is_set)


def test_what_the_upstream_says_is_wrong_with_the_request_is_passed_on(
    gateway: Gateway, llm: Upstream
) -> None:
    llm.behave("well", fails(400, "temperature must be at most 2"))
    try:
        answer = gateway.chat("well backup-hangs-plain", temperature=3)
    finally:
        llm.behave("well", says(json.dumps(completion()).encode()))
    assert answer.status == 400
    assert answer.error["message"] == "temperature must be at most 2"
    # It is the request's fault, not the candidate's.
    assert gateway.chat("well").status == 200


def test_a_candidate_that_failed_is_left_alone_for_a_while(serve: Serve, llm: Upstream) -> None:
    gateway = serve("cooling", "spare", gateway={"cooldown_seconds": 1})
    llm.behave("cooling", fails(500))
    assert gateway.chat("cooling spare").json["llmrouter"]["model_name"] == "spare"
    asked = len(llm.requests("cooling"))
    again = gateway.chat("cooling spare")
    assert again.json["llmrouter"]["model_name"] == "spare"
    assert len(llm.requests("cooling")) == asked
    llm.behave("cooling", says(json.dumps(completion()).encode()))
    wait_for(lambda: gateway.chat("cooling spare").json["llmrouter"]["model_name"] == "cooling", 5)


def test_retry_after_of_the_upstream_sets_the_cooldown(serve: Serve, llm: Upstream) -> None:
    gateway = serve("busy", gateway={"cooldown_seconds": 0.01})
    llm.behave("busy", fails(429, retry_after="30"))
    first = gateway.chat("busy")
    assert (first.status, first.headers["retry-after"]) == (429, "30")
    asked = len(llm.requests("busy"))
    second = gateway.chat("busy")
    assert second.status == 429
    assert 1 <= int(second.headers["retry-after"]) <= 30
    assert len(llm.requests("busy")) == asked


def test_a_request_is_tried_no_more_often_than_allowed(serve: Serve, llm: Upstream) -> None:
    names = ("first", "second", "third")
    for name in names:
        llm.behave(name, fails(500))
    gateway = serve(*names, gateway={"max_attempts": 2})
    answer = gateway.chat("first second third")
    assert answer.status == 502
    assert [len(llm.requests(name)) for name in names] == [1, 1, 0]


def test_a_router_that_fails_is_an_error_and_not_the_end(serve: Serve) -> None:
    gateway = serve("well")
    answer = gateway.chat("fail")
    assert answer.status >= 500
    assert answer.error["message"]
    assert "Traceback" not in answer.body.decode()
    assert gateway.chat("well").status == 200
