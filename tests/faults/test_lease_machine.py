"""Leases as a state machine: any order of claims, heartbeats, steps and time that Hypothesis finds."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import select

from llmrouter_lifecycle.store.database import Database
from llmrouter_lifecycle.store.jobs import FAILURE, PROGRAM, RUNNING, SUCCESS, Jobs, end_job
from llmrouter_lifecycle.store.leases import ATTEMPTS, LeaseLostError, Task, end_task
from llmrouter_lifecycle.store.schema import jobs, tasks
from llmrouter_lifecycle.store.workers import Workers
from tests.faults.test_lease_simulation import LEASE, Clock, job

# Trying the states takes seconds: not for `make quick`.
pytestmark = pytest.mark.slow

NAMES = ("one", "two", "three")
workers_ = st.sampled_from(NAMES)


class LeaseMachine(RuleBasedStateMachine):
    """A model beside the real store: who was the last to claim each task, and until when it holds it."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = Clock()
        self.database = Database(Path(self.folder.name) / "x.sqlite", self.clock)
        Jobs(self.database).create(job("0"), [{}] * 60)
        self.workers = Workers(self.database, PROGRAM, LEASE)
        self.leases = self.workers.leases
        # What each worker believes to hold.
        self.in_hand: dict[str, list[Task]] = {name: [] for name in NAMES}
        # The last claim of each task, while nobody released it, and when that expires.
        self.holder: dict[int, Task] = {}
        self.until: dict[int, float] = {}
        self.highest = 0

    def teardown(self) -> None:
        self.database.close()
        self.folder.cleanup()

    def holds(self, task: Task) -> bool:
        return self.holder.get(task.number) == task

    @rule(name=workers_)
    def claim(self, name: str) -> None:
        task = self.leases.claim(name, tuple(self.in_hand[name]))
        if task is None:
            return
        assert task.fence > self.highest
        self.highest = task.fence
        before = self.holder.get(task.number)
        if before is not None and before.worker != name:
            assert self.clock.now > self.until[task.number]
        self.holder[task.number] = task
        self.until[task.number] = self.clock.now + LEASE
        self.in_hand[name].append(task)

    @rule(name=workers_)
    def beat(self, name: str) -> None:
        lost = self.workers.beat(name, self.in_hand[name])
        assert lost == [task for task in self.in_hand[name] if not self.holds(task)]
        for task in self.in_hand[name]:
            if task not in lost:
                self.until[task.number] = self.clock.now + LEASE
        self.in_hand[name] = [task for task in self.in_hand[name] if task not in lost]

    @rule(seconds=st.sampled_from((1.0, LEASE / 2, LEASE + 1)))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(name=workers_)
    def crash(self, name: str) -> None:
        self.in_hand[name] = []

    @precondition(lambda self: any(self.in_hand.values()))
    @rule(data=st.data(), what=st.sampled_from(("begin", "finish", "fail", "release")))
    def write(self, data: st.DataObject, what: str) -> None:
        task = data.draw(st.sampled_from([task for held in self.in_hand.values() for task in held]))
        try:
            if what == "begin":
                self.leases.begin(task, 10)
            elif what == "fail":
                self.leases.fail(task, "x", final=False)
            elif what == "release":
                self.leases.release(task)
            elif task.kind == "publish":
                with self.database.write() as connection:
                    end_task(connection, task)
                    end_job(connection, task.job, SUCCESS, None)
            else:
                self.leases.finish(task)
        except LeaseLostError:
            assert not self.holds(task)
        else:
            assert self.holds(task)
            if what == "begin":
                return
            del self.holder[task.number]
        self.in_hand[task.worker].remove(task)

    @invariant()
    def a_running_job_has_tasks_and_few_failures(self) -> None:
        with self.database.read() as connection:
            status = connection.scalar(select(jobs.c.status))
            found = connection.execute(select(tasks.c.owner, tasks.c.fence, tasks.c.attempts)).all()
        assert status in (RUNNING, SUCCESS, FAILURE)
        assert bool(found) or status == SUCCESS
        assert all(attempts < ATTEMPTS for *_, attempts in found)


TestLeases = LeaseMachine.TestCase
TestLeases.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
