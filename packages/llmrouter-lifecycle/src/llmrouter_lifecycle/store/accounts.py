"""Credits: what was spent, and what calls in flight are expected to cost."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select

from llmrouter_lifecycle.errors import BudgetExceededError
from llmrouter_lifecycle.store.database import Database
from llmrouter_lifecycle.store.schema import accounts, reservations

# Made once, for to make them takes as long as the database takes for them.
_SPENT = select(accounts.c.spent).where(
    accounts.c.org == bindparam("org"), accounts.c.account == bindparam("account")
)
_HELD = select(func.sum(reservations.c.usd)).where(
    reservations.c.org == bindparam("org"),
    reservations.c.account == bindparam("account"),
    # Those of jobs go with their worker.
    reservations.c.job.is_not(None) | (reservations.c.created > bindparam("since")),
)
_STANDING = select(_SPENT.scalar_subquery(), _HELD.scalar_subquery())
_RESERVE = insert(reservations)
_RELEASE = delete(reservations).where(reservations.c.id == bindparam("reservation"))

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
    return float(connection.scalar(_SPENT, _who(account)) or 0.0)


def standing(connection: Connection, account: Account) -> tuple[float, float]:
    """Return what an account spent, and what its calls in flight are expected to cost, in USD."""
    paid, held = connection.execute(_STANDING, {**_who(account), "since": time.time() - FORGOTTEN}).one()
    return float(paid or 0.0), float(held or 0.0)


def pay(database: Database, connection: Connection, account: Account, usd: float) -> None:
    """Add to what an account spent, as part of a transaction."""
    database.insert_or_add(connection, accounts, _row(account, usd), "spent")


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
        left = account.budget_usd - sum(standing(connection, account))
        if left <= 0 or (usd or 0.0) > left:
            raise BudgetExceededError(
                f"the key {account.name!r} has {max(left, 0):.6g} USD of {account.budget_usd:g} left, this "
                f"call is expected to cost {'an unknown amount' if usd is None else f'{usd:.6g} USD'}"
            )
        id = uuid.uuid4().hex
        row = {**_who(account), "id": id, "owner": owner, "usd": usd or 0.0, "created": time.time()}
        connection.execute(_RESERVE, row)
    return id


def settle(database: Database, account: Account, reservation: str | None, usd: float | None) -> None:
    """Pay for a call that ended, and release what was set aside for it; an unknown cost is not paid."""
    if reservation is None and not usd:
        return
    with database.write_once() as connection:
        if not usd:
            connection.execute(_RELEASE, {"reservation": reservation})
        elif reservation is None:
            pay(database, connection, account, usd)
        else:
            row = {**_row(account, usd), "reservation": reservation}
            database.insert_or_add(connection, accounts, row, "spent", _RELEASE)


def _who(account: Account) -> dict[str, str]:
    return {"org": account.org, "account": account.name}


def _row(account: Account, usd: float) -> dict[str, Any]:
    return {**_who(account), "spent": usd}
