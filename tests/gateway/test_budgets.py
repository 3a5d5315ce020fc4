"""A budget is kept whatever a client asks, an upstream reports, or either of them breaks off."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.client import Gateway, wait_for
from tests.gateway.conftest import COMMAND, Serve
from tests.gateway.upstream import (
    HOST,
    WORDS,
    Upstream,
    answers,
    completion,
    event,
    events,
    hangs,
    says,
    streams,
    text_completion,
)

# An answer of the upstream has 6 tokens of 1000 USD per million: 0.006 USD. A prompt is free.
PRICED = {"input_price": 0, "output_price": 1000.0}
TOKEN = 0.001
COST = 6 * TOKEN


class Payer:
    """A key with a budget, at a gateway.

    Args:
        gateway: Asks with the key.
        spent: Returns what was spent.
    """

    def __init__(self, gateway: Gateway, spent: Callable[[], float]) -> None:
        self.gateway = gateway
        self.spent = spent

    def settles_at(self, usd: float) -> None:
        """Wait until so much is spent."""
        wait_for(lambda: self.spent() == pytest.approx(usd), 10)


Pay = Callable[..., Payer]


@pytest.fixture(params=["file", pytest.param("lifecycle", marks=pytest.mark.extras)])
def pay(request: pytest.FixtureRequest, serve: Serve, llm: Upstream, tmp_path: Path) -> Pay:
    """Return a function that starts a gateway with a key of some budget; both ways in which it is kept."""
    llm.received.clear()
    keys, store = tmp_path / "keys.json", tmp_path / "lifecycle.db"

    def spent(where: Path, query: str) -> float:
        database = sqlite3.connect(where, timeout=5)
        try:
            return float(database.execute(query).fetchone()[0] or 0)
        finally:
            database.close()

    def start(budget: float, *, workers: int = 1, **options: Any) -> Payer:
        command = [COMMAND, "keys", "create", "ann", "--keys-file", str(keys), "--budget", str(budget)]
        key = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
        arguments = ["--keys-file", str(keys), "--workers", str(workers)]
        if request.param == "lifecycle":
            arguments += ["--lifecycle", str(store), "--no-worker"]
        gateway = serve(arguments=tuple(arguments), **options)
        gateway.key = key
        if request.param == "lifecycle":
            return Payer(gateway, lambda: spent(store, "SELECT sum(spent) FROM llmrouter_accounts"))
        file = Path(f"{keys}.spending.sqlite3")
        return Payer(gateway, lambda: spent(file, "SELECT sum(usd) FROM spent"))

    return start


def refused(status: int) -> bool:
    """Whether a status says that the budget does not suffice."""
    return status in (402, 429)


# Each asks for 5000 tokens at most.
LIMITS: list[dict[str, Any]] = [
    {"max_completion_tokens": 1, "max_tokens": 5000},
    {"max_completion_tokens": 5000, "max_tokens": 1},
    {"max_tokens": 50, "n": 100},
    {"max_tokens": 5000.0},
]


def test_what_a_request_may_cost_is_bounded_by_what_it_asks(pay: Pay, llm: Upstream) -> None:
    payer = pay(5.0 - TOKEN, candidates={"bounded": PRICED})
    for fields in LIMITS:
        assert refused(payer.gateway.chat("bounded", **fields).status), fields
    prompts = {"model": "bounded", "prompt": ["x"] * 50, "max_tokens": 50, "best_of": 2}
    assert refused(payer.gateway.post("/v1/completions", prompts).status)
    odd = [1e308, -1, 0, 0.5, True, "5", 10**30]
    for value in odd:
        for field in ("max_tokens", "max_completion_tokens", "n"):
            told: dict[str, Any] = {"max_tokens": 5, field: value}
            answer = payer.gateway.chat("bounded", **told)
            assert answer.status == 400, (field, value)
            assert answer.error["param"] == field
    # Servers that know another name of the limit prefer it.
    answer = payer.gateway.chat("bounded", max_tokens=1, n_predict=5000)
    assert (answer.status, answer.error["param"]) == (400, "n_predict")
    assert not llm.requests("bounded")
    assert payer.gateway.chat("bounded", max_tokens=4000).status == 200
    payer.settles_at(COST)


def test_without_a_limit_one_is_sent_that_the_key_can_pay(pay: Pay, llm: Upstream) -> None:
    candidates = {
        "limited": {**PRICED, "max_output_tokens": 1000, "limit_parameter": "max_completion_tokens"},
        "narrow": {**PRICED, "context_window": 500},
        "unlimited": PRICED,
    }
    payer = pay(2.0, candidates=candidates, gateway={"answer_tokens": 1200})
    assert payer.gateway.chat("limited").status == 200
    assert llm.last("limited").json["max_completion_tokens"] == 1000
    assert "max_tokens" not in llm.last("limited").json
    assert payer.gateway.chat("limited", max_tokens=7).status == 200
    sent = llm.last("limited").json
    assert sent["max_completion_tokens"] == 7
    assert "max_tokens" not in sent
    assert payer.gateway.chat("unlimited").status == 200
    assert llm.last("unlimited").json["max_tokens"] == 1200
    assert payer.gateway.chat("narrow").status == 200
    assert 200 < llm.last("narrow").json["max_tokens"] < 500
    body = {"model": "unlimited", "prompt": "hello"}
    assert payer.gateway.post("/v1/completions", body).status == 200
    assert llm.last("unlimited").json["max_tokens"] == 1200


def test_a_key_that_cannot_pay_the_usual_limit_gets_a_lower_one(pay: Pay, llm: Upstream) -> None:
    payer = pay(0.1, candidates={"low": PRICED})

    async def uses_all(exchange: Any) -> None:
        tokens = exchange.received.json["max_tokens"]
        usage = {"prompt_tokens": 12, "completion_tokens": tokens}
        await says(json.dumps(completion(usage=usage)).encode())(exchange)

    llm.behave("low", uses_all)
    assert payer.gateway.chat("low").status == 200
    assert llm.last("low").json["max_tokens"] in (99, 100)
    statuses = [payer.gateway.chat("low").status for _ in range(2)]
    assert refused(statuses[-1])
    assert payer.spent() <= 0.1 + 1e-9


def test_two_requests_at_once_of_a_key_that_can_pay_both_pass(pay: Pay, llm: Upstream) -> None:
    payer = pay(1.0, candidates={"both": PRICED})
    proceed = threading.Event()
    llm.behave("both", streams(events(), proceed=proceed))
    with ThreadPoolExecutor(2) as threads:
        asked = [threads.submit(payer.gateway.chat, "both", stream=True) for _ in range(2)]
        wait_for(lambda: len(llm.requests("both")) == 2)
        proceed.set()
        assert [answer.result().status for answer in asked] == [200, 200]
    payer.settles_at(2 * COST)


def test_media_are_bounded_by_the_context_window(pay: Pay, llm: Upstream) -> None:
    dear = {"input_price": 1000.0, "output_price": 0}
    payer = pay(0.5, candidates={"open": dear, "seeing": {**dear, "context_window": 1000}})
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    messages = [{"role": "user", "content": [image]}]
    body = {"model": "open", "messages": messages, "max_tokens": 5}
    answer = payer.gateway.post("/v1/chat/completions", body)
    assert answer.status == 400
    assert "context_window" in answer.error["message"]
    assert refused(payer.gateway.post("/v1/chat/completions", {**body, "model": "seeing"}).status)
    assert not llm.requests("open")
    assert not llm.requests("seeing")


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_a_client_that_leaves_pays_what_the_answer_costs(pay: Pay, llm: Upstream, stream: bool) -> None:
    payer = pay(1.0, candidates={"left": PRICED})
    proceed = threading.Event()

    async def waits(exchange: Any) -> None:
        await asyncio.get_running_loop().run_in_executor(None, proceed.wait, 20)
        await answers(exchange)

    llm.behave("left", streams(events(), proceed=proceed) if stream else waits)
    leave(payer.gateway, "left", stream)
    # Amid a stream, one that closes looks like one that only sends no more, until something is sent to it.
    if not stream:
        wait_for(lambda: any(entry.get("error") == "client_gone" for entry in payer.gateway.entries(1)))
    proceed.set()
    payer.settles_at(COST)
    assert not llm.last("left").gone.is_set()


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_a_client_that_leaves_a_call_without_end_pays_what_was_set_aside(
    pay: Pay, llm: Upstream, stream: bool
) -> None:
    payer = pay(1.0, candidates={"endless": PRICED}, gateway={"leave_seconds": 0.3, "idle_seconds": 1})
    llm.behave("endless", streams(events()[:3], then=hangs) if stream else hangs)
    leave(payer.gateway, "endless", stream)
    payer.settles_at(10 * TOKEN)
    wait_for(llm.last("endless").gone.is_set)


def leave(gateway: Gateway, name: str, stream: bool) -> None:
    """Ask for an answer of ten tokens, and close the connection in the midst of it."""
    connection = http.client.HTTPConnection(HOST, gateway.port, timeout=20)
    body = {"model": name, "messages": [{"role": "user", "content": "x"}], "max_tokens": 10, "stream": stream}
    headers = {"Authorization": f"Bearer {gateway.key}", "Content-Type": "application/json"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    if stream:
        assert connection.getresponse().read(10)
    else:
        # Until it watches for the client.
        threading.Event().wait(0.3)
    connection.close()


ODD: dict[str, Any] = {
    "negative": {"prompt_tokens": -10, "completion_tokens": -1000},
    "negative-total": {"prompt_tokens": 12, "completion_tokens": 6, "total_tokens": -5},
    "endless": {"prompt_tokens": 12, "completion_tokens": 10**400},
    "float": {"prompt_tokens": 12, "completion_tokens": 1e308},
    "text": {"prompt_tokens": "12", "completion_tokens": "6"},
    "more-than-the-window": {"prompt_tokens": 12, "completion_tokens": 3000},
    "more-cached-than-there-are": {
        "prompt_tokens": 12,
        "completion_tokens": 6,
        "prompt_tokens_details": {"cached_tokens": 13},
    },
    "a-list": [12, 6],
    "none": None,
}


def test_usage_that_cannot_be_true_costs_what_was_set_aside(pay: Pay, llm: Upstream) -> None:
    payer = pay(1.0, candidates={"odd": {**PRICED, "context_window": 2000}})
    expected = 0.0
    for name, usage in ODD.items():
        for stream in (False, True):
            body = json.dumps(completion(usage=usage)).encode()
            told = [*events(usage=False)[:-1], event({"choices": [], "usage": usage}), events()[-1]]
            llm.behave("odd", streams(told) if stream else says(body))
            answer = payer.gateway.chat("odd", max_tokens=10, stream=stream)
            assert answer.status == 200, name
            assert answer.text == "".join(WORDS)
            expected += 10 * TOKEN
            payer.settles_at(expected)
    assert "usage" in payer.gateway.output()


BILLED: dict[str, tuple[dict[str, Any], float]] = {
    "cached": (
        {
            "prompt_tokens": 100_000,
            "completion_tokens": 500,
            "total_tokens": 100_500,
            "prompt_tokens_details": {"cached_tokens": 99_000},
        },
        0.0402,
    ),
    "reasoning": (
        {
            "prompt_tokens": 32,
            "completion_tokens": 9,
            "total_tokens": 135,
            "completion_tokens_details": {"reasoning_tokens": 94},
        },
        (32 * 3 + 103 * 15) / 1e6,
    ),
    "floats": ({"prompt_tokens": 12.0, "completion_tokens": 6.0}, (12 * 3 + 6 * 15) / 1e6),
}


def test_usage_is_billed_as_services_bill_it(pay: Pay, llm: Upstream) -> None:
    prices = {"input_price": 3, "output_price": 15, "cached_input_price": 0.3}
    payer = pay(10.0, candidates={"billed": prices})
    expected = 0.0
    for number, (usage, cost) in enumerate(BILLED.values()):
        llm.behave("billed", says(json.dumps(completion(usage=usage)).encode()))
        answer = payer.gateway.chat("billed", max_tokens=1000)
        assert answer.json["llmrouter"]["cost"] == pytest.approx(cost)
        assert payer.gateway.entries(number + 1)[number]["cost"] == pytest.approx(cost)
        expected += cost
        payer.settles_at(expected)


def test_an_upstream_that_keeps_to_no_limit_uses_up_the_budget_and_no_more(pay: Pay, llm: Upstream) -> None:
    payer = pay(0.1, candidates={"wild": PRICED})
    usage = {"prompt_tokens": 12, "completion_tokens": 5000}
    llm.behave("wild", says(json.dumps(completion(usage=usage)).encode()))
    assert payer.gateway.chat("wild", max_tokens=10).status == 200
    payer.settles_at(0.1)
    assert refused(payer.gateway.chat("wild", max_tokens=10).status)


def test_a_stream_is_in_the_log_with_its_tokens_though_nobody_asked(serve: Serve, llm: Upstream) -> None:
    gateway = serve(candidates={"quiet": PRICED})
    answer = gateway.chat("quiet", stream=True)
    assert answer.text == "".join(WORDS)
    assert all("usage" not in told for told in answer.events[:-1])
    entry = gateway.entries(1)[0]
    assert (entry["prompt_tokens"], entry["completion_tokens"]) == (12, 6)
    assert entry["cost"] == pytest.approx(COST)
    # Without a budget no limit is sent.
    assert "max_tokens" not in llm.last("quiet").json


def test_after_a_kill_what_was_sent_is_charged_and_the_key_is_free_again(pay: Pay, llm: Upstream) -> None:
    payer = pay(0.1, workers=2, candidates={"hanging": PRICED, "fine": PRICED})
    llm.behave("hanging", hangs)
    llm.behave("fine", says(json.dumps(text_completion(choices=[{"message": {"content": "x"}}])).encode()))
    with ThreadPoolExecutor(1) as threads:
        broken = threads.submit(payer.gateway.chat, "hanging", max_tokens=60)
        wait_for(lambda: bool(llm.requests("hanging")))
        assert refused(payer.gateway.chat("fine", max_tokens=60).status)
        for worker in workers_of(payer.gateway):
            os.kill(worker, signal.SIGKILL)
        with pytest.raises((OSError, http.client.HTTPException)):
            broken.result()
    wait_for(lambda: ready(payer.gateway))
    assert refused(payer.gateway.chat("fine", max_tokens=60).status)
    payer.settles_at(60 * TOKEN)
    assert payer.gateway.chat("fine", max_tokens=40).status == 200
    payer.settles_at(66 * TOKEN)


def ready(gateway: Gateway) -> bool:
    """Whether a gateway answers."""
    try:
        return gateway.get("/readyz").status == 200
    except (OSError, http.client.HTTPException):
        return False


def workers_of(gateway: Gateway) -> list[int]:
    """The processes that serve."""
    children = Path(f"/proc/{gateway.process.pid}/task/{gateway.process.pid}/children").read_text().split()
    serving = []
    for child in map(int, children):
        if b"llmrouter_server.worker" in Path(f"/proc/{child}/cmdline").read_bytes():
            serving.append(child)
    return serving
