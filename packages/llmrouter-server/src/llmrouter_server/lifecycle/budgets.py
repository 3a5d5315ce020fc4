"""What keys spend, kept in the lifecycle's database: one budget for chat, judges and training jobs."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import Future, ThreadPoolExecutor

from llmrouter_lifecycle.errors import BudgetExceededError
from llmrouter_lifecycle.store import accounts
from llmrouter_lifecycle.store.accounts import Account
from llmrouter_lifecycle.store.database import Database
from llmrouter_server.errors import GatewayError
from llmrouter_server.key_file import Key

logger = logging.getLogger(__name__)

_OWNER = "gateway"


class LifecycleReservation:
    """What is set aside for one call of an upstream."""

    def __init__(self, budgets: LifecycleBudgets, account: Account, id: str | None) -> None:
        self._budgets = budgets
        self._account = account
        self._id = id
        self._settling: Future[None] | None = None

    def settle(self, usd: float) -> None:
        """Charge what it cost in place of what was set aside; only the first time counts."""
        if self._settling is None:
            self._settling = self._budgets.settle(self._account, self._id, usd)

    async def settled(self) -> None:
        """Wait until what was charged is written, so that whoever got the answer sees it in the credits."""
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

    async def reserve(self, key: Key, usd: float) -> LifecycleReservation:
        """Set aside what a request is estimated to cost while it is in flight.

        Raises:
            GatewayError: 402, less than that is left of the key's budget.
        """
        account = Account(key.org, key.name, key.budget_usd)
        reserving = self._thread.submit(accounts.reserve, self._database, account, usd, _OWNER)
        try:
            id = await asyncio.wrap_future(reserving)
        except BudgetExceededError as error:
            raise GatewayError(error.status, f"{error}.", type=error.type, code=error.code) from None
        except asyncio.CancelledError:
            # Nobody waits any more; in the same thread, so after it was set aside.
            if not reserving.cancel():
                self._thread.submit(self._give_back, account, reserving)
            raise
        return LifecycleReservation(self, account, id)

    def settle(self, account: Account, id: str | None, usd: float) -> Future[None]:
        """Charge what a call cost in place of what was set aside for it."""
        return self._thread.submit(self._settle, account, id, usd)

    def close(self) -> None:
        """Write what is left, and end."""
        self._thread.shutdown()

    def _settle(self, account: Account, id: str | None, usd: float) -> None:
        try:
            accounts.settle(self._database, account, id, usd)
        except Exception:  # whatever the database says, nobody waits who could be told
            logger.exception("What the key %r spent, %.6f USD, cannot be written", account.name, usd)

    def _give_back(self, account: Account, reserving: Future[str | None]) -> None:
        if reserving.exception() is None:
            self._settle(account, reserving.result(), 0.0)
