"""Several workers on one ledger of jobs, in an order that a seed decides, with crashes, pauses and outages.

The store is the real one, on a file; the clock is virtual. A seed that fails is in the name of its test, and
fails again in the same way.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from llmrouter_lifecycle.store.calls import Call, CallKey, Calls
from llmrouter_lifecycle.store.database import Database
from llmrouter_lifecycle.store.jobs import PROGRAM, RUNNING, SUCCESS, Job, Jobs, end_job
from llmrouter_lifecycle.store.leases import LeaseLostError, Task, end_task
from llmrouter_lifecycle.store.schema import calls, jobs, tasks
from llmrouter_lifecycle.store.workers import Workers
from tests.faults.database import FaultyDatabase

LLM, LEASE, BEAT, REQUESTS = "llm", 30.0, 5.0, 6
# After these, nothing bad happens any more.
STEPS, MOST = 150, 3000


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Ledger:
    """A database, what happened in it, and whether it is away."""

    def __init__(self, path: Path, count: int) -> None:
        self.clock = Clock()
        self.database = Database(path, self.clock)
        self.away_until = 0.0
        self.jobs, self.calls = Jobs(self.database), Calls(self.database)
        # The fence of the last claim of each task, and how often each call was made.
        self.fences: dict[tuple[str, int], int] = {}
        self.made: dict[tuple[str, int], int] = {}
        # How often a worker was killed, or paused while it had something in hand.
        self.losses = 0
        for number in range(count):
            self.jobs.create(job(str(number)), [{}] * REQUESTS)
        FaultyDatabase(self.database, lambda kind: self.clock.now < self.away_until)

    def claimed(self, task: Task) -> None:
        """See that fences of a job only grow."""
        assert task.fence > max((self.fences.get((task.job, n), 0) for n in range(9)), default=0)
        self.fences[task.job, task.number] = task.fence

    def wrote(self, task: Task) -> None:
        """See that whoever wrote was the last one to claim the task."""
        assert self.fences[task.job, task.number] == task.fence


def job(id: str) -> Job:
    told: dict[str, Any] = dict.fromkeys(("error", "ended", "results"))
    told |= {"account": "local", "router": "r", "judge": "j", "judge_version": 1, "requests_digest": "x"}
    told |= {"llms": [LLM], "options": {}, "stopped": {}, "texts_deleted": False, "program": PROGRAM}
    told |= dict.fromkeys(("retries", "done", "failed", "spent"), 0)
    return Job(id=id, org="local", status=RUNNING, created=1000.0, updated=1000.0, **told)


class Worker:
    """Does what a worker does, a step at a time; what it holds in memory is lost when it is replaced."""

    def __init__(self, ledger: Ledger, id: str) -> None:
        self.ledger, self.id = ledger, id
        self.workers = Workers(ledger.database, PROGRAM, LEASE)
        self.task: Task | None = None
        self.begun = False
        # A call that ended, and is not committed yet.
        self.unwritten: Call | None = None
        self.beaten = ledger.clock.now
        self.unsure_since = ledger.clock.now

    def step(self) -> None:
        """Do the next thing, unless the database is away; then the same is tried again."""
        now = self.ledger.clock.now
        try:
            if now - self.beaten >= BEAT:
                lost = self.workers.beat(self.id, [self.task] if self.task else [])
                self.beaten = now
                if lost:
                    self.task = None
            if self.task is None:
                self.begun, self.unwritten = False, None
                sure = now - self.unsure_since > LEASE / 2
                self.task = self.workers.leases.claim(self.id, takes_over=sure)
                if self.task is not None:
                    self.ledger.claimed(self.task)
            else:
                self._work(self.task)
        except OperationalError:
            self.unsure_since = now
        except LeaseLostError:
            self.task = None

    def _work(self, task: Task) -> None:
        ledger, leases = self.ledger, self.workers.leases
        if not self.begun:
            leases.begin(task, 100)
            self.begun = True
            return
        if task.kind == "publish":
            with ledger.database.write() as connection:
                end_task(connection, task)
                end_job(connection, task.job, SUCCESS, None)
            ledger.wrote(task)
            self.task = None
            return
        found = ledger.jobs.get("local", task.job)
        if self.unwritten is not None:
            ledger.calls.record(found, [self.unwritten], {}, [], task)
            ledger.wrote(task)
            self.unwritten = None
            return
        known = {key.request_index for key in ledger.calls.of(found, task.first, task.last)}
        missing = [index for index in range(task.first, task.last) if index not in known]
        if missing:
            # It is paid for, whatever happens next.
            call = (task.job, missing[0])
            ledger.made[call] = ledger.made.get(call, 0) + 1
            self.unwritten = Call(CallKey(missing[0], LLM, "answer"), message={"content": "x"}, cost=1.0)
            return
        leases.finish(task)
        ledger.wrote(task)
        self.task = None


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    monkeypatch.setattr("llmrouter_lifecycle.store.jobs.SHARD", 3)
    ledger = Ledger(tmp_path / "lifecycle.sqlite", 3)
    yield ledger
    ledger.database.close()


def simulate(ledger: Ledger, seed: int) -> None:
    generator = random.Random(seed)
    count = 0

    def start() -> Worker:
        nonlocal count
        count += 1
        return Worker(ledger, f"worker {count}")

    alive = [start() for _ in range(3)]
    # Workers that are paused, and until when.
    paused: dict[Worker, float] = {}
    for number in range(MOST):
        worker = generator.choice(alive)
        ledger.clock.now += generator.choice((0.1, 0.5, 2.0))
        fault = generator.random() if number < STEPS else 1.0
        if fault < 0.02:
            # What it did is forgotten; what was not committed is lost.
            ledger.losses += 1
            alive[alive.index(worker)] = start()
        elif fault < 0.05:
            ledger.losses += 1
            paused[worker] = ledger.clock.now + generator.choice((5.0, LEASE + 1, 3 * LEASE))
        elif fault < 0.07:
            ledger.away_until = ledger.clock.now + generator.choice((1.0, 7.0, 2 * LEASE))
        elif paused.get(worker, 0.0) <= ledger.clock.now:
            worker.step()
        if number % 10 == 0 and ledger.clock.now >= ledger.away_until and ended(ledger):
            return
    raise AssertionError("a job did not end")


def ended(ledger: Ledger) -> bool:
    with ledger.database.read() as connection:
        return RUNNING not in connection.scalars(select(jobs.c.status)).all()


def check(ledger: Ledger) -> None:
    with ledger.database.read() as connection:
        assert set(connection.scalars(select(jobs.c.status)).all()) == {SUCCESS}
        assert connection.execute(select(tasks)).all() == []
        found = set(connection.execute(select(calls.c.job, calls.c.request_index)).all())
        spent = sum(connection.scalars(select(jobs.c.spent)).all())
    expected = {(str(number), index) for number in range(3) for index in range(REQUESTS)}
    assert {tuple(row) for row in found} == expected
    # A kill or a pause loses the one call under way at most; an outage loses none.
    assert ledger.made.keys() == expected
    assert sum(ledger.made.values()) - len(expected) <= ledger.losses
    assert spent == len(expected)


def test_without_faults_each_call_is_made_once(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.faults.test_lease_simulation.STEPS", 0)
    simulate(ledger, 0)
    check(ledger)
    assert set(ledger.made.values()) == {1}


@pytest.mark.parametrize("seed", range(12))
def test_every_job_ends_and_nothing_is_lost_whatever_happens_to_workers(ledger: Ledger, seed: int) -> None:
    simulate(ledger, seed)
    check(ledger)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(100, 300))
def test_the_same_for_more_seeds(ledger: Ledger, seed: int) -> None:
    simulate(ledger, seed)
    check(ledger)
