"""Threads that do not keep a process from ending, whatever they wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class DaemonPool:
    """Runs functions in threads; unlike those of a ThreadPoolExecutor, nobody waits for them at exit.

    To be used from one thread.

    Args:
        count: Threads at most; each is started when there is work for it.
        name: Of the threads.
    """

    def __init__(self, count: int, name: str) -> None:
        self._count = count
        self._name = name
        self._threads: list[threading.Thread] = []
        self._waiting: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()

    def submit(self, function: Callable[..., T], *arguments: Any) -> Future[T]:
        """Have a function called by one of the threads."""
        future: Future[T] = Future()
        self._waiting.put((future, lambda: function(*arguments)))
        if len(self._threads) < self._count:
            thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._threads.append(thread)
            thread.start()
        return future

    def close(self) -> None:
        """Cancel what has not begun, and let each thread end with what it does now."""
        try:
            while work := self._waiting.get_nowait():
                work[0].cancel()
        except Empty:
            pass
        for _ in self._threads:
            self._waiting.put(None)

    def _work(self) -> None:
        while work := self._waiting.get():
            future, call = work
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(call())
            except BaseException as error:  # whoever waits for the result is told
                future.set_exception(error)
