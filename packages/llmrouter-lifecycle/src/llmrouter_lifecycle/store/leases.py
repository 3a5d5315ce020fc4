"""Which worker holds which task, and until when.

A worker claims a task for `LEASE` seconds and renews that while the step in hand keeps within the deadline
that it declared. Every claim of a job's tasks has a fence, a number higher than any before. Whatever the
holder writes checks its fence in the same transaction, so a worker that lost its task can write nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, String, and_, cast, delete, func, insert, not_, or_, select, update

from llmrouter.errors import LLMRouterError
from llmrouter_lifecycle.store import accounts
from llmrouter_lifecycle.store.database import Database
from llmrouter_lifecycle.store.jobs import FAILURE, RUNNING, end_job
from llmrouter_lifecycle.store.schema import jobs, reservations, tasks

# Seconds that a task stays with a worker that does not renew it.
LEASE = 30.0
# How often a task may fail in a row with no call of it recorded in between. A fault that passes is gone by
# then; one that stays, such as a judge that ends the process, would otherwise stop the worker for ever.
ATTEMPTS = 5
# After so many failures a task is done with nothing beside it, which then cannot suffer from it.
SUSPECT = 2


@dataclass(frozen=True)
class Task:
    """A part of a job that one worker does.

    Attributes:
        kind: ``calls`` for the requests from `first` to before `last`, or ``publish``.
        worker: Who holds it.
        fence: Which claim of the job's tasks this is.
        attempts: How often it failed since a call of it was last recorded.
    """

    org: str
    job: str
    number: int
    kind: str
    first: int
    last: int
    worker: str
    fence: int
    attempts: int = 0

    @property
    def claim(self) -> str:
        """What its reservations name as their owner."""
        return f"{self.job}/{self.fence}"

    def __str__(self) -> str:
        what = f"requests {self.first} to {self.last - 1}" if self.kind == "calls" else "the training"
        return f"{what} of the job {self.job}"


class LeaseLostError(LLMRouterError):
    """Another claim took the task over, or its job was retried or deleted; nothing was written."""


class Leases:
    """The tasks of all jobs, and who holds them.

    Args:
        database: Where they are.
        program: Whose jobs to claim.
        seconds: How long a claim lasts unless renewed.
    """

    def __init__(self, database: Database, program: str, seconds: float = LEASE) -> None:
        self._database = database
        self._program = program
        self._seconds = seconds

    def claim(self, worker: str, in_hand: tuple[Task, ...] = (), *, takes_over: bool = True) -> Task | None:
        """Claim the next task that nobody holds, round-robin across jobs.

        A task whose holder lost it while a step was under way has failed once more; after `ATTEMPTS` of
        these its job ends.

        Args:
            worker: Who claims.
            in_hand: What that worker holds already.
            takes_over: Whether to take tasks whose lease expired. Not just after the database was away:
                their holders could not renew them.
        """
        with self._database.read() as connection:
            if connection.execute(self._next(connection, worker, in_hand, takes_over)).first() is None:
                return None
        with self._database.write() as connection:
            self._database.lock(connection, tasks.name)
            query = self._next(connection, worker, in_hand, takes_over)
            row: Any = connection.execute(query).mappings().first()
            if row is None or (in_hand and row["attempts"] >= SUSPECT):
                return None
            self._database.lock(connection, jobs.name, row["job"])
            died = row["owner"] is not None and row["deadline"] is not None
            found = {name: row[name] for name in ("org", "job", "number", "kind", "first", "last")}
            task = Task(**found, worker=worker, fence=row["fence"], attempts=row["attempts"] + died)
            accounts.charge(self._database, connection, reservations.c.owner == task.claim)
            if task.attempts >= ATTEMPTS:
                end_job(connection, task.job, FAILURE, _gave_up(task, "its worker died or hung"))
                connection.execute(update(tasks).where(_same(task)).values(owner=None, attempts=0))
                return None
            fence = connection.scalar(
                update(jobs)
                .where(jobs.c.id == task.job)
                .values(fence=jobs.c.fence + 1)
                .returning(jobs.c.fence)
            )
            now = self._database.now(connection)
            taken = connection.execute(
                update(tasks)
                .where(_same(task), self._free(worker, in_hand, takes_over, now))
                .values(
                    owner=worker,
                    fence=fence,
                    lease_until=now + self._seconds,
                    deadline=None,
                    attempts=task.attempts,
                )
            ).rowcount
            # Its holder may have renewed it since it was found.
            return Task(**{**task.__dict__, "fence": fence}) if taken else None

    def begin(self, task: Task, seconds: float) -> None:
        """Declare the first step of a task, and how long it may take.

        Raises:
            LeaseLostError: The task is another's.
        """
        with self._database.write() as connection:
            hold(connection, task, deadline=self._database.now(connection) + seconds)

    def renew(self, connection: Connection, task: Task, now: float) -> bool:
        """Renew a lease, as part of a transaction; returns whether the worker still holds the task."""
        renewed = update(tasks).where(_held(task)).values(lease_until=now + self._seconds)
        return bool(connection.execute(renewed).rowcount)

    def release(self, task: Task) -> None:
        """Leave a task to others, for its job ended.

        Raises:
            LeaseLostError: The task is another's.
        """
        with self._database.write() as connection:
            _release(connection, task)

    def fail(self, task: Task, error: str, *, final: bool) -> None:
        """Note that a task failed; it is tried again, or its job ends.

        Args:
            task: The task.
            error: What happened.
            final: Whether trying again is useless.

        Raises:
            LeaseLostError: The task is another's.
        """
        with self._database.write() as connection:
            self._database.lock(connection, jobs.name, task.job)
            accounts.charge(self._database, connection, reservations.c.owner == task.claim)
            failed = connection.scalar(select(tasks.c.attempts).where(_held(task)))
            last = failed is not None and failed + 1 >= ATTEMPTS
            _release(connection, task, attempts=0 if last or final else tasks.c.attempts + 1)
            if last or final:
                end_job(connection, task.job, FAILURE, error if final else _gave_up(task, error))

    def charge_the_dead(self, before: float) -> None:
        """Charge what is set aside for calls of claims that ended, or expired before a time."""
        live = select(_claim()).where(tasks.c.owner.is_not(None), tasks.c.lease_until >= before)
        dead = reservations.c.job.is_not(None) & reservations.c.owner.not_in(live)
        with self._database.read() as connection:
            theirs = connection.scalars(select(reservations.c.job).where(dead).distinct()).all()
        for job in theirs:
            with self._database.write() as connection:
                self._database.lock(connection, jobs.name, job)
                accounts.charge(self._database, connection, dead & (reservations.c.job == job))

    def finish(self, task: Task) -> None:
        """Delete a task that is done; after the last one of a job comes its ``publish``.

        Raises:
            LeaseLostError: The task is another's.
        """
        with self._database.write() as connection:
            self._database.lock(connection, jobs.name, task.job)
            end_task(connection, task)
            left = connection.scalar(select(func.count()).where(tasks.c.job == task.job))
            if task.kind == "calls" and not left:
                row = {"org": task.org, "job": task.job, "number": task.number + 1, "kind": "publish"}
                connection.execute(insert(tasks).values(**row, first=0, last=0))

    def _next(self, connection: Connection, worker: str, in_hand: tuple[Task, ...], takes_over: bool) -> Any:
        return (
            select(tasks)
            .join(jobs, jobs.c.id == tasks.c.job)
            .where(
                jobs.c.status == RUNNING,
                jobs.c.program == self._program,
                self._free(worker, in_hand, takes_over, self._database.now(connection)),
            )
            # So that a small job does not wait for all of a large one before it.
            .order_by(tasks.c.number, jobs.c.created)
            .limit(1)
        )

    def _free(self, worker: str, in_hand: tuple[Task, ...], takes_over: bool, now: float) -> Any:
        # Its own that it does not have in hand: it was given up, or the answer to its claim was lost.
        own = and_(tasks.c.owner == worker, *(not_(_same(task)) for task in in_hand))
        if not takes_over:
            return or_(tasks.c.owner.is_(None), own)
        expired = or_(tasks.c.lease_until.is_(None), tasks.c.lease_until < now)
        return or_(tasks.c.owner.is_(None), own, and_(tasks.c.owner != worker, expired))


def hold(connection: Connection, task: Task, **values: Any) -> None:
    """Check in a transaction that a worker still holds its task, and keep others from it until the end.

    Args:
        connection: In the transaction.
        task: The task.
        values: What to change of its row.

    Raises:
        LeaseLostError: The task is another's; nothing of the transaction may be committed.
    """
    changed = update(tasks).where(_held(task)).values(**(values or {"owner": task.worker}))
    if not connection.execute(changed).rowcount:
        raise LeaseLostError(f"{task}: taken over from {task.worker}")


def end_task(connection: Connection, task: Task) -> None:
    """Delete a task that is done, as part of a transaction.

    Raises:
        LeaseLostError: The task is another's.
    """
    if not connection.execute(delete(tasks).where(_held(task))).rowcount:
        raise LeaseLostError(f"{task}: taken over from {task.worker}")
    connection.execute(delete(reservations).where(reservations.c.owner == task.claim))


def release_all(database: Database, connection: Connection, worker: str) -> None:
    """Leave all tasks of a worker that ends to others, and charge its calls in flight."""
    mine = tasks.c.owner == worker
    for job in sorted(connection.scalars(select(tasks.c.job).where(mine).distinct())):
        database.lock(connection, jobs.name, job)
    accounts.charge(database, connection, reservations.c.owner.in_(select(_claim()).where(mine)))
    connection.execute(update(tasks).where(mine).values(owner=None, lease_until=None, deadline=None))


def expire_all(connection: Connection) -> None:
    """Let all leases expire, for no worker runs."""
    connection.execute(update(tasks).where(tasks.c.owner.is_not(None)).values(lease_until=0.0))


def _release(connection: Connection, task: Task, **values: Any) -> None:
    hold(connection, task, owner=None, lease_until=None, deadline=None, **values)
    connection.execute(delete(reservations).where(reservations.c.owner == task.claim))


def _same(task: Task) -> Any:
    return and_(tasks.c.job == task.job, tasks.c.number == task.number)


def _held(task: Task) -> Any:
    return and_(_same(task), tasks.c.owner == task.worker, tasks.c.fence == task.fence)


def _claim() -> Any:
    return tasks.c.job + "/" + cast(tasks.c.fence, String)


def _gave_up(task: Task, reason: str) -> str:
    return (
        f"{task} failed {ATTEMPTS} times in a row, the last time: {reason}; see the log of the worker, and "
        "retry the job once the cause is gone"
    )
