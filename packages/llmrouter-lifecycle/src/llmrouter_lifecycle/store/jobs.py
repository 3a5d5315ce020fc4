"""Training jobs: their states, their requests, and the tasks they consist of."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from llmrouter_lifecycle.errors import ConflictError, ResourceNotFoundError
from llmrouter_lifecycle.store import accounts
from llmrouter_lifecycle.store.database import Database
from llmrouter_lifecycle.store.encoding import canonical_json, encode_json
from llmrouter_lifecycle.store.schema import calls, jobs, requests, reservations, tasks

RUNNING = "RUNNING"
SUCCESS = "SUCCESS"
# Trying again may help.
FAILURE = "FAILURE"
# Trying again fails likewise, unless something changes first: a budget, a decision to cancel.
FAILURE_WITHOUT_RETRY = "FAILURE_WITHOUT_RETRY"

# Jobs made by this release. Counts up when another release could not finish them rightly.
PROGRAM = "lifecycle-1"
# Releases whose jobs this one can finish.
PROGRAMS = frozenset({PROGRAM})

# Requests of one task.
SHARD = 50


@dataclass(frozen=True)
class Job:
    """A training job.

    Attributes:
        account: The name of the account that pays.
        options: ``budget_usd``, ``account_budget_usd``, ``seed``, ``retention_days``, ``prices``.
        program: Which programs may work on it.
        done: How many answers are judged.
        failed: How many could not be had, or not be judged.
        spent: In USD.
        stopped: LLMs that are not called any more, each with its reason.
        fence: How often its tasks were claimed.
    """

    id: str
    org: str
    account: str
    router: str
    judge: str
    judge_version: int
    llms: list[str]
    options: dict[str, Any]
    requests_digest: str
    program: str
    status: str
    error: str | None
    retries: int
    created: float
    updated: float
    ended: float | None
    done: int
    failed: int
    spent: float
    stopped: dict[str, str]
    results: dict[str, Any] | None
    texts_deleted: bool
    fence: int = 0

    @property
    def payer(self) -> accounts.Account:
        """Whose credits pay, and how many there are."""
        return accounts.Account(self.org, self.account, self.options.get("account_budget_usd"))

    @property
    def limited(self) -> bool:
        """Whether a budget limits what it spends."""
        return self.options.get("budget_usd") is not None or self.payer.budget_usd is not None


class Jobs:
    """The training jobs of all organisations."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, job: Job, bodies: Sequence[dict[str, Any]]) -> Job:
        """Add a job with its requests; workers begin with it at once."""
        columns = ("org", "job", "request_index", "body")
        rows = [(job.org, job.id, index, encode_json(body)) for index, body in enumerate(bodies)]
        with self._database.write() as connection:
            connection.execute(insert(jobs).values(**job.__dict__))
            self._database.insert_many(connection, requests, columns, rows)
            connection.execute(insert(tasks), _tasks(job, len(rows)))
        return job

    def get(self, org: str, id: str) -> Job:
        """Return a job.

        Raises:
            ResourceNotFoundError: There is none of that id.
        """
        with self._database.read() as connection:
            return self._get(connection, org, id)

    def list(self, org: str) -> list[Job]:
        """Return all jobs, the newest first."""
        query = select(jobs).where(jobs.c.org == org).order_by(jobs.c.created.desc(), jobs.c.id)
        with self._database.read() as connection:
            return [_job(row) for row in connection.execute(query).mappings()]

    def running(self) -> int:
        """Return how many jobs of this release wait for workers."""
        with self._database.read() as connection:
            query = select(jobs.c.id).where(jobs.c.status == RUNNING, jobs.c.program == PROGRAM)
            return len(connection.execute(query).all())

    def requests(self, job: Job, first: int = 0, last: int | None = None) -> dict[int, dict[str, Any]]:
        """Return the requests of a job by index, or those from `first` to before `last`."""
        query = select(requests.c.request_index, requests.c.body).where(
            requests.c.job == job.id, requests.c.request_index >= first
        )
        if last is not None:
            query = query.where(requests.c.request_index < last)
        with self._database.read() as connection:
            return {row.request_index: row.body for row in connection.execute(query)}

    def end(self, org: str, id: str, status: str, error: str | None) -> Job:
        """End a job that runs; one that has ended stays as it is."""
        with self._database.write() as connection:
            end_job(connection, id, status, error)
            return self._get(connection, org, id)

    def retry(self, org: str, id: str, options: dict[str, Any] | None = None) -> Job:
        """Run a failed or cancelled job again: what succeeded stays, what failed or is missing is done.

        Args:
            org: The organisation.
            id: The job.
            options: Those to change.

        Raises:
            ConflictError: It runs, has succeeded, or its requests were deleted.
        """
        with self._database.write() as connection:
            self._database.lock(connection, jobs.name, id)
            job = self._get(connection, org, id)
            if job.status not in (FAILURE, FAILURE_WITHOUT_RETRY):
                raise ConflictError(
                    f"the job {id!r} is {job.status}; only one that failed or was cancelled can be retried"
                )
            if job.texts_deleted:
                raise ConflictError(f"the requests of the job {id!r} were deleted; start a new one")
            connection.execute(delete(calls).where(calls.c.job == id, calls.c.error.is_not(None)))
            connection.execute(delete(tasks).where(tasks.c.job == id))
            count = len(
                connection.execute(select(requests.c.request_index).where(requests.c.job == id)).all()
            )
            connection.execute(insert(tasks), _tasks(job, count))
            connection.execute(
                update(jobs)
                .where(jobs.c.id == id)
                .values(
                    status=RUNNING,
                    error=None,
                    ended=None,
                    failed=0,
                    stopped={},
                    retries=job.retries + 1,
                    updated=time.time(),
                    program=PROGRAM,
                    options={**job.options, **(options or {})},
                )
            )
            return self._get(connection, org, id)

    def delete(self, org: str, id: str) -> None:
        """Delete a job with all that it holds; the versions of the router that it trained stay.

        Raises:
            ConflictError: It runs.
        """
        with self._database.write() as connection:
            job = self._get(connection, org, id)
            if job.status == RUNNING:
                raise ConflictError(f"the job {id!r} runs; cancel it first")
            # Calls may be in flight if it was cancelled just now.
            accounts.charge(self._database, connection, reservations.c.job == id)
            for table in (tasks, calls, requests):
                connection.execute(delete(table).where(table.c.job == id))
            connection.execute(delete(jobs).where(jobs.c.id == id))

    def delete_old_texts(self) -> int:
        """Delete the texts of jobs that ended longer ago than they are to be kept; return how many jobs."""
        deleted = 0
        with self._database.read() as connection:
            query = select(jobs).where(jobs.c.ended.is_not(None), jobs.c.texts_deleted.is_(False))
            ended = [_job(row) for row in connection.execute(query).mappings()]
        for job in ended:
            days = job.options.get("retention_days")
            if days is None or (job.ended or 0) + days * 86400 > time.time():
                continue
            with self._database.write() as connection:
                connection.execute(update(requests).where(requests.c.job == job.id).values(body=None))
                connection.execute(update(calls).where(calls.c.job == job.id).values(message=None))
                connection.execute(update(jobs).where(jobs.c.id == job.id).values(texts_deleted=True))
            deleted += 1
        return deleted

    def refuse_unknown_programs(self) -> None:
        """End jobs that no release like this one can finish, with the reason."""
        with self._database.write() as connection:
            query = select(jobs.c.id, jobs.c.program).where(
                jobs.c.status == RUNNING, jobs.c.program.not_in(PROGRAMS)
            )
            for id, program in connection.execute(query).all():
                end_job(
                    connection,
                    id,
                    FAILURE,
                    f"the job was made by a release that this one does not know ({program}); retry it to do "
                    "what is missing with this release",
                )
            connection.execute(
                update(jobs)
                .where(jobs.c.status == RUNNING, jobs.c.program.in_(PROGRAMS))
                .values(program=PROGRAM)
            )

    def _get(self, connection: Connection, org: str, id: str) -> Job:
        row = connection.execute(select(jobs).where(jobs.c.org == org, jobs.c.id == id)).mappings().first()
        if row is None:
            raise ResourceNotFoundError(f"training job {id!r} does not exist", param="id")
        return _job(row)


def end_job(connection: Connection, id: str, status: str, error: str | None) -> None:
    """End a job that runs, as part of a transaction."""
    now = time.time()
    connection.execute(
        update(jobs)
        .where(jobs.c.id == id, jobs.c.status == RUNNING)
        .values(status=status, error=error, updated=now, ended=now)
    )


def digest_of_requests(bodies: Sequence[dict[str, Any]]) -> str:
    """Return a digest of requests that does not hang on how their JSON was written."""
    return f"sha256:{hashlib.sha256(canonical_json(bodies)).hexdigest()}"


def _tasks(job: Job, count: int) -> list[dict[str, Any]]:
    return [
        {
            "org": job.org,
            "job": job.id,
            "number": number,
            "kind": "calls",
            "first": first,
            "last": min(first + SHARD, count),
        }
        for number, first in enumerate(range(0, count, SHARD))
    ]


def _job(row: Any) -> Job:
    return Job(**row)
