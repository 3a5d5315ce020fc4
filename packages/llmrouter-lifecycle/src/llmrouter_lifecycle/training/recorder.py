"""Commits calls that ended, and asks for credits for those that begin, many in one transaction."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from llmrouter.completion.bounds import Wanted
from llmrouter_lifecycle.store.calls import Call, CallKey, Calls
from llmrouter_lifecycle.store.jobs import Job
from llmrouter_lifecycle.store.leases import Task
from llmrouter_lifecycle.training.persistence import Persistence

# Seconds until credits are asked for again that calls in flight may leave over.
PAUSE = 0.05


class _Wanted(NamedTuple):
    key: CallKey
    most: Wanted
    seconds: float
    granted: asyncio.Future[float | None]


_Ended = tuple[Call, "asyncio.Future[None]"]


class Recorder:
    """Records the calls of one task; while the database is away, they wait in memory.

    Args:
        calls: Where they are recorded.
        job: The job.
        task: The task.
        persist: Runs what writes until the database answers.

    Attributes:
        limited: Whether a budget limits what calls may cost.
        running: Whether the job still runs.
        stopped: LLMs that are not called any more, each with its reason.
    """

    def __init__(self, calls: Calls, job: Job, task: Task, persist: Persistence) -> None:
        self._calls = calls
        self._job = job
        self._task = task
        self._persist = persist
        self._begun = False
        self.limited = job.limited
        self.running = True
        self.stopped: dict[str, str] = dict(job.stopped)
        self._ended: list[_Ended] = []
        self._wanted: list[_Wanted] = []
        self._unused: list[CallKey] = []
        self._something = asyncio.Event()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Recorder]:
        """Commit in the background until the end of the block, which an error other than an outage ends."""
        task = asyncio.create_task(self._run())
        try:
            yield self
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def may_begin(self, key: CallKey) -> bool:
        """Whether a call is still to be made; answers of an LLM that was stopped meanwhile still count."""
        return self.running and (key.kind == "judge" or key.llm not in self.stopped)

    async def begin(self, key: CallKey, most: Wanted, seconds: float) -> float | None:
        """Wait until there are credits for a call; returns how many, or None where it may not be made.

        Args:
            key: The call.
            most: What it may cost.
            seconds: How long it may take.
        """
        while self.may_begin(key):
            # The first call of a task is declared, for who finds it left by a dead worker.
            if not self.limited and self._begun:
                return most.usd
            granted: asyncio.Future[float | None] = asyncio.get_running_loop().create_future()
            self._wanted.append(_Wanted(key, most, seconds, granted))
            self._something.set()
            usd = await granted
            if usd is None:
                await asyncio.sleep(PAUSE)
            elif self.may_begin(key):
                return usd
            else:
                self._unused.append(key)
                self._something.set()
        return None

    async def end(self, call: Call, stop: bool = False) -> None:
        """Record a call that ended; returns when that is committed.

        Args:
            call: The call.
            stop: Whether its LLM is not to be called any more.
        """
        if stop:
            self.stopped.setdefault(call.key.llm, call.error or "")
        committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ended.append((call, committed))
        self._something.set()
        await committed

    async def _run(self) -> None:
        while True:
            await self._something.wait()
            self._something.clear()
            ended, self._ended = self._ended, []
            wanted, self._wanted = self._wanted, []
            unused, self._unused = self._unused, []
            await self._commit(ended, wanted, unused)

    async def _commit(self, ended: list[_Ended], wanted: list[_Wanted], unused: list[CallKey]) -> None:
        try:
            state = await self._persist(
                self._calls.record,
                self._job,
                [call for call, _ in ended],
                dict(self.stopped),
                [(call.key, call.most) for call in wanted],
                self._task,
                max((call.seconds for call in wanted), default=0.0),
                unused,
            )
        except Exception as error:  # the database's or ours: whoever waits is told
            futures: list[asyncio.Future[Any]] = [future for _, future in ended]
            futures += [call.granted for call in wanted]
            for future in futures:
                if not future.done():
                    future.set_exception(error)
            return
        self.running = self.running and state.running
        self.stopped.update(state.stopped)
        self._begun = self._begun or bool(wanted)
        for _, committed in ended:
            if not committed.done():
                committed.set_result(None)
        for call in wanted:
            if not call.granted.done():
                call.granted.set_result(state.granted.get(call.key))
