"""Which worker does which task, and what is taken over from workers that fell silent.

A worker renews its heartbeat; one that was silent for `SILENCE` seconds is taken to be dead, its row is
deleted, and its tasks are anybody's. A worker whose row is gone stops what it does.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, func, insert, or_, select, update

from llmrouter_lifecycle.store.database import Database
from llmrouter_lifecycle.store.jobs import RUNNING
from llmrouter_lifecycle.store.schema import jobs, reservations, tasks, workers

SILENCE = 30.0


@dataclass(frozen=True)
class Task:
    """A part of a job that one worker does.

    Attributes:
        kind: ``calls`` for the requests from `first` to before `last`, or ``publish``.
    """

    org: str
    job: str
    number: int
    kind: str
    first: int
    last: int


class Workers:
    """The workers of a database, and their tasks."""

    def __init__(self, database: Database, program: str, silence: float = SILENCE) -> None:
        self._database = database
        self._program = program
        self._silence = silence

    def register(self, worker: str, alone: bool = False) -> None:
        """Add a worker; one that is there stays.

        Args:
            worker: Its id, unlike any before.
            alone: It is known that no other runs, so that their tasks need not wait for silence.
        """
        with self._database.write() as connection:
            if alone:
                connection.execute(delete(workers))
                connection.execute(delete(reservations).where(reservations.c.job.is_not(None)))
            now = self._database.now(connection)
            row = {"id": worker, "program": self._program, "heartbeat": now}
            self._database.insert_missing(connection, workers, [row])

    def remove(self, worker: str) -> None:
        """Remove a worker; its tasks are anybody's at once."""
        with self._database.write() as connection:
            connection.execute(delete(workers).where(workers.c.id == worker))
            connection.execute(delete(reservations).where(reservations.c.owner == worker))
            connection.execute(update(tasks).where(tasks.c.owner == worker).values(owner=None))

    def beat(self, worker: str) -> bool:
        """Renew a heartbeat and remove those who fell silent; returns whether the worker is still one."""
        with self._database.write() as connection:
            now = self._database.now(connection)
            alive = connection.execute(
                update(workers).where(workers.c.id == worker).values(heartbeat=now)
            ).rowcount
            silent = connection.scalars(
                select(workers.c.id).where(workers.c.heartbeat < now - self._silence)
            ).all()
            if silent:
                connection.execute(delete(workers).where(workers.c.id.in_(silent)))
                connection.execute(delete(reservations).where(reservations.c.owner.in_(silent)))
        return bool(alive)

    def alive(self) -> int:
        """Return how many workers there are that this release's jobs may wait for."""
        with self._database.read() as connection:
            since = self._database.now(connection) - self._silence
            query = select(func.count()).where(
                workers.c.heartbeat >= since, workers.c.program == self._program
            )
            return int(connection.scalar(query) or 0)

    def claim(self, worker: str) -> Task | None:
        """Take a task that nobody does, of the jobs in turn; None where there is none."""
        free = or_(tasks.c.owner.is_(None), tasks.c.owner.not_in(select(workers.c.id)))
        query = (
            select(tasks)
            .join(jobs, jobs.c.id == tasks.c.job)
            .where(jobs.c.status == RUNNING, jobs.c.program == self._program, free)
            # So that a small job does not wait for all of a large one before it.
            .order_by(tasks.c.number, jobs.c.created)
            .limit(1)
        )
        with self._database.read() as connection:
            if connection.execute(query).first() is None:
                return None
        with self._database.write() as connection:
            self._database.lock(connection, tasks.name)
            row = connection.execute(query).mappings().first()
            if row is None:
                return None
            connection.execute(
                update(tasks)
                .where(tasks.c.job == row["job"], tasks.c.number == row["number"])
                .values(owner=worker)
            )
            return Task(**{key: row[key] for key in Task.__dataclass_fields__})

    def release(self, task: Task) -> None:
        """Let anybody do a task."""
        with self._database.write() as connection:
            mine = (tasks.c.job == task.job) & (tasks.c.number == task.number)
            connection.execute(update(tasks).where(mine).values(owner=None))

    def finish(self, task: Task) -> None:
        """Delete a task that is done; after the last one of a job comes its ``publish``."""
        with self._database.write() as connection:
            self._database.lock(connection, jobs.name, task.job)
            mine = (tasks.c.job == task.job) & (tasks.c.number == task.number)
            if not connection.execute(delete(tasks).where(mine)).rowcount or task.kind != "calls":
                return
            left = connection.scalar(select(func.count()).where(tasks.c.job == task.job))
            if not left:
                row = {"org": task.org, "job": task.job, "number": task.number + 1, "kind": "publish"}
                connection.execute(insert(tasks).values(**row, first=0, last=0))
