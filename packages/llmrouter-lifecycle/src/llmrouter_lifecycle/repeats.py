"""Requests that may be repeated: one sent again with the same key gets the answer of the first time.

What a request writes and its answer are committed together (`once`). A request that calls an LLM cannot be
one transaction: it is claimed by a lease, which is renewed while it is in flight (`claim`).
"""

from __future__ import annotations

import hashlib
import json
import threading
import uuid
import weakref
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, delete, or_, select, update
from sqlalchemy.exc import SQLAlchemyError

from llmrouter_lifecycle.errors import ConflictError, InvalidParameterError
from llmrouter_lifecycle.home import Caller
from llmrouter_lifecycle.store.database import Database
from llmrouter_lifecycle.store.outages import is_outage
from llmrouter_lifecycle.store.schema import replies

# Seconds for which a request may be repeated without being done again.
REPEATABLE = 24 * 3600.0
# Seconds after which a request in flight whose process ended may be done again, and between renewals.
LEASE = 60.0
RENEWAL = 15.0
# Seconds between attempts to write what could not be written.
PAUSE = 0.5
LONGEST_KEY = 255


class Reply(NamedTuple):
    """What a request is answered with."""

    status: int
    body: Any


class Claim:
    """A request that is being done, for the first time under its key; its lease ends with this object.

    What cannot be written while the database is away is written as soon as it is there again.
    """

    def __init__(self, database: Database, mine: Any, owner: str) -> None:
        self._database = database
        self.owner = owner
        self._mine = and_(mine, replies.c.owner == owner)
        self._keeper = _keeper_of(database)
        self._keeper.add(self)

    def keep(self, reply: Reply) -> None:
        """Keep the answer for repeats of the request."""
        values = {"status": reply.status, "body": reply.body, "owner": None}
        self._write(update(replies).where(self._mine).values(**values))

    def release(self) -> None:
        """Let the request be done again, because it failed."""
        self._write(delete(replies).where(self._mine))

    def _write(self, statement: Any) -> None:
        def write() -> None:
            with self._database.write_once() as connection:
                connection.execute(statement)

        try:
            write()
        except SQLAlchemyError as error:
            if not is_outage(error):
                raise
            self._keeper.later(self, write)
        else:
            self._keeper.remove(self)


class _Keeper:
    """Renews the leases of requests in flight, and writes what could not be written, in one thread."""

    def __init__(self, database: Database) -> None:
        # Weak: it lives as long as its database.
        self._database = weakref.ref(database)
        self._changed = threading.Condition()
        self._open: weakref.WeakSet[Claim] = weakref.WeakSet()
        self._late: dict[Claim, Callable[[], None]] = {}
        self._thread: threading.Thread | None = None

    def add(self, claim: Claim) -> None:
        with self._changed:
            self._open.add(claim)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="llmrouter-replies", daemon=True)
                self._thread.start()

    def remove(self, claim: Claim) -> None:
        with self._changed:
            self._open.discard(claim)
            self._changed.notify()

    def later(self, claim: Claim, write: Callable[[], None]) -> None:
        with self._changed:
            self._late[claim] = write
            self._changed.notify()

    def _run(self) -> None:
        waited = 0.0
        while True:
            with self._changed:
                if not self._open:
                    self._thread = None
                    return
                pause = PAUSE if self._late else RENEWAL
                if not self._changed.wait(pause):
                    waited += pause
                late = list(self._late.items())
            for claim, write in late:
                self._try(claim, write)
            if waited >= RENEWAL:
                waited = 0.0
                self._renew()

    def _try(self, claim: Claim, write: Callable[[], None]) -> None:
        try:
            write()
        except SQLAlchemyError as error:
            if is_outage(error):
                return
        with self._changed:
            self._late.pop(claim, None)
            self._open.discard(claim)

    def _renew(self) -> None:
        database = self._database()
        owners = [claim.owner for claim in list(self._open)]
        if database is None or not owners:
            return
        try:
            with database.write() as connection:
                until = database.now(connection) + LEASE
                mine = replies.c.owner.in_(owners)
                connection.execute(update(replies).where(mine).values(lease_until=until))
        except SQLAlchemyError as error:
            if not is_outage(error):
                raise


_keepers: weakref.WeakKeyDictionary[Database, _Keeper] = weakref.WeakKeyDictionary()
_making = threading.Lock()


def _keeper_of(database: Database) -> _Keeper:
    with _making:
        if database not in _keepers:
            _keepers[database] = _Keeper(database)
        return _keepers[database]


class _NothingKeptError(Exception):
    """Undoes the transaction: another one did the request meanwhile, or it failed and may be repeated."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply


class _Request:
    """A POST with a key, and the row that stands for it."""

    def __init__(self, caller: Caller, path: str, query: Mapping[str, Any], body: bytes, key: str) -> None:
        if not 0 < len(key) <= LONGEST_KEY:
            raise InvalidParameterError(f"Idempotency-Key: expected 1 to {LONGEST_KEY} characters")
        request = f"{path}?{json.dumps(dict(query), sort_keys=True)}\n".encode() + body
        self._digest = hashlib.sha256(request).hexdigest()
        self._row = {"org": caller.org, "account": caller.key, "key": key}
        self.mine = and_(*(replies.c[name] == value for name, value in self._row.items()))

    def begin(self, database: Database, connection: Connection, owner: str | None) -> Reply | None:
        """Insert the row; returns the answer instead if there is one.

        Raises:
            InvalidParameterError: The key was used for another request.
            ConflictError: The request is being answered.
        """
        now = database.now(connection)
        expired = or_(replies.c.lease_until.is_(None), replies.c.lease_until < now)
        unanswered = and_(replies.c.status.is_(None), replies.c.created < now - LEASE, expired)
        old = replies.c.created < now - REPEATABLE
        connection.execute(delete(replies).where(or_(and_(old, replies.c.status.is_not(None)), unanswered)))
        row = {**self._row, "request": self._digest, "created": now, "owner": owner}
        row["lease_until"] = None if owner is None else now + LEASE
        if database.insert_missing(connection, replies, [row]):
            return None
        return self.answer(connection)

    def answer(self, connection: Connection, waits: bool = False) -> Reply | None:
        """Return the answer that was kept; None if the request is new.

        Args:
            connection: Of the database.
            waits: Whether one that is in flight counts as new, for `begin` waits for its transaction.

        Raises:
            InvalidParameterError, ConflictError: As of `begin`.
        """
        found = connection.execute(select(replies).where(self.mine)).first()
        if found is None:
            return None
        if found.request != self._digest:
            raise InvalidParameterError("Idempotency-Key: was used for another request; choose a new one")
        if found.status is None and waits:
            return None
        if found.status is None:
            raise ConflictError("this request is being answered; repeat it later")
        return Reply(found.status, found.body)


def claim(
    database: Database, caller: Caller, path: str, query: Mapping[str, Any], body: bytes, key: str
) -> Claim | Reply:
    """Begin a POST that has a key and calls an LLM; returns the answer instead if there is one.

    Raises:
        InvalidParameterError: The key is too long, or was used for another request.
        ConflictError: The request is being answered.
    """
    request, owner = _Request(caller, path, query, body, key), uuid.uuid4().hex
    with database.write() as connection:
        reply = request.begin(database, connection, owner)
    return Claim(database, request.mine, owner) if reply is None else reply


def once(
    database: Database,
    caller: Caller,
    path: str,
    query: Mapping[str, Any],
    body: bytes,
    key: str,
    work: Callable[[], Reply],
) -> Reply:
    """Do a POST that has a key, and commit what it writes together with its answer; or return that answer.

    Args:
        database: Where it works.
        caller: Who asks.
        path: Of the request.
        query: The parameters of the address.
        body: As it came.
        key: The header ``Idempotency-Key``.
        work: Does the request in this thread. Of a reply from 400 nothing is committed but the reply, from
            500 not even that.

    Raises:
        InvalidParameterError: The key is too long, or was used for another request.
        ConflictError: The request is being answered.
    """
    request = _Request(caller, path, query, body, key)
    with database.read() as connection:
        if (reply := request.answer(connection, waits=True)) is not None:
            return reply

    def begin(connection: Connection) -> None:
        found = request.begin(database, connection, None)
        if found is not None:
            raise _NothingKeptError(found)

    try:
        with database.together(begin) as transaction:
            reply = work()
            if reply.status >= 400:
                transaction.undo()
            if reply.status >= 500:
                raise _NothingKeptError(reply)
            with database.write() as connection:
                values = {"status": reply.status, "body": reply.body}
                connection.execute(update(replies).where(request.mine).values(**values))
    except _NothingKeptError as found:
        return found.reply
    return reply
