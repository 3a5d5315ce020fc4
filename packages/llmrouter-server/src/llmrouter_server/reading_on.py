"""Answers that are read on though their client has left: what they use is paid for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

logger = logging.getLogger(__name__)


class ReadingOn:
    """The answers that one worker reads on."""

    def __init__(self) -> None:
        self._reading: set[asyncio.Task[Any]] = set()

    def begin(self, work: asyncio.Task[Any], seconds: float, ended: Callable[[], None]) -> None:
        """Let work on an answer go on for some time.

        Args:
            work: Reads the answer.
            seconds: After which it is cancelled.
            ended: Called when it has ended, whatever ended it.
        """
        timer = asyncio.get_running_loop().call_later(seconds, work.cancel)
        self._reading.add(work)

        def done(work: asyncio.Task[Any]) -> None:
            timer.cancel()
            self._reading.discard(work)
            if not work.cancelled() and (error := work.exception()) is not None:
                logger.info("An answer whose client has left failed: %s", error)
            ended()

        work.add_done_callback(done)

    async def close(self) -> None:
        """End them all."""
        while reading := [*self._reading]:
            for work in reading:
                work.cancel()
            await asyncio.gather(*reading, return_exceptions=True)
            # What they do at their end, which may be to read on, comes in the event loop's next round.
            await asyncio.sleep(0)
