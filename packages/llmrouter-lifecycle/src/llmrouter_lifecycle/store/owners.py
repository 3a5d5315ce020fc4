"""Who set credits aside, and whether that process still lives."""

from __future__ import annotations

import contextlib
import secrets
import threading
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, text

from llmrouter.alive import Alive

# The first of the two numbers of our locks in PostgreSQL.
_CLASS = 0x6C6C6D72
_TAKE = text("SELECT pg_try_advisory_lock(:class, :number)")
# Until the end of the transaction, which is no longer than this question.
_TRY = text("SELECT pg_try_advisory_xact_lock(:class, :number)")
# Seconds after which the server notices that the machine of a connection is gone.
_KEEP_ALIVE = ("idle = 10", "interval = 5", "count = 3")


class Owner(Protocol):
    """A process, as the others know it."""

    def id(self) -> str:
        """Return its id; another one from when the database forgot it."""

    def lives(self, connection: Connection, id: str) -> bool:
        """Whether the process of an id lives."""

    def close(self) -> None:
        """Let others know that it has ended."""


class FileOwner:
    """A process that holds a lock beside an SQLite file.

    Args:
        path: The database.

    Raises:
        OSError: The folder for locks cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._alive = Alive(Path(f"{path}.owners"))

    def id(self) -> str:
        """Return its id."""
        return self._alive.id

    def lives(self, connection: Connection, id: str) -> bool:
        """Whether the process of an id lives."""
        return self._alive.lives(id)

    def close(self) -> None:
        """Let others know that it has ended."""
        self._alive.close()


class SessionOwner:
    """A process that holds an advisory lock of PostgreSQL, which ends with its connection.

    Args:
        engine: Connects to the database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._id = ""
        self._session: Connection | None = None
        self._lock = threading.Lock()

    def id(self) -> str:
        """Return its id; another one from when the connection was lost."""
        with self._lock:
            if self._session is None or _is_lost(self._session):
                self._close()
                self._connect()
            return self._id

    def lives(self, connection: Connection, id: str) -> bool:
        """Whether the process of an id lives."""
        if id == self._id:
            return True
        number = _number(id)
        if number is None:
            return False
        return not connection.scalar(_TRY, {"class": _CLASS, "number": number})

    def close(self) -> None:
        """Let others know that it has ended."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            _end(session)

    def _connect(self) -> None:
        session = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        # Not the pool's any more: it stays open for as long as the process lives.
        session.detach()
        id = secrets.token_hex(4)
        try:
            for setting in _KEEP_ALIVE:
                session.execute(text(f"SET tcp_keepalives_{setting}"))
            if not session.scalar(_TAKE, {"class": _CLASS, "number": _number(id)}):
                raise RuntimeError("a lock of a random number is taken")
        except BaseException:  # an interrupt too must not leave the connection open; it goes on
            _end(session)
            raise
        self._session, self._id = session, id


def _end(session: Connection) -> None:
    """Close a connection, even if the server is gone."""
    driver: Any = session.connection.dbapi_connection
    for close in (session.close, *([driver.close] if driver is not None else [])):
        with contextlib.suppress(Exception):  # whatever the driver says of a connection that is lost
            close()


def _is_lost(session: Connection) -> bool:
    """Whether the server closed a connection; nothing else comes over one that is not used."""
    driver: Any = session.connection.dbapi_connection
    return bool(driver.closed or wait([driver.fileno()], 0))


def _number(id: str) -> int | None:
    """Return an id as a number of 32 bits with a sign; None for one that is of another kind."""
    try:
        return int.from_bytes(bytes.fromhex(id), "big", signed=True) if len(id) == 8 else None
    except ValueError:
        return None
