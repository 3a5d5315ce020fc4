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
from collections.abc import Coroutine, Iterator
from functools import partial
from typing import Any, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from llmrouter.errors import LLMRouterError, describe
from llmrouter.plugin_system.isolation import plugin_code
from llmrouter.threads import DaemonPool
from llmrouter_lifecycle.errors import StoreError
from llmrouter_lifecycle.judges.create import create_judge
from llmrouter_lifecycle.models import Models
from llmrouter_lifecycle.store.calls import Calls
from llmrouter_lifecycle.store.database import Database
from llmrouter_lifecycle.store.jobs import PROGRAM, Job, Jobs
from llmrouter_lifecycle.store.leases import SUSPECT, LeaseLostError, Task
from llmrouter_lifecycle.store.outages import reason_of
from llmrouter_lifecycle.store.versions import judge_versions
from llmrouter_lifecycle.store.workers import HEARTBEAT_TIMEOUT, Workers
from llmrouter_lifecycle.training.in_hand import InHand, Limits
from llmrouter_lifecycle.training.persistence import Backoff, Persistence
from llmrouter_lifecycle.training.publish import Fit, Ground, fit, ground_of, publish
from llmrouter_lifecycle.training.recorder import Recorder
from llmrouter_lifecycle.training.shard import Shard, Slots

T = TypeVar("T")

logger = logging.getLogger(__name__)

CONCURRENCY = 16
# Two, so that the last calls of one task do not leave slots empty.
TASKS = 2
# Seconds between looks for a task.
POLL = 0.2
# Seconds between looks for texts to delete.
CLEANING = 3600.0
# Seconds that a worker that was told to stop goes on trying to release its tasks; then their leases expire.
FAREWELL = 5.0
BACKOFF = Backoff()


class Runner:
    """A worker.

    Args:
        database: Where the jobs are.
        models: The LLMs.
        concurrency: Calls at once.
        heartbeat_timeout: Seconds after which a silent worker is taken to be dead, and its leases expire.
        alone: No other worker runs on this database, which is known from a lock.
        idle: Seconds without a task after which it ends; None: never.
        backoff: How long to wait before asking a database again that was away.

    Raises:
        ConfigError: The configuration's ``lifecycle`` section sets a limit that is none.
    """

    def __init__(
        self,
        database: Database,
        models: Models,
        *,
        concurrency: int = CONCURRENCY,
        heartbeat_timeout: float = HEARTBEAT_TIMEOUT,
        alone: bool = False,
        idle: float | None = None,
        backoff: Backoff = BACKOFF,
    ) -> None:
        self._database = database
        self._models = models
        self._concurrency = concurrency
        self._heartbeat_timeout = heartbeat_timeout
        self._alone = alone
        self._idle = idle
        self._backoff = backoff
        self._limits = Limits(models, concurrency)
        self._jobs = Jobs(database)
        self._calls = Calls(database)
        self._workers = Workers(database, PROGRAM, heartbeat_timeout)
        self._leases = self._workers.leases
        self._stop = threading.Event()
        # By the thread that beats, unless this worker is leaving.
        self._presence = threading.Lock()
        self._present = False
        self._under_way: dict[asyncio.Task[None], InHand] = {}
        self._persist = Persistence(backoff, self._note_outage)
        # What expired before this worker saw the database work for a while may have expired in an outage.
        self._unsure_since = -float("inf") if alone else time.monotonic()
        self.id = f"{socket.gethostname()[:64]}:{os.getpid()}:{secrets.token_hex(4)}"

    def stop(self) -> None:
        """Let it end; calls in flight are given up."""
        self._stop.set()

    def run(self) -> None:
        """Do tasks until told to stop, or idle for long enough."""
        # Not asyncio.run, which waits for the threads of judges that hang.
        loop = asyncio.new_event_loop()
        try:
            with self._beating():
                loop.run_until_complete(self._run())
        finally:
            self._persist.close()
            loop.close()

    async def _run(self) -> None:
        slots = Slots(self._concurrency, self._models)
        try:
            await self._until_stopped(self._persist(self._jobs.refuse_unknown_programs))
            await self._until_stopped(self._persist(self._register, self._alone))
            busy = time.monotonic()
            while not self._stop.is_set():
                self._cancel_overdue()
                if (task := await self._claim()) is not None:
                    in_hand = InHand(task)
                    self._start(self._do(in_hand, slots), in_hand)
                    continue
                if self._under_way:
                    busy = time.monotonic()
                    ended, _ = await asyncio.wait(
                        self._under_way, timeout=POLL, return_when=asyncio.FIRST_COMPLETED
                    )
                    self._collect(ended)
                elif self._idle is not None and time.monotonic() - busy > self._idle:
                    # Whoever adds a job meanwhile must not take this worker to be there.
                    await self._until_stopped(self._persist(self._leave))
                    if not await self._until_stopped(self._persist(self._jobs.running)):
                        return
                    await self._until_stopped(self._persist(self._register))
                    busy = time.monotonic()
                    await asyncio.sleep(POLL)
                else:
                    await asyncio.sleep(POLL)
        finally:
            for under_way in self._under_way:
                under_way.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._persist(self._leave), FAREWELL)

    async def _until_stopped(self, operation: Coroutine[Any, Any, T]) -> T | None:
        """Wait for an operation, or until this worker is told to stop; then return None."""
        waiting = asyncio.ensure_future(operation)
        while not waiting.done() and not self._stop.is_set():
            await asyncio.wait([waiting], timeout=POLL)
        if not waiting.done():
            waiting.cancel()
            return None
        return await waiting

    def _start(self, coroutine: Coroutine[Any, Any, None], in_hand: InHand) -> None:
        self._under_way[asyncio.get_running_loop().create_task(coroutine)] = in_hand

    def _cancel_overdue(self) -> None:
        for under_way, in_hand in self._under_way.items():
            if in_hand.lost or in_hand.overdue:
                under_way.cancel()

    def _collect(self, ended: set[asyncio.Task[None]]) -> None:
        for under_way in ended:
            in_hand = self._under_way.pop(under_way)
            if not under_way.cancelled() and (error := under_way.exception()) is not None:
                # The task is still this worker's, which claims it again.
                logger.error("%s: %s", in_hand.task, describe(error), exc_info=error)
            elif under_way.cancelled() and not in_hand.lost:
                logger.warning("%s: a call, a judge or the training did not end in time", in_hand.task)
                reason = "a call, a judge or the training did not end within its time limit"
                self._start(self._fail(in_hand.task, reason), InHand(in_hand.task))

    async def _claim(self) -> Task | None:
        in_hand = tuple(known.task for known in self._under_way.values())
        if len(in_hand) >= TASKS or any(task.attempts >= SUSPECT for task in in_hand):
            return None
        sure = time.monotonic() - self._unsure_since > self._heartbeat_timeout / 2
        claim = partial(self._leases.claim, self.id, in_hand, takes_over=sure)
        try:
            return await self._persist.once(claim)
        except SQLAlchemyError as error:
            self._note_outage()
            logger.warning("the database failed, trying again: %s", reason_of(error))
            await asyncio.sleep(self._backoff.first)
            return None

    async def _do(self, in_hand: InHand, slots: Slots) -> None:
        task = in_hand.task
        try:
            job = await self._persist(self._jobs.get, task.org, task.job)
            if task.kind == "publish":
                ground = await self._persist(ground_of, self._database, self._models, job)
                fitted = await self._fit(in_hand, job, ground) if ground.candidates else None
                await self._persist(publish, self._database, task, job, ground, fitted)
            elif await self._make_calls(job, in_hand, slots):
                await self._persist(self._leases.finish, task)
            else:
                await self._persist(self._leases.release, task)
        except LeaseLostError as error:
            logger.warning("%s", error)
        except LLMRouterError as error:
            # Such as: the judge cannot be asked, or the job was deleted meanwhile.
            logger.warning("the job %s failed: %s", task.job, error)
            await self._fail(task, str(error), final=True)
        except Exception as error:  # a fault of ours, of the database or of a plugin; it may pass
            logger.exception("%s failed", task)
            told = reason_of(error) if isinstance(error, SQLAlchemyError) else describe(error)
            await self._fail(task, told)

    async def _make_calls(self, job: Job, in_hand: InHand, slots: Slots) -> bool:
        """Make the calls of a task; returns whether all of them were made."""
        task = in_hand.task
        version = await self._persist(
            judge_versions(self._database).get, job.org, job.judge, job.judge_version
        )
        # It was checked when the job was made, by whoever knows who may run code.
        # In a thread, for it imports other people's code.
        judge = await asyncio.to_thread(create_judge, version.spec, self._models.client, trusted=True)
        requests = await self._persist(self._jobs.requests, job, task.first, task.last)
        known = await self._persist(self._calls.of, job, task.first, task.last)
        async with Recorder(self._calls, job, task, self._persist).open() as recorder:
            shard = Shard(self._models, judge, recorder, slots, in_hand, self._limits, requests, known)
            await shard.run(job.llms)
            return recorder.running

    async def _fit(self, in_hand: InHand, job: Job, ground: Ground) -> Fit:
        await self._persist(self._leases.begin, in_hand.task, self._limits.fit)
        pool = DaemonPool(1, "llmrouter-training")

        def train() -> Fit:
            with plugin_code("the training"):
                return fit(ground.outcome.rows, ground.candidates, job.options["seed"])

        try:
            with in_hand.step(self._limits.fit):
                return await asyncio.wrap_future(pool.submit(train))
        finally:
            pool.close()

    async def _fail(self, task: Task, error: str, *, final: bool = False) -> None:
        if not final:
            await asyncio.sleep(self._backoff.pause(task.attempts))
        with contextlib.suppress(LeaseLostError):
            await self._persist(partial(self._leases.fail, task, error, final=final))

    def _register(self, alone: bool = False) -> None:
        with self._presence:
            self._workers.register(self.id, alone)
            self._present = True

    def _leave(self) -> None:
        with self._presence:
            self._present = False
            self._workers.remove(self.id)

    def _beat(self) -> None:
        """Renew the heartbeat, and the leases of what keeps within its deadlines."""
        in_time = [known for known in list(self._under_way.values()) if not known.overdue]
        with self._presence:
            if not self._present:
                return
            lost = set(self._workers.beat(self.id, [known.task for known in in_time]))
        for known in in_time:
            known.lost = known.lost or known.task in lost

    def _note_outage(self) -> None:
        self._unsure_since = time.monotonic()

    @contextlib.contextmanager
    def _beating(self) -> Iterator[None]:
        """Beat in a thread of its own, for training may keep others busy."""
        ended = threading.Event()

        def beat() -> None:
            cleaned = -CLEANING
            while True:
                pause = self._heartbeat_timeout / 6
                try:
                    self._beat()
                    if time.monotonic() - cleaned >= CLEANING:
                        self._jobs.delete_old_texts()
                        cleaned = time.monotonic()
                except (SQLAlchemyError, StoreError) as error:
                    self._note_outage()
                    logger.warning("the database failed, no heartbeat: %s", reason_of(error))
                    # Soon, so that leases are renewed before others take the tasks over.
                    pause = min(pause, 1.0)
                if ended.wait(pause):
                    return

        thread = threading.Thread(target=beat, name="llmrouter-heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
