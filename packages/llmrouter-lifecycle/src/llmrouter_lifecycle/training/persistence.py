"""Database operations of a worker, repeated until the database answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError

from llmrouter.threads import DaemonPool
from llmrouter_lifecycle.store.outages import is_outage, reason_of

T = TypeVar("T")

logger = logging.getLogger(__name__)

# Operations at once: of the tasks in hand, and of the worker itself.
THREADS = 6


@dataclass(frozen=True)
class Backoff:
    """How long to wait before trying again: twice as long each time.

    Attributes:
        first: Seconds after the first failure.
        most: Seconds at most.
    """

    first: float = 0.2
    most: float = 3.0

    def pause(self, failures: int) -> float:
        """Return how many seconds to wait after so many failures."""
        return min(self.first * 2.0 ** min(failures, 30), self.most)


class Persistence:
    """Runs database operations in threads, again and again until the database answers.

    An operation may so be done twice, if only the answer to its commit was lost; operations on leases and
    calls notice that.

    Args:
        backoff: How long to wait in between.
        failed: Called whenever the database was away.
    """

    def __init__(self, backoff: Backoff, failed: Callable[[], None]) -> None:
        self._backoff = backoff
        self._failed = failed
        # Not those of asyncio, which judges that hang may use up, and which would be waited for at the end.
        self._pool = DaemonPool(THREADS, "llmrouter-database")

    async def once(self, operation: Callable[..., T], *arguments: object) -> T:
        """Run an operation."""
        return await asyncio.wrap_future(self._pool.submit(operation, *arguments))

    async def __call__(self, operation: Callable[..., T], *arguments: object) -> T:
        """Run an operation until the database answers.

        Raises:
            SQLAlchemyError: It cannot succeed, however often it is tried.
        """
        failures = 0
        while True:
            try:
                return await self.once(operation, *arguments)
            except SQLAlchemyError as error:
                if not is_outage(error):
                    raise
                self._failed()
                pause = self._backoff.pause(failures)
                failures += 1
                logger.warning("the database failed, trying again in %.1f s: %s", pause, reason_of(error))
                await asyncio.sleep(pause)

    def close(self) -> None:
        """Begin nothing more."""
        self._pool.close()
