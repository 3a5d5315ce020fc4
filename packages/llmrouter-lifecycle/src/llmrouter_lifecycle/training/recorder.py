"""Commits calls that ended, and asks for credits for those that begin, many in one transaction."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from llmrouter_lifecycle.store.calls import Call, CallKey, Calls, State
from llmrouter_lifecycle.store.jobs import Job

# Seconds until credits are asked for again that calls in flight may leave over.
PAUSE = 0.05


class Recorder:
    """Records the calls that one worker makes for one job.

    Attributes:
        running: Whether the job still runs.
        stopped: LLMs that are not called any more, each with its reason.
    """

    def __init__(self, calls: Calls, job: Job, owner: str) -> None:
        self._calls = calls
        self._job = job
        self._owner = owner
        self._limited = job.options.get("budget_usd") is not None or job.payer.budget_usd is not None
        self.running = True
        self.stopped: dict[str, str] = dict(job.stopped)
        self._ended: list[tuple[Call, asyncio.Future[None]]] = []
        self._wanted: list[tuple[CallKey, float, asyncio.Future[bool]]] = []
        self._something = asyncio.Event()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Recorder]:
        """Commit in the background until the end of the block; a failure to commit ends the block."""
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

    async def begin(self, key: CallKey, usd: float | None) -> bool:
        """Wait until there are credits for a call; returns whether it may be made."""
        while self.may_begin(key):
            if not self._limited:
                return True
            # A price that is unknown is refused with a budget before the job begins.
            granted: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            self._wanted.append((key, usd or 0.0, granted))
            self._something.set()
            if await granted:
                return self.may_begin(key)
            await asyncio.sleep(PAUSE)
        return False

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
            # Not to be broken off: what is committed must be known to be.
            await asyncio.shield(self._commit(ended, wanted))

    async def _commit(
        self,
        ended: list[tuple[Call, asyncio.Future[None]]],
        wanted: list[tuple[CallKey, float, asyncio.Future[bool]]],
    ) -> None:
        try:
            state = await asyncio.to_thread(
                self._calls.record,
                self._job,
                [call for call, _ in ended],
                dict(self.stopped),
                [(key, usd) for key, usd, _ in wanted],
                self._owner,
            )
        except BaseException as error:
            futures: list[asyncio.Future[Any]] = [future for _, future in ended]
            futures += [future for *_, future in wanted]
            for future in futures:
                if not future.done():
                    future.set_exception(error)
            return
        self._take(state)
        for _, committed in ended:
            if not committed.done():
                committed.set_result(None)
        for key, _, granted in wanted:
            if not granted.done():
                granted.set_result(state.running and key not in state.refused)

    def _take(self, state: State) -> None:
        self.running = self.running and state.running
        self.stopped.update(state.stopped)
