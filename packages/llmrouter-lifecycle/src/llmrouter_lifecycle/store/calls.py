"""The calls of training jobs: each is recorded as it ends, many that end together in one transaction."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, delete, func, insert, select, update

from llmrouter.completion.bounds import Wanted
from llmrouter_lifecycle.errors import BudgetExceededError
from llmrouter_lifecycle.store import accounts
from llmrouter_lifecycle.store.database import Database
from llmrouter_lifecycle.store.jobs import FAILURE_WITHOUT_RETRY, RUNNING, Job, end_job
from llmrouter_lifecycle.store.leases import Task, hold
from llmrouter_lifecycle.store.schema import calls, jobs, reservations

Kind = Literal["answer", "judge"]


class CallKey(NamedTuple):
    """Which call: what an LLM answers to a request, or how the judge scores that."""

    request_index: int
    llm: str
    kind: Kind


@dataclass(frozen=True)
class Call:
    """A call that ended.

    Attributes:
        message: Of the LLM, as the chat protocol has it; of a judge, its ``reason``.
        score: The judge's.
        cost: In USD; None where it is unknown, and all that was set aside is paid.
        error: Why it failed; None where it succeeded.
        error_status: HTTP status that the service answered with.
    """

    key: CallKey
    message: dict[str, Any] | None = None
    score: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost: float | None = None
    error: str | None = None
    error_status: int | None = None
    ended: float = field(default_factory=time.time)


@dataclass(frozen=True)
class State:
    """How a job stands after calls were recorded.

    Attributes:
        granted: What was set aside for each call that may be made, in USD. The others have to wait for what
            calls in flight may leave over.
    """

    running: bool
    stopped: dict[str, str]
    granted: dict[CallKey, float] = field(default_factory=dict)


class Calls:
    """The calls of all jobs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, job: Job, first: int = 0, last: int | None = None) -> dict[CallKey, Call]:
        """Return the calls of a job, or those for the requests from `first` to before `last`."""
        query = select(calls).where(calls.c.job == job.id, calls.c.request_index >= first)
        if last is not None:
            query = query.where(calls.c.request_index < last)
        with self._database.read() as connection:
            found = (_call(row) for row in connection.execute(query).mappings())
            return {call.key: call for call in found}

    def record(
        self,
        job: Job,
        ended: Sequence[Call],
        stopped: dict[str, str],
        wanted: Sequence[tuple[CallKey, Wanted]],
        task: Task,
        seconds: float = 0.0,
        unused: Sequence[CallKey] = (),
    ) -> State:
        """Record calls that ended, and set credits aside for those that are to begin.

        Args:
            job: The job.
            ended: Calls that ended; what is recorded already stays as it is.
            stopped: LLMs not to be called any more, each with its reason.
            wanted: Calls to begin, each with what it may cost.
            task: The task that they belong to.
            seconds: How long the calls to begin may take.
            unused: Calls for which credits were set aside, and which are not made.

        Raises:
            LeaseLostError: The task is another worker's; nothing was recorded.
        """
        with self._database.write() as connection:
            self._database.lock(connection, jobs.name, job.id)
            changes: dict[str, Any] = {}
            if ended:
                # It gets on, so what failed before says nothing about what is left.
                changes["attempts"] = 0
            if wanted:
                changes["deadline"] = self._database.now(connection) + seconds
            hold(connection, task, **changes)
            self._insert(connection, job, ended)
            self._release(connection, job, unused)
            row = connection.execute(
                select(jobs.c.status, jobs.c.stopped, jobs.c.spent).where(jobs.c.id == job.id)
            ).first()
            if row is None:
                return State(False, {})
            if not stopped.keys() <= row.stopped.keys():
                merged = {**stopped, **row.stopped}
                connection.execute(update(jobs).where(jobs.c.id == job.id).values(stopped=merged))
            else:
                merged = row.stopped
            if row.status != RUNNING:
                return State(False, merged)
            granted = self._reserve(connection, job, row.spent, wanted, task)
            return State(False, merged) if granted is None else State(True, merged, granted)

    def _insert(self, connection: Connection, job: Job, ended: Sequence[Call]) -> None:
        if not ended:
            return
        done = failed = 0
        cost = 0.0
        held = self._held(connection, job, ended)
        for call in ended:
            new = self._database.insert_missing(connection, calls, [_row(job, call)])
            done += new if call.key.kind == "judge" and call.error is None else 0
            failed += new if call.error is not None else 0
            # A call that was made twice was paid for twice; one that is only recorded twice, because the
            # answer to the first commit was lost, was not.
            if new or self._ended(connection, job, call.key) != call.ended:
                cost += held.get(call.key, 0.0) if call.cost is None else call.cost
        connection.execute(
            update(jobs)
            .where(jobs.c.id == job.id)
            .values(
                done=jobs.c.done + done,
                failed=jobs.c.failed + failed,
                spent=jobs.c.spent + cost,
                updated=time.time(),
            )
        )
        if cost:
            self._database.lock(connection, "accounts", job.org, job.account)
            accounts.pay(self._database, connection, job.payer, cost)
        self._release(connection, job, [call.key for call in ended])

    def _held(self, connection: Connection, job: Job, ended: Sequence[Call]) -> dict[CallKey, float]:
        """What was set aside for calls of unknown cost."""
        ids = {_reservation(job, call.key): call.key for call in ended if call.cost is None}
        if not ids or not job.limited:
            return {}
        query = select(reservations.c.id, reservations.c.usd).where(reservations.c.id.in_(ids))
        return {ids[id]: usd for id, usd in connection.execute(query).all()}

    def _release(self, connection: Connection, job: Job, keys: Sequence[CallKey]) -> None:
        if keys and job.limited:
            ids = [_reservation(job, key) for key in keys]
            connection.execute(delete(reservations).where(reservations.c.id.in_(ids)))

    def _ended(self, connection: Connection, job: Job, key: CallKey) -> float | None:
        query = select(calls.c.ended).where(
            calls.c.job == job.id,
            calls.c.request_index == key.request_index,
            calls.c.llm == key.llm,
            calls.c.kind == key.kind,
        )
        return connection.scalar(query)

    def _reserve(
        self,
        connection: Connection,
        job: Job,
        spent: float,
        wanted: Sequence[tuple[CallKey, Wanted]],
        task: Task,
    ) -> dict[CallKey, float] | None:
        """Set credits aside; returns how much for whom, or None where the job ended for lack of them."""
        if not wanted or not job.limited:
            return {key: most.usd for key, most in wanted}
        # Set aside already, if only the answer to that commit was lost.
        self._release(connection, job, [key for key, _ in wanted])
        lefts: list[tuple[str, float, float]] = []
        if (budget := job.options.get("budget_usd")) is not None:
            held = connection.scalar(select(func.sum(reservations.c.usd)).where(reservations.c.job == job.id))
            lefts.append((f"the job's budget of {budget:g} USD", budget - spent, float(held or 0)))
        if (budget := job.payer.budget_usd) is not None:
            self._database.lock(connection, "accounts", job.org, job.account)
            paid, held = accounts.standing(connection, job.payer)
            lefts.append((f"the budget of {budget:g} USD of the key {job.account!r}", budget - paid, held))
        granted: dict[CallKey, float] = {}
        for key, most in wanted:
            # A shorter answer is only asked for where nothing in flight may leave credits over.
            usd = max(most.enough, min([most.usd, *(left for _, left, held in lefts if not held)]))
            if all(left - held >= usd for _, left, held in lefts):
                lefts = [(what, left, held + usd) for what, left, held in lefts]
                granted[key] = usd
                continue
            short = next((what for what, left, held in lefts if not held and left < usd), None)
            if short is not None:
                error = BudgetExceededError(
                    f"{short} does not suffice for what is left to do, where a call may cost {usd:.6g} USD; "
                    "raise it and retry the job"
                )
                end_job(connection, job.id, FAILURE_WITHOUT_RETRY, str(error))
                return None
        if granted:
            who = {"org": job.org, "account": job.account, "job": job.id, "owner": task.claim}
            rows = [
                {**who, "id": _reservation(job, key), "usd": usd, "created": time.time()}
                for key, usd in granted.items()
            ]
            connection.execute(insert(reservations), rows)
        return granted


def _reservation(job: Job, key: CallKey) -> str:
    return f"{job.id}/{key.request_index}/{key.kind}/{key.llm}"


def _row(job: Job, call: Call) -> dict[str, Any]:
    row = {**call.__dict__, **call.key._asdict(), "org": job.org, "job": job.id}
    del row["key"]
    return row


def _call(row: Any) -> Call:
    told = {name: row[name] for name in Call.__dataclass_fields__ if name != "key"}
    return Call(CallKey(row["request_index"], row["llm"], row["kind"]), **told)
