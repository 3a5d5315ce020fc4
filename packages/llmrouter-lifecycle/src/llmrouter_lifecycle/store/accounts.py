"""Credits: what was spent, and what calls in flight are expected to cost."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, or_, select

from llmrouter_lifecycle.errors import BudgetExceededError
from llmrouter_lifecycle.store.database import Database
from llmrouter_lifecycle.store.schema import accounts, reservations

# Seconds after which a call that was never settled is taken to have ended with its process.
FORGOTTEN = 900.0


@dataclass(frozen=True)
class Account:
    """Whose credits pay.

    Attributes:
        org: The organisation.
        name: Of the key.
        budget_usd: What may be spent in all, in USD; None: no limit.
    """

    org: str
    name: str
    budget_usd: float | None = None


def spent(connection: Connection, account: Account) -> float:
    """Return what an account spent, in USD."""
    query = select(accounts.c.spent).where(accounts.c.org == account.org, accounts.c.account == account.name)
    return float(connection.scalar(query) or 0.0)


def reserved(connection: Connection, account: Account) -> float:
    """Return what an account's calls in flight are expected to cost, in USD."""
    query = select(func.sum(reservations.c.usd)).where(
        reservations.c.org == account.org,
        reservations.c.account == account.name,
        # Those of jobs go with their worker.
        or_(reservations.c.job.is_not(None), reservations.c.created > time.time() - FORGOTTEN),
    )
    return float(connection.scalar(query) or 0.0)


def pay(database: Database, connection: Connection, account: Account, usd: float) -> None:
    """Add to what an account spent, as part of a transaction."""
    row = {"org": account.org, "account": account.name, "spent": usd}
    database.insert_or_add(connection, accounts, row, "spent")


def reserve(database: Database, account: Account, usd: float | None, owner: str) -> str | None:
    """Set credits aside for a call; returns the reservation, or None where no limit is set.

    Args:
        database: Where the credits are kept.
        account: Whose credits pay.
        usd: Expected cost; None where the price is unknown, for which credits cannot be set aside.
        owner: The process that calls.

    Raises:
        BudgetExceededError: There are not enough.
    """
    if account.budget_usd is None:
        return None
    with database.write() as connection:
        database.lock(connection, accounts.name, account.org, account.name)
        left = account.budget_usd - spent(connection, account) - reserved(connection, account)
        if left <= 0 or (usd or 0.0) > left:
            raise BudgetExceededError(
                f"the key {account.name!r} has {max(left, 0):.6g} USD of {account.budget_usd:g} left, this "
                f"call is expected to cost {'an unknown amount' if usd is None else f'{usd:.6g} USD'}"
            )
        id = uuid.uuid4().hex
        connection.execute(
            insert(reservations).values(
                id=id,
                org=account.org,
                account=account.name,
                owner=owner,
                usd=usd or 0.0,
                created=time.time(),
            )
        )
    return id


def settle(database: Database, account: Account, reservation: str | None, usd: float | None) -> None:
    """Pay for a call that ended, and release what was set aside for it; an unknown cost is not paid."""
    if reservation is None:
        if usd:
            with database.write_once() as connection:
                pay(database, connection, account, usd)
        return
    with database.write() as connection:
        connection.execute(delete(reservations).where(reservations.c.id == reservation))
        if usd:
            pay(database, connection, account, usd)
