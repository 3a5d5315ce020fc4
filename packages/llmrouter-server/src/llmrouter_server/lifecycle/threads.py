"""Threads in which the lifecycle works, so that the event loop never waits for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Literal, TypeVar

from llmrouter_server.shares import Shares

T = TypeVar("T")

Kind = Literal["choosing", "operations", "slow", "large"]
Owners = tuple[str, ...]

# What an LLM is asked for may take minutes, and must keep nobody else waiting; what is large is done one by
# one, for it takes much memory.
_THREADS: dict[Kind, int] = {"choosing": 4, "operations": 8, "slow": 32, "large": 1}


class Threads:
    """The threads of one process, of each kind so many, shared between keys and organisations."""

    def __init__(self) -> None:
        self._pools = {kind: _Pool(count, f"lifecycle-{kind}") for kind, count in _THREADS.items()}

    async def run(self, kind: Kind, function: Callable[..., T], *arguments: Any, owners: Owners = ()) -> T:
        """Run a function, and wait for it.

        Args:
            kind: Of thread.
            function: What runs.
            arguments: For the function.
            owners: For whom, as `Shares.may_take` has it.
        """
        return await self._pools[kind].run(owners, partial(function, *arguments))

    def begin(self, kind: Kind, function: Callable[..., object], *arguments: Any) -> None:
        """Run a function, and wait for nothing."""
        self._pools[kind].executor.submit(function, *arguments)

    def close(self) -> None:
        """Let what runs end, and begin nothing more."""
        for pool in self._pools.values():
            pool.executor.shutdown(wait=False, cancel_futures=True)


class _Pool:
    """Threads of one kind; what has to wait waits in the order in which it came, owner by owner."""

    def __init__(self, count: int, name: str) -> None:
        self.executor = ThreadPoolExecutor(count, name)
        self._count = count
        self._shares = Shares()
        self._waiting: dict[Owners, deque[asyncio.Future[None]]] = {}

    async def run(self, owners: Owners, call: Callable[[], T]) -> T:
        """Run a function as soon as one of its owners' threads is free."""
        loop = asyncio.get_running_loop()
        if owners in self._waiting or not self._shares.may_take(self._count, owners):
            await self._turn(owners, loop.create_future())
        else:
            self._shares.take(owners)
        try:
            running = self.executor.submit(call)
        except BaseException:
            self._give_back(owners)
            raise

        def ended(future: Future[T]) -> None:
            # Only now is the thread free, even where nobody waits for it any more.
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._give_back, owners)

        running.add_done_callback(ended)
        return await asyncio.wrap_future(running)

    async def _turn(self, owners: Owners, turn: asyncio.Future[None]) -> None:
        self._waiting.setdefault(owners, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give_back(owners)
            raise

    def _give_back(self, owners: Owners) -> None:
        self._shares.give_back(owners)
        # An owner whose turn it was is the last in the next round.
        for waiting in list(self._waiting):
            turns = self._waiting.pop(waiting)
            while turns and turns[0].done():
                turns.popleft()
            if turns and self._shares.may_take(self._count, waiting):
                self._shares.take(waiting)
                turns.popleft().set_result(None)
            if turns:
                self._waiting[waiting] = turns
