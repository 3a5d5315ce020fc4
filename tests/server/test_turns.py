"""Services that bound their calls: who waits, for how long, and who is asked in their place."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2 as httpx
import pytest

from llmrouter.completion.services import Service
from llmrouter_server.key_file import create_key
from llmrouter_server.upstream import Upstreams
from llmrouter_testing.upstream import Reply, Upstream
from tests.server.serving import EVENTS, RawUpstream, Serve, Serving, StartRaw, event, wait_until
from tests.timing import allowed

Later = Callable[[Callable[[], httpx.Response]], Callable[[], httpx.Response]]


@pytest.fixture
def candidates(upstream: Upstream) -> dict[str, dict[str, Any]]:
    return {
        "first": {"api_endpoint": upstream.url, "service": "narrow", "input_price": 1, "output_price": 1},
        "next": {"api_endpoint": upstream.url, "service": "wide"},
    }


@pytest.fixture
def busy(upstream: Upstream) -> Iterator[Callable[[Serving], threading.Event]]:
    """Have the service of the first candidate busy until an event is set."""
    with ThreadPoolExecutor(1) as pool:

        def occupy(serving: Serving) -> threading.Event:
            done = threading.Event()
            events.append(done)

            def script(request: dict[str, Any]) -> str:
                if request["messages"][0]["content"] == "long":
                    done.wait(60)
                return "fine"

            upstream.script = script
            long = [{"role": "user", "content": "long"}]
            pool.submit(httpx.post, f"{serving.client.base_url}/v1/chat/completions", json={"messages": long})
            wait_until(lambda: bool(upstream.requests))
            return done

        events: list[threading.Event] = []
        yield occupy
        for done in events:
            done.set()


def test_no_more_calls_are_under_way_than_a_service_allows(serve: Serve, upstream: Upstream) -> None:
    lock, now, most = threading.Lock(), 0, 0

    def script(request: dict[str, Any]) -> str:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.03)
        with lock:
            now -= 1
        return "hi"

    upstream.script = script
    serving = serve(services={"narrow": {"concurrency": 2}})
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: serving.chat(), range(8)))
    assert [answer.json()["model"] for answer in answers] == ["first"] * 8
    assert most == 2


def test_calls_are_spread_over_a_minute(serve: Serve) -> None:
    serving = serve(services={"narrow": {"requests_per_minute": 600}})
    started = time.monotonic()
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: serving.chat(), range(5)))
    assert {answer.json()["model"] for answer in answers} == {"first"}
    assert 0.38 < time.monotonic() - started < allowed(2)


def test_the_next_choice_answers_for_a_service_that_stays_busy(
    serve: Serve, busy: Callable[[Serving], threading.Event]
) -> None:
    serving = serve(services={"narrow": {"concurrency": 1}}, queue_seconds=0.1, max_attempts=1)
    done = busy(serving)
    answer = serving.chat().json()
    assert answer["model"] == "next"
    assert answer["llmrouter"]["attempts"] == 1
    assert answer["llmrouter"]["fallback_reason"] == "first: its service is given as many calls as it may be"
    assert serving.metric("upstream_faults_total", model="first", kind="busy") == 1
    assert serving.gateway.candidates["first"].cooldown.until == 0
    alone = serving.chat(model="first")
    assert alone.status_code == 429
    assert alone.json()["error"]["code"] == "upstream_rate_limit"
    assert int(alone.headers["retry-after"]) >= 1
    done.set()
    wait_until(lambda: serving.chat().json()["model"] == "first")


def test_who_would_wait_too_long_for_the_minute_does_not_wait_at_all(serve: Serve) -> None:
    serving = serve(services={"narrow": {"requests_per_minute": 2}})
    started = time.monotonic()
    assert serving.chat().json()["model"] == "first"
    assert serving.chat().json()["model"] == "next"
    alone = serving.chat(model="first")
    assert (alone.status_code, alone.headers["retry-after"]) == (429, "30")
    assert time.monotonic() - started < allowed(2)


def test_waiting_for_several_services_takes_no_longer_than_for_one(
    serve: Serve, upstream: Upstream, candidates: dict[str, Any]
) -> None:
    llms = {str(number): {**candidates["first"], "service": f"s{number}"} for number in range(6)}
    serving = serve(llms, services={f"s{n}": {"concurrency": 1} for n in range(6)}, queue_seconds=0.4)
    upstream.script = lambda request: str(upstream.released.wait(3))
    with ThreadPoolExecutor(6) as pool:
        running = [pool.submit(serving.chat, model=name) for name in llms]
        wait_until(lambda: len(upstream.requests) == 6)
        started = time.monotonic()
        assert serving.chat().status_code == 429
        assert time.monotonic() - started < allowed(1.5)
        upstream.released.set()
        assert [answer.result().status_code for answer in running] == [200] * 6


def hang(raw: RawUpstream, connection: Any) -> None:
    connection.sendall(EVENTS + event("one"))
    raw.wait_for_close(connection)


def refuse(request: dict[str, Any]) -> str:
    raise Reply(400)


@pytest.mark.parametrize("how", ["the client leaves a stream", "a fault", "a refusal", "no budget"])
def test_a_turn_is_given_back_whatever_happens(
    serve: Serve, raw_upstream: StartRaw, upstream: Upstream, candidates: dict[str, Any], how: str
) -> None:
    key = None
    if how == "no budget":
        key = create_key("keys.json", "poor", budget_usd=1e-9)
        rich = create_key("keys.json", "rich")
    raw = raw_upstream(hang)
    llms = {
        "hangs": {**candidates["first"], "api_endpoint": raw.url},
        "first": candidates["first"],
    }
    keys_file = "keys.json" if key else None
    serving = serve(
        llms, keys_file, services={"narrow": {"concurrency": 1}}, queue_seconds=1, cooldown_seconds=0.01
    )
    if how == "the client leaves a stream":
        body = {"model": "hangs", "messages": [{"role": "user", "content": "x"}], "stream": True}
        with serving.client.stream("POST", "/v1/chat/completions", json=body) as response:
            parts = response.iter_raw()
            assert next(parts)
            assert serving.chat(model="first").status_code == 429
    elif how == "a fault":
        assert serving.chat(model="hangs").status_code == 502
    elif how == "a refusal":
        script, upstream.script = upstream.script, refuse
        assert serving.chat(model="first").status_code == 400
        upstream.script = script
    else:
        assert serving.chat(key, model="first").status_code == 429
        key = rich
    wait_until(lambda: serving.chat(key, model="first").status_code == 200)


def test_each_worker_has_its_share() -> None:
    upstreams = Upstreams(workers=4)
    service = Service("acme", concurrency=10, requests_per_minute=600)
    turns = upstreams.turns(service)
    assert turns is not None
    assert turns is upstreams.turns(Service("acme", concurrency=10, requests_per_minute=600))
    assert turns is not upstreams.turns(Service("acme", concurrency=11, requests_per_minute=600))
    assert (turns._places._value, turns._interval) == (2, 0.4)  # type: ignore[union-attr]
    small = upstreams.turns(Service("acme", concurrency=1))
    assert small is not None
    assert small._places._value == 1  # type: ignore[union-attr]
    assert upstreams.turns(Service("acme")) is None
