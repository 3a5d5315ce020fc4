"""Credits: what was spent, and what calls under way may cost."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Float, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql

from llmrouter.completion.bounds import Wanted
from llmrouter_lifecycle.errors import BudgetExceededError
from llmrouter_lifecycle.store.database import Database
from llmrouter_lifecycle.store.schema import accounts, jobs, reservations

# Made once, for to make them takes as long as the database takes for them.
_SPENT = select(accounts.c.spent).where(
    accounts.c.org == bindparam("org"), accounts.c.account == bindparam("account")
)
_HELD = select(func.sum(reservations.c.usd)).where(
    reservations.c.org == bindparam("org"), reservations.c.account == bindparam("account")
)
_STANDING = select(_SPENT.scalar_subquery(), _HELD.scalar_subquery())
_RESERVE = insert(reservations)
_SENT = update(reservations).where(reservations.c.id == bindparam("reservation")).values(sent=1)
_RELEASE = delete(reservations).where(reservations.c.id == bindparam("reservation"))
# Those of jobs belong to the claim of a task.
_OWNED = reservations.c.job.is_(None)


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


@dataclass(frozen=True)
class Reservation:
    """What is set aside for one call.

    Attributes:
        id: Its own.
        usd: How much.
    """

    id: str
    usd: float


def spent(connection: Connection, account: Account) -> float:
    """Return what an account spent, in USD."""
    return float(connection.scalar(_SPENT, _who(account)) or 0.0)


def standing(connection: Connection, account: Account) -> tuple[float, float]:
    """Return what an account spent, and what its calls under way may cost, in USD."""
    paid, held = connection.execute(_STANDING, _who(account)).one()
    return float(paid or 0.0), float(held or 0.0)


def pay(database: Database, connection: Connection, account: Account, usd: float) -> None:
    """Add to what an account spent, as part of a transaction."""
    database.insert_or_add(connection, accounts, {**_who(account), "spent": usd}, "spent")


def reserve(
    database: Database, account: Account, wanted: Wanted | None, *, sent: bool = False
) -> Reservation | None:
    """Set credits aside for a call; returns what was, or None where no limit is set.

    Args:
        database: Where the credits are kept.
        account: Whose credits pay.
        wanted: What the call may cost; None where that is unknown: then it cannot be paid for.
        sent: Whether the call is sent at once; else `send` has to be called before.

    Raises:
        BudgetExceededError: There are not enough.
    """
    if account.budget_usd is None:
        return None
    owner = database.owner.id()
    while True:
        with database.write() as connection:
            database.lock(connection, accounts.name, account.org, account.name)
            left = account.budget_usd - sum(standing(connection, account))
            usd = None if wanted is None else wanted.granted(left)
            if usd is not None:
                id = uuid.uuid4().hex
                row = {**_who(account), "id": id, "owner": owner, "usd": usd, "sent": int(sent)}
                connection.execute(_RESERVE, {**row, "created": time.time()})
                return Reservation(id, usd)
        if not settle_the_dead(database):
            cost = "an unknown amount" if wanted is None else f"{wanted.least:.6g} USD"
            raise BudgetExceededError(
                f"the key {account.name!r} has {max(left, 0):.6g} USD of {account.budget_usd:g} left, and "
                f"this call may cost {cost}"
            )


def send(database: Database, reservation: Reservation) -> None:
    """Note that a call is about to be sent: if this process dies, it is charged for.

    Raises:
        RuntimeError: What was set aside for it was settled, as of a process that is dead.
    """
    with database.write_once() as connection:
        done = connection.execute(_SENT, {"reservation": reservation.id})
        if not done.rowcount:
            raise RuntimeError("what was set aside for a call is gone")


def settle(database: Database, account: Account, reservation: Reservation | None, usd: float | None) -> None:
    """Pay for a call that ended, in place of what was set aside for it.

    Where it cost more than that, as of an LLM that keeps to no limit, as much more is paid as there is left.
    A call that was settled before costs nothing more.

    Args:
        database: Where the credits are kept.
        account: Whose credits pay.
        reservation: What was set aside; None: nothing.
        usd: What the call cost; None: unknown, all that was set aside is paid.
    """
    if reservation is None:
        if usd:
            with database.write_once() as connection:
                pay(database, connection, account, usd)
        return
    if usd is None:
        usd = reservation.usd
    if usd > reservation.usd:
        with database.write() as connection:
            database.lock(connection, accounts.name, account.org, account.name)
            left = (account.budget_usd or 0.0) - sum(standing(connection, account))
            more = min(usd, reservation.usd + max(0.0, left))
            _replace(database, connection, account, reservation, more)
        return
    with database.write_once() as connection:
        _replace(database, connection, account, reservation, usd)


def settle_the_dead(database: Database) -> int:
    """Settle the calls of processes that ended without it; returns how many.

    Those that were sent are charged what was set aside for them, the others nothing.
    """
    with database.write() as connection:
        database.lock(connection, reservations.name)
        owners = connection.scalars(select(reservations.c.owner).where(_OWNED).distinct()).all()
        dead = [owner for owner in owners if not database.owner.lives(connection, owner)]
        if not dead:
            return 0
        theirs = _OWNED & reservations.c.owner.in_(dead)
        who = reservations.c.org, reservations.c.account
        charged = select(*who, func.sum(reservations.c.usd)).where(theirs, reservations.c.sent == 1)
        for org, name, usd in connection.execute(charged.group_by(*who).order_by(*who)).all():
            pay(database, connection, Account(org, name), usd)
        return connection.execute(delete(reservations).where(theirs)).rowcount


def charge(database: Database, connection: Connection, theirs: ColumnElement[bool]) -> None:
    """Pay what is set aside for calls of jobs whose end nobody records, as part of a transaction.

    Args:
        database: Where the credits are kept.
        connection: Of the transaction, which holds the lock of their jobs.
        theirs: Which reservations.
    """
    columns = reservations.c.org, reservations.c.account, reservations.c.job, reservations.c.usd
    gone = delete(reservations).where(reservations.c.job.is_not(None), theirs).returning(*columns)
    for org, name, job, usd in sorted(connection.execute(gone).all()):
        connection.execute(update(jobs).where(jobs.c.id == job).values(spent=jobs.c.spent + usd))
        pay(database, connection, Account(org, name), usd)


def _replace(
    database: Database, connection: Connection, account: Account, reservation: Reservation, usd: float
) -> None:
    """Pay what a call cost, if what was set aside for it is still there; in one statement if possible."""
    row = {"reservation": reservation.id, "usd": usd}
    if usd and database.path is None:
        connection.execute(_SETTLE, row)
    elif connection.execute(_RELEASE, row).rowcount and usd:
        pay(database, connection, account, usd)


def _settling() -> Any:
    released = _RELEASE.returning(reservations.c.org, reservations.c.account).cte("released")
    row = select(released.c.org, released.c.account, bindparam("usd", type_=Float))
    new = postgresql.insert(accounts).from_select(["org", "account", "spent"], row)
    return new.on_conflict_do_update(
        index_elements=list(accounts.primary_key), set_={"spent": accounts.c.spent + new.excluded.spent}
    )


_SETTLE = _settling()


def _who(account: Account) -> dict[str, str]:
    return {"org": account.org, "account": account.name}
