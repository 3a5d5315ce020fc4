"""What keys spend, kept in the lifecycle's database: one budget for chat, judges and training jobs."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from llmrouter.completion.bounds import Wanted
from llmrouter.errors import LLMRouterError
from llmrouter_lifecycle.errors import BudgetExceededError
from llmrouter_lifecycle.store import accounts
from llmrouter_lifecycle.store.accounts import Account
from llmrouter_lifecycle.store.accounts import Reservation as Held
from llmrouter_lifecycle.store.database import Database
from llmrouter_server.errors import GatewayError
from llmrouter_server.key_file import Key
from llmrouter_server.unavailable import unavailable

logger = logging.getLogger(__name__)
T = TypeVar("T")

# Seconds after which a call is tried to be charged again while the database is away.
_AGAIN_SECONDS = (0.2, 1, 3)


class LifecycleReservation:
    """What is set aside for one call of an upstream.

    Attributes:
        usd: How much.
    """

    def __init__(self, budgets: LifecycleBudgets, account: Account, held: Held) -> None:
        self.usd = held.usd
        self._budgets = budgets
        self._account = account
        self._held = held
        self._settling: Future[None] | None = None

    async def sent(self) -> None:
        """Note that the call is about to be sent; returns when that is written.

        Raises:
            GatewayError: 503, it cannot be written.
        """
        await self._budgets.written(accounts.send, self._held)

    def settle(self, usd: float | None) -> None:
        """Charge what it cost in place of what was set aside; only the first time counts."""
        if self._settling is None:
            self._settling = self._budgets.settle(self._account, self._held, usd)

    async def settled(self) -> None:
        """Wait until what was charged is written, so that the credits tell it to whoever got the answer."""
        if self._settling is not None:
            await asyncio.wrap_future(self._settling)


class LifecycleBudgets:
    """What keys spend, in the lifecycle's database.

    What a request may cost is set aside there before it is sent, so that several workers overrun no budget.

    Args:
        database: The lifecycle's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        # One, for a database of one file takes one writer at a time.
        self._thread = ThreadPoolExecutor(1, "budgets")
        self._closing = False
        accounts.settle_the_dead(database)

    async def reserve(self, key: Key, wanted: Wanted) -> LifecycleReservation:
        """Set aside what a request may cost until it is settled.

        Raises:
            GatewayError: 402, too little is left of the key's budget; 503, it cannot be written.
        """
        account = Account(key.org, key.name, key.budget_usd)
        reserving = self._thread.submit(accounts.reserve, self._database, account, wanted)
        try:
            held = await self._told(reserving)
        except BudgetExceededError as error:
            raise GatewayError(error.status, f"{error}.", type=error.type, code=error.code) from None
        except asyncio.CancelledError:
            # Nobody waits any more; in the same thread, so after it was set aside.
            if not reserving.cancel():
                self._thread.submit(self._give_back, account, reserving)
            raise
        if held is None:
            raise RuntimeError("a key without a budget needs none")
        return LifecycleReservation(self, account, held)

    def settle(self, account: Account, held: Held, usd: float | None) -> Future[None]:
        """Charge what a call cost in place of what was set aside for it."""
        return self._thread.submit(self._settle, account, held, usd)

    async def written(self, write: Callable[[Database, Held], T], held: Held) -> T:
        """Write something about a call, and return the result when it is written.

        Raises:
            GatewayError: 503, it cannot be written.
        """
        return await self._told(self._thread.submit(write, self._database, held))

    def close(self) -> None:
        """Write what is left, and end."""
        self._closing = True
        self._thread.shutdown()

    async def _told(self, work: Future[T]) -> T:
        try:
            return await asyncio.wrap_future(work)
        except LLMRouterError:
            raise
        except Exception as error:  # whatever the driver says of a database that is away
            logger.error("What keys spend cannot be written: %s", type(error).__name__)
            raise unavailable(error) or error from error

    def _settle(self, account: Account, held: Held, usd: float | None) -> None:
        for pause in (*_AGAIN_SECONDS, None):
            try:
                accounts.settle(self._database, account, held, usd)
                return
            except Exception:  # whatever the database says, nobody waits who could be told
                if pause is None or self._closing:
                    # It stays set aside, and is charged once this process has ended.
                    logger.exception("What the key %r spent cannot be written", account.name)
                    return
                time.sleep(pause)

    def _give_back(self, account: Account, reserving: Future[Held | None]) -> None:
        if reserving.exception() is None and (held := reserving.result()) is not None:
            self._settle(account, held, 0.0)
