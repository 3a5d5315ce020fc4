"""Leases of tasks: who may write, when one expires, and what counts as a failure."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, update

from llmrouter.completion.bounds import Wanted
from llmrouter.errors import ConfigError
from llmrouter_lifecycle import Client
from llmrouter_lifecycle.home import Home
from llmrouter_lifecycle.models import Models
from llmrouter_lifecycle.store.calls import Call, CallKey
from llmrouter_lifecycle.store.database import Database
from llmrouter_lifecycle.store.jobs import PROGRAM, Job
from llmrouter_lifecycle.store.leases import ATTEMPTS, SUSPECT, LeaseLostError, Leases, Task
from llmrouter_lifecycle.store.schema import reservations, tasks
from llmrouter_lifecycle.store.workers import Workers
from llmrouter_lifecycle.training.in_hand import Limits
from llmrouter_lifecycle.training.persistence import Backoff
from llmrouter_lifecycle.training.publish import Ground, fit, publish
from llmrouter_testing.upstream import Upstream
from tests.lifecycle.conftest import home_of, requests

LEASE = 30.0


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def home(client: Client, clock: Clock) -> Home:
    """A home with one job of two tasks, whose database has the clock."""
    client.judges.create_judge("j", "numeric")
    client.routers.create_router("r", "local/dear")
    client.routers.run_training_job("r", "j", ["local/dear"], requests(60), budget_usd=1)
    home = home_of(client)
    home.database._clock = clock
    return home


@pytest.fixture
def found(home: Home) -> Workers:
    return Workers(home.database, PROGRAM, LEASE)


@pytest.fixture
def leases(found: Workers) -> Leases:
    return found.leases


def job_of(home: Home) -> Job:
    return home.jobs.list("local")[0]


def claimed(leases: Leases, worker: str, *in_hand: Task, **options: Any) -> Task:
    task = leases.claim(worker, in_hand, **options)
    assert task is not None
    return task


def attempts(database: Database) -> list[int]:
    with database.read() as connection:
        return list(connection.scalars(select(tasks.c.attempts).order_by(tasks.c.number)))


def call(index: int) -> Call:
    return Call(CallKey(index, "local/dear", "answer"), message={"content": "1"}, cost=0.25)


def test_an_expired_lease_is_taken_over_with_a_higher_fence_and_its_holder_can_write_nothing(
    home: Home, leases: Leases, clock: Clock
) -> None:
    old = claimed(leases, "one")
    assert leases.claim("two", (claimed(leases, "two"),)) is None
    leases.begin(old, 10)
    clock.now += LEASE + 1
    new = claimed(leases, "three")
    assert (new.number, new.attempts) == (old.number, 1)
    assert new.fence > old.fence
    job = job_of(home)
    ground = Ground(None, (0, 1), {})  # type: ignore[arg-type]
    writes: list[Callable[[], object]] = [
        lambda: leases.begin(old, 1),
        lambda: leases.finish(old),
        lambda: leases.fail(old, "x", final=True),
        lambda: leases.release(old),
        lambda: home.calls.record(job, [call(0)], {"local/dear": "x"}, [], old),
        lambda: publish(home.database, old, job, ground, None),
    ]
    for write in writes:
        with pytest.raises(LeaseLostError):
            write()
    assert home.calls.of(job) == {}
    assert job_of(home) == job
    home.calls.record(job, [call(0)], {}, [], new)
    leases.finish(new)


def test_a_heartbeat_renews_leases_and_tells_which_were_lost(
    found: Workers, leases: Leases, clock: Clock
) -> None:
    task = claimed(leases, "one")
    other = claimed(leases, "one", task)
    for _ in range(3):
        clock.now += LEASE - 1
        assert found.beat("one", [task]) == []
    # The other one was not renewed, for a step of it was overdue.
    taken = claimed(leases, "two")
    assert taken.number == other.number
    assert found.beat("one", [task, other]) == [other]


def test_fences_grow_over_retries_so_that_an_earlier_holder_stays_out(home: Home, leases: Leases) -> None:
    old = claimed(leases, "one")
    job = job_of(home)
    home.jobs.end("local", job.id, "FAILURE", "x")
    home.jobs.retry("local", job.id)
    new = claimed(leases, "one")
    assert (new.number, new.worker) == (old.number, old.worker)
    assert new.fence > old.fence
    with pytest.raises(LeaseLostError):
        leases.finish(old)
    leases.finish(new)


def test_only_a_holder_that_is_lost_in_a_step_counts_as_a_failure(
    home: Home, leases: Leases, clock: Clock
) -> None:
    """Waiting for its turn is no step: a kill is no fault of what was waiting."""
    for _ in range(2 * ATTEMPTS):
        assert claimed(leases, "one").attempts == 0
        clock.now += LEASE + 1
        assert claimed(leases, "two").attempts == 0
        clock.now += LEASE + 1
    task = claimed(leases, "one")
    leases.begin(task, 5)
    clock.now += LEASE + 1
    assert claimed(leases, "two").attempts == 1


def test_a_task_that_fails_each_time_ends_its_job_with_the_reason(
    home: Home, leases: Leases, clock: Clock
) -> None:
    for number in range(ATTEMPTS):
        task = claimed(leases, f"worker {number}")
        assert task.attempts == number
        leases.begin(task, 5)
        clock.now += LEASE + 1
    assert leases.claim("last") is None
    job = job_of(home)
    assert job.status == "FAILURE"
    assert "requests 0 to 49" in (job.error or "")
    assert f"failed {ATTEMPTS} times in a row" in (job.error or "")
    assert "its worker died or hung" in (job.error or "")
    # A retry begins to count anew.
    home.jobs.retry("local", job.id)
    assert claimed(leases, "last").attempts == 0


def test_a_recorded_call_lets_failures_be_counted_from_0(home: Home, leases: Leases, clock: Clock) -> None:
    job = job_of(home)
    for index in range(2 * ATTEMPTS):
        task = claimed(leases, f"worker {index}")
        leases.begin(task, 5)
        home.calls.record(job, [call(index)], {}, [], task)
        clock.now += LEASE + 1
    assert job_of(home).status == "RUNNING"
    assert attempts(home.database)[0] == 0


def test_errors_are_counted_and_the_last_one_is_told(home: Home, leases: Leases) -> None:
    for number in range(ATTEMPTS):
        leases.fail(claimed(leases, "one"), f"error {number}", final=False)
    assert job_of(home).status == "FAILURE"
    assert f"the last time: error {ATTEMPTS - 1};" in (job_of(home).error or "")


def test_a_task_that_failed_is_done_with_nothing_beside_it(home: Home, leases: Leases) -> None:
    with home.database.write() as connection:
        connection.execute(update(tasks).where(tasks.c.number == 0).values(attempts=SUSPECT))
    other = claimed(leases, "two", takes_over=False)
    assert other.number == 0
    leases.release(other)
    with home.database.write() as connection:
        connection.execute(update(tasks).where(tasks.c.number == 1).values(attempts=SUSPECT))
    busy = claimed(leases, "two")
    assert leases.claim("two", (busy,)) is None
    assert leases.claim("one") is not None


def test_what_a_worker_claimed_without_knowing_is_its_own_at_once(leases: Leases) -> None:
    """The answer to a claim may be lost with the connection."""
    lost = claimed(leases, "one")
    again = claimed(leases, "one", takes_over=False)
    assert (again.number, again.attempts) == (lost.number, 0)
    assert claimed(leases, "one", again).number != again.number


def test_just_after_an_outage_nothing_is_taken_over(leases: Leases, clock: Clock) -> None:
    first = claimed(leases, "one")
    claimed(leases, "one", first)
    clock.now += LEASE + 1
    assert leases.claim("two", takes_over=False) is None
    assert leases.claim("two") is not None


def test_a_commit_whose_answer_was_lost_is_not_paid_twice_but_a_call_made_twice_is(
    home: Home, leases: Leases
) -> None:
    job, task = job_of(home), claimed(leases, "one")
    same = call(0)
    for _ in range(3):
        home.calls.record(
            job, [same], {}, [(CallKey(1, "local/dear", "answer"), Wanted(0.5, 0.5, 0.5))], task
        )
    assert job_of(home).spent == 0.25
    with home.database.read() as connection:
        assert connection.scalars(select(reservations.c.usd)).all() == [0.5]
    home.calls.record(job, [Call(same.key, cost=0.25, ended=same.ended + 1)], {}, [], task)
    assert job_of(home).spent == 0.5


def test_what_a_lost_task_set_aside_is_charged_at_last(home: Home, found: Workers, clock: Clock) -> None:
    job, task = job_of(home), claimed(found.leases, "one")
    home.calls.record(job, [], {}, [(CallKey(1, "local/dear", "answer"), Wanted(0.9, 0.9, 0.9))], task)

    def held() -> int:
        with home.database.read() as connection:
            return len(connection.execute(select(reservations.c.id)).all())

    found.beat("two")
    assert held() == 1
    clock.now += LEASE + 1
    found.beat("two")
    # Not yet: after an outage its holder renews its lease.
    assert held() == 1
    clock.now += LEASE
    found.beat("two")
    assert held() == 0


def test_training_that_hangs_ends_its_own_job_and_no_other(
    client: Client,
    work: Callable[..., None],
    upstream: Upstream,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    released = threading.Event()
    hung = []

    def hangs(rows: list[Any], candidates: Any, seed: int) -> Any:
        if len(rows) == 1:
            hung.append(rows)
            released.wait(60)
        return fit(rows, candidates, seed)

    monkeypatch.setattr("llmrouter_lifecycle.training.runner.fit", hangs)
    # Long enough for the other job's training on a busy machine.
    monkeypatch.setattr("llmrouter_lifecycle.training.in_hand.FIT_SECONDS", 4.0)
    client.judges.create_judge("j", "numeric")
    client.routers.create_router("r", "local/dear")
    bad = client.routers.run_training_job("r", "j", ["local/dear"], requests(1))
    good = client.routers.run_training_job("r", "j", ["local/dear"], requests(10))
    try:
        work(client, heartbeat_timeout=3, backoff=Backoff(0.01, 0.05))
        assert not released.is_set()
    finally:
        released.set()
    ended = client.routers.poll_training_job(bad)
    assert ended.status == "FAILURE"
    assert "did not end within its time limit" in (ended.error_message or "")
    assert len(hung) == ATTEMPTS
    assert client.routers.poll_training_job(good).status == "SUCCESS"
    assert len(upstream.requests) == 11


@pytest.mark.parametrize("value", [0, -1, "x", True])
def test_a_limit_that_is_none_is_refused(catalogue: dict[str, Any], value: Any) -> None:
    with pytest.raises(ConfigError, match=r"lifecycle\.fit_seconds"):
        Limits(Models({**catalogue, "lifecycle": {"fit_seconds": value}}), 16)


def test_a_call_may_wait_for_its_turn_and_a_judge_asks_twice(catalogue: dict[str, Any]) -> None:
    catalogue["services"] = {"local": {"requests_per_minute": 4}}
    models = Models({**catalogue, "lifecycle": {"fit_seconds": 7}})
    limits = Limits(models, 8)
    assert limits.fit == 7
    assert limits.answer("local/dear") == 2 * 60 + models.client.timeout + 60
    models.client.close()
