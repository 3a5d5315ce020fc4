"""What keys have spent: kept in a file, shared by workers, written off the way of requests."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from llmrouter.errors import LLMRouterError
from llmrouter_server.errors import GatewayError
from llmrouter_server.key_file import Key

logger = logging.getLogger(__name__)

_FLUSH_SECONDS = 0.25
_SCHEMA = "CREATE TABLE IF NOT EXISTS spent (key TEXT PRIMARY KEY, usd REAL NOT NULL) WITHOUT ROWID"
_ADD = "INSERT INTO spent VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET usd = usd + excluded.usd"


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
    """What is set aside for one call of an upstream."""

    def settle(self, usd: float) -> None:
        """Charge what it cost in place of what was set aside; only the first time counts."""

    async def settled(self) -> None:
        """Wait until what was charged is written, where that is worth waiting for."""


class Budgeting(Protocol):
    """Keeps what keys spend."""

    async def reserve(self, key: Key, usd: float) -> Reservation:
        """Set aside what a request is estimated to cost while it is in flight.

        Raises:
            GatewayError: Less than that is left of the key's budget.
        """

    def close(self) -> None:
        """Write what is left, and end."""


class FileReservation:
    """What is set aside for one call of an upstream."""

    def __init__(self, budgets: Budgets, key: Key, usd: float) -> None:
        self._budgets = budgets
        self._key = key
        self._usd = usd
        self._open = True

    def settle(self, usd: float) -> None:
        """Charge what it cost in place of what was set aside; only the first time counts."""
        if self._open:
            self._open = False
            self._budgets.charge(self._key, usd)
            self._budgets.release(self._key, self._usd)

    async def settled(self) -> None:
        """Wait for nothing: it is written several times a second."""


class Budgets:
    """What keys have spent, and what their requests in flight may cost.

    Amounts are gathered in memory and written by a thread several times a second, together with reading what
    other workers wrote: so several workers may overrun a budget by what they have in flight.

    Args:
        keys_file: The keys file beside which spending is kept.

    Raises:
        LLMRouterError: The file of spending cannot be made or used.
    """

    def __init__(self, keys_file: str | os.PathLike[str]) -> None:
        self._path = spending_path(keys_file)
        self._lock = threading.Lock()
        self._stored: dict[str, float] = {}
        self._unwritten: defaultdict[str, float] = defaultdict(float)
        self._reserved: defaultdict[str, float] = defaultdict(float)
        database: sqlite3.Connection | None = None
        try:
            # Made first, so that it is never readable by others, not even for a moment.
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
            self._database = database = sqlite3.connect(self._path, timeout=10, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.execute(_SCHEMA)
            self._database.commit()
            self._exchange()
        except (OSError, sqlite3.Error) as error:
            if database is not None:
                database.close()
            raise LLMRouterError(f"what keys spend cannot be kept in {self._path}: {error}") from error
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="budgets", daemon=True)
        self._thread.start()

    def spent(self, key: Key) -> float:
        """Return what a key has spent in USD, as far as it is known here."""
        with self._lock:
            return self._stored.get(key.sha256, 0.0) + self._unwritten.get(key.sha256, 0.0)

    async def reserve(self, key: Key, usd: float) -> FileReservation:
        """Set aside what a request is estimated to cost while it is in flight.

        Raises:
            GatewayError: 429, less than that is left of the key's budget.
        """
        digest = key.sha256
        with self._lock:
            taken = self._stored.get(digest, 0.0) + self._unwritten.get(digest, 0.0) + self._reserved[digest]
            if key.budget_usd is not None and (taken >= key.budget_usd or taken + usd > key.budget_usd):
                raise GatewayError(
                    429,
                    f"The budget of the key {key.name!r} is used up: {key.budget_usd:g} USD, of which "
                    f"{max(0.0, key.budget_usd - taken):.6f} are left, and this request may cost {usd:.6f}.",
                    type="insufficient_quota",
                    code="insufficient_quota",
                )
            self._reserved[digest] += usd
        return FileReservation(self, key, usd)

    def release(self, key: Key, usd: float) -> None:
        """Give back what was set aside."""
        with self._lock:
            self._reserved[key.sha256] -= usd

    def charge(self, key: Key, usd: float) -> None:
        """Count what an answer cost."""
        if usd > 0:
            with self._lock:
                self._unwritten[key.sha256] += usd

    def close(self) -> None:
        """Write what is left, and end."""
        self._stop.set()
        self._thread.join(timeout=15)
        self._database.close()

    def _run(self) -> None:
        while not self._stop.wait(_FLUSH_SECONDS):
            self._try_exchange()
        self._try_exchange()

    def _try_exchange(self) -> None:
        try:
            self._exchange()
        except sqlite3.Error as error:
            logger.error("What keys spent cannot be written to %s: %s", self._path, error)

    def _exchange(self) -> None:
        """Write what was spent here, and read what was spent in all."""
        with self._lock:
            writing = dict(self._unwritten)
        if writing:
            with self._database:
                self._database.executemany(_ADD, list(writing.items()))
        stored = dict(self._database.execute("SELECT key, usd FROM spent"))
        with self._lock:
            self._stored = stored
            for key, usd in writing.items():
                self._unwritten[key] -= usd
                if self._unwritten[key] <= 1e-15:
                    del self._unwritten[key]
