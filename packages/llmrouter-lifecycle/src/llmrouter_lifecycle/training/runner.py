"""Does tasks of training jobs, one worker's share of them, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator

from sqlalchemy.exc import SQLAlchemyError

from llmrouter.errors import LLMRouterError, describe
from llmrouter_lifecycle.errors import ResourceNotFoundError
from llmrouter_lifecycle.judges.create import create_judge
from llmrouter_lifecycle.models import Models
from llmrouter_lifecycle.store.calls import Calls
from llmrouter_lifecycle.store.database import Database
from llmrouter_lifecycle.store.jobs import FAILURE, PROGRAM, Job, Jobs
from llmrouter_lifecycle.store.versions import judge_versions
from llmrouter_lifecycle.store.workers import SILENCE, Task, Workers
from llmrouter_lifecycle.training.publish import publish
from llmrouter_lifecycle.training.recorder import Recorder
from llmrouter_lifecycle.training.shard import Shard, Slots

logger = logging.getLogger(__name__)

CONCURRENCY = 16
# Two, so that the last calls of one task do not leave slots empty.
TASKS = 2
# Seconds between looks for a task, and after the database failed.
POLL = 0.2
PAUSE = 1.0
# Seconds between looks for texts to delete.
CLEANING = 3600.0


class Runner:
    """A worker.

    Args:
        database: Where the jobs are.
        models: The LLMs.
        concurrency: Calls at once.
        silence: Seconds after which a silent worker is taken to be dead.
        alone: No other worker runs on this database, which is known from a lock.
        idle: Seconds without a task after which it ends; None: never.
    """

    def __init__(
        self,
        database: Database,
        models: Models,
        *,
        concurrency: int = CONCURRENCY,
        silence: float = SILENCE,
        alone: bool = False,
        idle: float | None = None,
    ) -> None:
        self._database = database
        self._models = models
        self._concurrency = concurrency
        self._silence = silence
        self._alone = alone
        self._idle = idle
        self._jobs = Jobs(database)
        self._calls = Calls(database)
        self._workers = Workers(database, PROGRAM, silence)
        self._stop = threading.Event()
        self._lost = threading.Event()
        self.id = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"

    def stop(self) -> None:
        """Let it end; calls in flight are given up."""
        self._stop.set()

    def run(self) -> None:
        """Do tasks until told to stop, or idle for long enough."""
        self._jobs.refuse_unknown_programs()
        self._workers.register(self.id, self._alone)
        try:
            with self._beating():
                asyncio.run(self._run())
        finally:
            self._workers.remove(self.id)

    async def _run(self) -> None:
        slots = Slots(self._concurrency, self._models)
        under_way: set[asyncio.Task[None]] = set()
        busy = time.monotonic()
        try:
            while not self._stop.is_set():
                if self._lost.is_set():
                    await _cancel(under_way)
                    await asyncio.to_thread(self._workers.register, self.id)
                    self._lost.clear()
                if len(under_way) < TASKS and (task := await self._claim()) is not None:
                    under_way.add(asyncio.create_task(self._do(task, slots)))
                    continue
                if under_way:
                    busy = time.monotonic()
                    _, under_way = await asyncio.wait(
                        under_way, timeout=POLL, return_when=asyncio.FIRST_COMPLETED
                    )
                elif self._idle is not None and time.monotonic() - busy > self._idle:
                    # Whoever adds a job meanwhile must not take this worker to be there.
                    await asyncio.to_thread(self._workers.remove, self.id)
                    if not await asyncio.to_thread(self._jobs.running):
                        return
                    await asyncio.to_thread(self._workers.register, self.id)
                    busy = time.monotonic()
                    await asyncio.sleep(POLL)
                else:
                    await asyncio.sleep(POLL)
        finally:
            await _cancel(under_way)

    async def _claim(self) -> Task | None:
        try:
            return await asyncio.to_thread(self._workers.claim, self.id)
        except SQLAlchemyError as error:
            logger.warning("the database failed, trying again: %s", describe(error))
            await asyncio.sleep(PAUSE)
            return None

    async def _do(self, task: Task, slots: Slots) -> None:
        try:
            job = await asyncio.to_thread(self._jobs.get, task.org, task.job)
            if task.kind == "publish":
                await asyncio.to_thread(publish, self._database, self._models, job)
            elif not await self._make_calls(job, task, slots):
                return
            await asyncio.to_thread(self._workers.finish, task)
        except SQLAlchemyError as error:
            logger.warning("the database failed, the task is done again: %s", describe(error))
            await asyncio.sleep(PAUSE)
            with contextlib.suppress(SQLAlchemyError):
                await asyncio.to_thread(self._workers.release, task)
        except LLMRouterError as error:
            # Such as: the judge cannot be asked, or the job was deleted meanwhile.
            logger.warning("the job %s failed: %s", task.job, error)
            await asyncio.to_thread(self._fail, task, error)
        except Exception as error:
            logger.exception("the task %d of the job %s failed", task.number, task.job)
            await asyncio.to_thread(self._fail, task, error)

    async def _make_calls(self, job: Job, task: Task, slots: Slots) -> bool:
        """Make the calls of a task; returns whether all of them were made."""
        version = await asyncio.to_thread(
            judge_versions(self._database).get, job.org, job.judge, job.judge_version
        )
        # It was checked when the job was made, by whoever knows who may run code.
        # In a thread, for it imports other people's code.
        judge = await asyncio.to_thread(create_judge, version.spec, self._models.client, trusted=True)
        requests = await asyncio.to_thread(self._jobs.requests, job, task.first, task.last)
        known = await asyncio.to_thread(self._calls.of, job, task.first, task.last)
        async with Recorder(self._calls, job, self.id).open() as recorder:
            await Shard(self._models, judge, recorder, slots, requests, known).run(job.llms)
            return recorder.running

    def _fail(self, task: Task, error: Exception) -> None:
        told = str(error) if isinstance(error, LLMRouterError) else describe(error)
        with contextlib.suppress(ResourceNotFoundError):
            self._jobs.end(task.org, task.job, FAILURE, told)

    @contextlib.contextmanager
    def _beating(self) -> Iterator[None]:
        """Show that this worker lives, from a thread of its own, for training may keep others busy."""
        ended = threading.Event()

        def beat() -> None:
            cleaned = 0.0
            while True:
                try:
                    if not self._workers.beat(self.id):
                        self._lost.set()
                    if time.monotonic() - cleaned > CLEANING or not cleaned:
                        self._jobs.delete_old_texts()
                        cleaned = time.monotonic()
                except SQLAlchemyError as error:
                    logger.warning("the database failed: %s", describe(error))
                if ended.wait(self._silence / 6):
                    return

        thread = threading.Thread(target=beat, name="llmrouter-heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


async def _cancel(under_way: set[asyncio.Task[None]]) -> None:
    for task in under_way:
        task.cancel()
    await asyncio.gather(*under_way, return_exceptions=True)
    under_way.clear()
