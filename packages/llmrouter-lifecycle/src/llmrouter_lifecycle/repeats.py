"""Requests that may be repeated: who sends one again with the same key gets the answer of the first time."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import and_, delete, or_, select, update

from llmrouter_lifecycle.errors import ConflictError, InvalidParameterError
from llmrouter_lifecycle.home import Caller
from llmrouter_lifecycle.store.database import Database
from llmrouter_lifecycle.store.schema import replies

# Seconds for which a request may be repeated without being done again.
REPEATABLE = 24 * 3600.0
# Seconds after which one that was never answered is taken to have ended with its process.
FORGOTTEN = 900.0
LONGEST_KEY = 255


class Reply(NamedTuple):
    """What a request is answered with."""

    status: int
    body: Any


class Claim:
    """A request that is being done, for the first time under its key."""

    def __init__(self, database: Database, mine: Any) -> None:
        self._database = database
        self._mine = mine

    def keep(self, reply: Reply) -> None:
        """Keep the answer for whoever sends the request again."""
        values = {"status": reply.status, "body": reply.body}
        with self._database.write_once() as connection:
            connection.execute(update(replies).where(self._mine).values(**values))

    def release(self) -> None:
        """Let the request be done again, for it failed."""
        with self._database.write_once() as connection:
            connection.execute(delete(replies).where(self._mine))


def claim(
    database: Database, caller: Caller, path: str, query: Mapping[str, Any], body: bytes, key: str
) -> Claim | Reply:
    """Begin a POST that bears a key; returns the answer instead where it was answered already.

    Raises:
        InvalidParameterError: The key is too long, or was used for another request.
        ConflictError: The request is being answered.
    """
    if not 0 < len(key) <= LONGEST_KEY:
        raise InvalidParameterError(f"Idempotency-Key: expected 1 to {LONGEST_KEY} characters")
    request = f"{path}?{json.dumps(dict(query), sort_keys=True)}\n".encode() + body
    digest = hashlib.sha256(request).hexdigest()
    row = {"org": caller.org, "account": caller.key, "key": key}
    mine = (replies.c.org == caller.org) & (replies.c.account == caller.key) & (replies.c.key == key)
    now = time.time()
    forgotten = and_(replies.c.status.is_(None), replies.c.created < now - FORGOTTEN)
    with database.write() as connection:
        connection.execute(delete(replies).where(or_(replies.c.created < now - REPEATABLE, forgotten)))
        new = database.insert_missing(connection, replies, [{**row, "request": digest, "created": now}])
        found = None if new else connection.execute(select(replies).where(mine)).first()
    if found is None:
        return Claim(database, mine)
    if found.request != digest:
        raise InvalidParameterError("Idempotency-Key: was used for another request; choose a new one")
    if found.status is None:
        raise ConflictError("this request is being answered; repeat it later")
    return Reply(found.status, found.body)
