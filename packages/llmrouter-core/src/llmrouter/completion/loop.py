"""An event loop in a thread of its own, for asynchronous work that synchronous code waits for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from queue import SimpleQueue
from typing import Any, TypeVar, cast

T = TypeVar("T")

_END = object()


class BackgroundLoop:
    """Runs coroutines in a daemon thread; safe from several threads."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._lock = threading.Lock()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="llmrouter-completion", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._loop.run_forever()
        self._loop.close()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine; cancelling the future cancels it.

        Raises:
            CancelledError: The loop was closed.
        """
        # What is started after the others were cancelled would be waited for in vain.
        with self._lock:
            if not self._ended:
                return asyncio.run_coroutine_threadsafe(work, self._loop)
        work.close()
        raise CancelledError

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end; where the wait is interrupted, as by Ctrl-C, it is cancelled."""
        future = self.submit(work)
        try:
            return future.result()
        except BaseException:  # Ctrl-C above all; what work itself raised finds it ended already
            future.cancel()
            raise

    def iterate(self, items: AsyncIterator[T]) -> Iterator[T]:
        """Yield what an asynchronous iterator yields; where that is given up, it is cancelled."""
        received: SimpleQueue[T | object] = SimpleQueue()

        async def receive() -> None:
            try:
                async for item in items:
                    received.put(item)
            finally:
                received.put(_END)

        future = self.submit(receive())
        try:
            while (item := received.get()) is not _END:
                yield cast(T, item)
            future.result()
        finally:
            future.cancel()

    def close(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Cancel what still runs, then run `last`, and end the thread."""
        with self._lock:
            if self._ended:
                return
            self._ended = True
            future = asyncio.run_coroutine_threadsafe(_end(last), self._loop)
        # Not before its result is handed over.
        future.add_done_callback(lambda _: self._loop.call_soon_threadsafe(self._loop.stop))
        if threading.current_thread() is not self._thread:  # as where the last reference was its own
            self._thread.join()
            future.result()


async def _end(last: Callable[[], Coroutine[Any, Any, None]]) -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await last()
    await asyncio.get_running_loop().shutdown_asyncgens()
