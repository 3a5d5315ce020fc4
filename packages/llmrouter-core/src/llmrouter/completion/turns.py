"""Whose turn it is to call a service that bounds its calls."""

from __future__ import annotations

import asyncio

from llmrouter.completion.services import Service


class Turns:
    """Keeps the ``concurrency`` and the ``requests_per_minute`` of one service, on one event loop.

    Calls begin in the order in which they came, and evenly over a minute: as many at once as a minute allows
    would be twice as many in the first. Used as a context, it holds a turn for the block.

    Args:
        concurrency: Calls at once at most; None: any number.
        per_minute: Calls a minute at most; None: any number.
    """

    def __init__(self, concurrency: int | None = None, per_minute: float | None = None) -> None:
        self._places = asyncio.Semaphore(concurrency) if concurrency else None
        self._interval = 60 / per_minute if per_minute else 0.0
        self._next = 0.0

    @classmethod
    def of(cls, service: Service | None) -> Turns:
        """Return the turns of a service; None has no bounds."""
        return cls(service.concurrency, service.requests_per_minute) if service is not None else cls()

    @property
    def pause(self) -> float:
        """Seconds until the calls a minute allow another one."""
        return max(0.0, self._next - asyncio.get_running_loop().time()) if self._interval else 0.0

    async def take(self) -> None:
        """Wait for a turn, which `give_back` ends; one that is not waited for to the end is not taken."""
        if self._places is not None:
            await self._places.acquire()
        if not self._interval:
            return
        now = asyncio.get_running_loop().time()
        mine = max(now, self._next)
        self._next = mine + self._interval
        try:
            if mine > now:
                await asyncio.sleep(mine - now)
        except BaseException:  # that it is cancelled, or the loop ends: the turn is another's now
            if self._next == mine + self._interval:
                # Nobody waits behind it.
                self._next = mine
            self.give_back()
            raise

    def give_back(self) -> None:
        """Note that a call has ended."""
        if self._places is not None:
            self._places.release()

    async def __aenter__(self) -> None:
        await self.take()

    async def __aexit__(self, *_: object) -> None:
        self.give_back()
