"""What keys may spend: set aside before a call leaves, charged when it has ended."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from llmrouter.completion.bounds import Wanted
from llmrouter.errors import LLMRouterError
from llmrouter_server.errors import GatewayError, retry_after
from llmrouter_server.key_file import Key
from llmrouter_server.spending import Spending
from llmrouter_server.unavailable import CODE, RETRY_SECONDS

logger = logging.getLogger(__name__)

# Seconds until something that could not be written is tried again.
_AGAIN_SECONDS = 0.25
# Seconds that a worker that ends tries to write what is left.
_CLOSE_SECONDS = 10


def spending_path(keys_file: str | os.PathLike[str]) -> Path:
    """Return where spending is kept: beside the keys file."""
    return Path(f"{os.fspath(keys_file)}.spending.sqlite3")


def spent_by_key(keys_file: str | os.PathLike[str]) -> Mapping[str, float]:
    """Return what each key has spent in USD, by its digest; one that never spent is left out.

    Raises:
        LLMRouterError: The file of spending cannot be read.
    """
    path = spending_path(keys_file)
    if not path.exists():
        return {}
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=5)) as database:
            return dict(database.execute("SELECT key, usd FROM spent"))
    except sqlite3.Error as error:
        raise LLMRouterError(f"{path} cannot be read: {error}") from error


class Reservation(Protocol):
    """What is set aside for one call of an upstream.

    Attributes:
        usd: How much.
    """

    usd: float

    async def sent(self) -> None:
        """Note that the call is about to be sent; returns when that is written.

        Raises:
            GatewayError: 503, it cannot be written.
        """

    def settle(self, usd: float | None) -> None:
        """Charge what it cost in place of what was set aside; only the first time counts.

        Args:
            usd: What it cost; None: unknown, all that was set aside is charged.
        """

    async def settled(self) -> None:
        """Wait until what was charged is written, where that is worth waiting for."""


class Budgeting(Protocol):
    """Keeps what keys spend."""

    async def reserve(self, key: Key, wanted: Wanted) -> Reservation:
        """Set aside what a call may cost until it is settled.

        Raises:
            GatewayError: Too little is left of the key's budget; 503, it cannot be written.
        """

    def close(self) -> None:
        """Write what is left, and end."""


class FileReservation:
    """What is set aside for one call of an upstream, in the file."""

    def __init__(self, budgets: Budgets, number: int, key: Key, usd: float) -> None:
        self.usd = usd
        self._budgets = budgets
        self._number = number
        self._key = key
        self._open = True

    async def sent(self) -> None:
        """Note that the call is about to be sent; returns when that is written.

        Raises:
            GatewayError: 503, it cannot be written.
        """
        await self._budgets.written(lambda spending: spending.sent(self._number))

    def settle(self, usd: float | None) -> None:
        """Charge what it cost in place of what was set aside; only the first time counts."""
        if self._open:
            self._open = False
            self._budgets.settle(self._number, self._key, usd)

    async def settled(self) -> None:
        """Wait for nothing: until it is written, all that was set aside stays so."""


@dataclass(frozen=True)
class _Work:
    """Something to write.

    Attributes:
        write: Writes it.
        written: Whom to tell the result.
        must: Whether it is tried until it is written, for nobody else can.
    """

    write: Callable[[Spending], Any]
    written: Future[Any]
    must: bool = False


class Budgets:
    """What keys have spent and what their calls under way may cost, in a file that workers share exactly.

    A thread writes, all that waits in one transaction, so that the event loop waits for no disk.

    Args:
        keys_file: The keys file beside which spending is kept.

    Raises:
        LLMRouterError: The file of spending cannot be made or used.
    """

    def __init__(self, keys_file: str | os.PathLike[str]) -> None:
        self._path = spending_path(keys_file)
        try:
            self._spending = Spending(self._path)
        except (OSError, sqlite3.Error) as error:
            raise LLMRouterError(f"what keys spend cannot be kept in {self._path}: {error}") from error
        self._numbers = itertools.count()
        self._waiting: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="budgets", daemon=True)
        self._thread.start()

    def spent(self, key: Key) -> float:
        """Return what a key has spent in USD, all that was settled until now included."""
        spent: dict[str, float] = self._put(Spending.spent).result()
        return spent.get(key.sha256, 0.0)

    async def reserve(self, key: Key, wanted: Wanted) -> FileReservation:
        """Set aside what a call may cost until it is settled.

        Raises:
            GatewayError: 429, too little is left of the key's budget; 503, it cannot be written.
        """
        number, digest, budget = next(self._numbers), key.sha256, _budget(key)
        try:
            usd, left = await self.written(
                lambda spending: (
                    spending.reserve(number, digest, budget, wanted),
                    spending.left(digest, budget),
                )
            )
        except asyncio.CancelledError:
            # Nobody waits any more. It comes after what set it aside.
            self.settle(number, key, 0.0)
            raise
        if usd is None:
            raise GatewayError(
                429,
                f"The budget of the key {key.name!r} is used up: {budget:g} USD, of which "
                f"{max(0.0, left):.6f} are left, and this request may cost {wanted.least:.6f}.",
                type="insufficient_quota",
                code="insufficient_quota",
            )
        return FileReservation(self, number, key, usd)

    def settle(self, number: int, key: Key, usd: float | None) -> None:
        """Charge what a call cost in place of what was set aside for it."""
        digest, budget = key.sha256, _budget(key)
        self._put(lambda spending: spending.settle(number, digest, budget, usd), must=True)

    async def written(self, write: Callable[[Spending], Any]) -> Any:
        """Write something, and return the result when it is written.

        Raises:
            GatewayError: 503, it cannot be written.
        """
        try:
            return await asyncio.wrap_future(self._put(write))
        except sqlite3.Error:
            raise GatewayError(
                503,
                "What keys spend cannot be written at the moment; try again.",
                code=CODE,
                headers=retry_after(RETRY_SECONDS),
            ) from None

    def close(self) -> None:
        """Write what is left, and end."""
        self._waiting.put(None)
        self._thread.join(_CLOSE_SECONDS + 5)
        self._spending.close()

    def _put(self, write: Callable[[Spending], Any], must: bool = False) -> Future[Any]:
        work = _Work(write, Future(), must)
        self._waiting.put(work)
        return work.written

    def _run(self) -> None:
        again: list[_Work] = []
        ends: float | None = None
        while ends is None or (again and time.monotonic() < ends):
            batch = [*again]
            try:
                item = self._waiting.get(timeout=_AGAIN_SECONDS if again else None)
                while item is not None:
                    batch.append(item)
                    item = self._waiting.get_nowait()
                ends = time.monotonic() + _CLOSE_SECONDS
            except queue.Empty:
                pass
            again = self._write(batch)
        if again:
            logger.error("%d calls could not be charged in %s; that is made up for", len(again), self._path)

    def _write(self, batch: list[_Work]) -> list[_Work]:
        """Write a batch; returns what is to be tried again."""
        # What nobody waits for any more is left out.
        batch = [work for work in batch if work.must or work.written.set_running_or_notify_cancel()]
        try:
            with self._spending.transaction():
                results = [work.write(self._spending) for work in batch]
        except Exception as error:  # whatever it is, those who wait are told, and the thread goes on
            logger.error("What keys spend cannot be written to %s: %s", self._path, error)
            for work in batch:
                if not work.must:
                    work.written.set_exception(error)
            return [work for work in batch if work.must]
        for work, result in zip(batch, results, strict=True):
            work.written.set_result(result)
        return []


def _budget(key: Key) -> float:
    return float("inf") if key.budget_usd is None else key.budget_usd
