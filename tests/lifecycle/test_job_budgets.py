"""What training jobs spend, by the upstream's own account, never exceeds their budget."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from llmrouter.completion.bounds import Wanted
from llmrouter_lifecycle import Client, RubricJudgeSpec
from llmrouter_lifecycle.store import accounts
from llmrouter_lifecycle.store.calls import Call, CallKey
from llmrouter_lifecycle.store.jobs import PROGRAM
from llmrouter_lifecycle.store.workers import Workers
from llmrouter_testing.upstream import Reply, Upstream
from tests.lifecycle.conftest import home_of, requests

# USD per token of an answer, and of a prompt.
OUTPUT, INPUT = 20e-6, 10e-6
LEAST = 256 * OUTPUT
Work = Callable[..., None]


@dataclass
class Meter:
    """An LLM that says as much as it may, and keeps its own account.

    Attributes:
        tokens: What it says unless a limit is lower; it takes no limit where `unlimited`.
        usd: What was billed.
        limits: Of all requests.
    """

    tokens: int = 100_000
    usd: float = 0.0
    limits: list[int | None] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, request: dict[str, Any]) -> str:
        limit = request.get("max_tokens")
        used = min(self.tokens, limit if limit is not None else self.tokens)
        with self.lock:
            self.limits.append(limit)
            self.usd += used * OUTPUT + 20 * INPUT
        text = "<rationale>so</rationale><score>7</score>" if "rubric" in str(request) else "It is 1."
        choice = {"index": 0, "message": {"role": "assistant", "content": text}}
        body = {
            "id": "x",
            "object": "chat.completion",
            "model": request["model"],
            "choices": [{**choice, "finish_reason": "length" if used == limit else "stop"}],
            "usage": {"prompt_tokens": 20, "completion_tokens": used, "total_tokens": used + 20},
        }
        raise Reply(200, body)


@pytest.fixture
def meter(upstream: Upstream, catalogue: dict[str, Any]) -> Meter:
    meter = Meter()
    upstream.script = meter
    return meter


@pytest.fixture
def client(client: Client, meter: Meter) -> Client:
    client.judges.create_judge("j", "numeric")
    client.judges.create_judge(
        "asking", RubricJudgeSpec(rubric="Is it right?", model="local/dear", min_score=1, max_score=9)
    )
    client.routers.create_router("r", "local/dear")
    return client


@pytest.mark.parametrize("budget", [0.001, 0.3])
@pytest.mark.parametrize("judge", ["j", "asking"])
def test_answers_without_end_use_up_the_budget_and_no_more(
    client: Client, work: Work, meter: Meter, judge: str, budget: float
) -> None:
    job = client.routers.run_training_job("r", judge, ["local/dear"], requests(60), budget_usd=budget)
    work(client)
    told = client.routers.poll_training_job(job)
    assert told.status == "FAILURE_WITHOUT_RETRY"
    assert "budget" in (told.error_message or "")
    assert told.progress is not None
    assert meter.usd <= budget
    assert told.progress.spent_usd == pytest.approx(meter.usd)
    assert all(limit is not None and limit > 0 for limit in meter.limits)
    # What is left does not pay for one more.
    assert meter.usd > budget - LEAST * 8


def test_without_a_budget_no_limit_is_sent(client: Client, work: Work, meter: Meter) -> None:
    meter.tokens = 9
    client.routers.run_training_job("r", "asking", ["local/dear"], requests(2))
    work(client)
    assert meter.limits == [None] * 4


def test_an_answer_that_was_cut_off_for_the_budget_is_not_judged(
    client: Client, work: Work, meter: Meter
) -> None:
    job = client.routers.run_training_job("r", "j", ["local/dear"], requests(1), budget_usd=LEAST * 2)
    work(client)
    told = client.routers.poll_training_job(job)
    assert told.progress is not None
    assert (told.progress.done, told.progress.failed) == (0, 1)
    # With more it is asked again, and may say more.
    meter.tokens = 3000
    client.routers.retry_training_job(job, budget_usd=10)
    work(client)
    told = client.routers.poll_training_job(job)
    assert told.progress is not None
    assert (told.progress.done, told.progress.failed) == (1, 0)


def test_calls_whose_cost_nobody_tells_are_charged_what_was_set_aside(
    client: Client, work: Work, upstream: Upstream
) -> None:
    def silent(request: dict[str, Any]) -> str:
        choice = {"index": 0, "message": {"role": "assistant", "content": "1"}, "finish_reason": "stop"}
        raise Reply(200, {"id": "x", "object": "chat.completion", "model": "dear", "choices": [choice]})

    upstream.script = silent
    bodies = [{**body, "max_tokens": 500} for body in requests(60)]
    job = client.routers.run_training_job("r", "j", ["local/dear"], bodies, budget_usd=0.1)
    work(client)
    told = client.routers.poll_training_job(job)
    assert told.progress is not None
    calls = len(upstream.requests)
    assert told.status == "FAILURE_WITHOUT_RETRY"
    assert 500 * OUTPUT * calls < told.progress.spent_usd <= 0.1


def test_with_media_the_window_has_to_be_known(client: Client, work: Work, meter: Meter) -> None:
    parts = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    bodies = [{"messages": [{"role": "user", "content": parts}], "reference": "1"}]
    job = client.routers.run_training_job("r", "j", ["local/dear"], bodies, budget_usd=1)
    work(client)
    results = client.routers.training_results(job)
    assert not meter.limits
    assert "context_window" in str(results.job.error_message) + str(results.llms)


@pytest.mark.parametrize("way", ["takeover", "removal", "failure", "silence", "deletion"])
def test_calls_in_flight_of_a_worker_that_ends_are_charged(client: Client, way: str) -> None:
    client.routers.run_training_job("r", "j", ["local/dear"], requests(60), budget_usd=1)
    home = home_of(client)
    now = [1000.0]
    home.database._clock = lambda: now[0]
    found = Workers(home.database, PROGRAM, 30)
    found.register("one")
    job, task = home.jobs.list("local")[0], found.leases.claim("one")
    assert task is not None
    keys = [CallKey(number, "local/dear", "answer") for number in range(3)]
    wanted = [(key, Wanted(0.125, 0.125, 0.125)) for key in keys]
    state = home.calls.record(job, [], {}, wanted, task)
    assert state.granted == dict.fromkeys(keys, 0.125)
    # One ended, one was never made: only the third is in flight.
    home.calls.record(job, [Call(keys[0], message={"content": "1"}, cost=0.01)], {}, [], task, 0, keys[1:2])
    if way == "takeover":
        now[0] += 31
        assert found.leases.claim("two") is not None
    elif way == "removal":
        found.remove("one")
    elif way == "failure":
        found.leases.fail(task, "a fault", final=False)
    elif way == "silence":
        now[0] += 61
        found.beat("two")
    else:
        client.routers.cancel_training_job(job.id)
        client.routers.delete_training_job(job.id)
    with home.database.read() as connection:
        paid, held = accounts.standing(connection, job.payer)
    assert held == 0
    assert paid == pytest.approx(0.135)
    if way != "deletion":
        assert home.jobs.get("local", job.id).spent == pytest.approx(0.135)


def test_a_job_waits_for_credits_that_calls_in_flight_may_leave_over(client: Client) -> None:
    client.routers.run_training_job("r", "j", ["local/dear"], requests(60), budget_usd=1)
    home = home_of(client)
    job, task = home.jobs.list("local")[0], Workers(home.database, PROGRAM, 30).leases.claim("one")
    assert task is not None
    first, second, third = (CallKey(number, "local/dear", "answer") for number in range(3))
    most = Wanted(0.75, 0.01, 0.25)
    assert home.calls.record(job, [], {}, [(first, most), (second, most)], task).granted == {first: 0.75}
    ended = Call(first, message={"content": "1"}, cost=0.5)
    # Nothing else is in flight then, so a shorter answer is asked for.
    assert home.calls.record(job, [ended], {}, [(second, most)], task).granted == {second: 0.5}
    ended = Call(second, message={"content": "1"}, cost=0.3)
    state = home.calls.record(job, [ended], {}, [(third, most)], task)
    assert (state.running, state.granted) == (False, {})
    assert "0.25 USD" in str(home.jobs.get("local", job.id).error)
