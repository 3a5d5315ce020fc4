"""Threads in which the lifecycle works, so that the event loop never waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Literal, TypeVar

T = TypeVar("T")

Kind = Literal["choosing", "operations", "slow", "large"]

# What an LLM is asked for may take minutes, and must keep nobody else waiting; what is large is done one by
# one, for it takes much memory.
_THREADS: dict[Kind, int] = {"choosing": 4, "operations": 8, "slow": 32, "large": 1}


class Threads:
    """The threads of one process, of each kind so many."""

    def __init__(self) -> None:
        self._pools = {
            kind: ThreadPoolExecutor(count, f"lifecycle-{kind}") for kind, count in _THREADS.items()
        }

    async def run(self, kind: Kind, function: Callable[..., T], *arguments: Any) -> T:
        """Run a function, and wait for it."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pools[kind], partial(function, *arguments))

    def begin(self, kind: Kind, function: Callable[..., object], *arguments: Any) -> None:
        """Run a function, and wait for nothing."""
        self._pools[kind].submit(function, *arguments)

    def close(self) -> None:
        """Let what runs end, and begin nothing more."""
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)
