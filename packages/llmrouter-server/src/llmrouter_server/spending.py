"""What keys have spent, and what their calls under way may cost: a file that all workers share."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from llmrouter.alive import Alive
from llmrouter.completion.bounds import Wanted

# Seconds that a worker waits for another one to end writing.
_LOCKED_SECONDS = 5
# Tables are only ever added, so that a worker of an earlier release goes on working.
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS spent (key TEXT PRIMARY KEY, usd REAL NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS reserved (owner TEXT, number INTEGER, key TEXT NOT NULL, usd REAL NOT NULL, "
    "sent INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (owner, number)) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS reserved_key ON reserved (key)",
)
_ADD = "INSERT INTO spent VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET usd = usd + excluded.usd"
_STANDING = (
    "SELECT (SELECT usd FROM spent WHERE key = :key), (SELECT sum(usd) FROM reserved WHERE key = :key)"
)


class Spending:
    """The file, as one worker uses it; from one thread at a time, and but for `open` in a `transaction`.

    Args:
        path: The file, made where it is missing, readable by its owner alone.

    Raises:
        OSError, sqlite3.Error: It cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # Made first, so that it is never readable by others, not even for a moment.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self._file = os.stat(path)
        self._alive = Alive(Path(f"{path}.workers"))
        try:
            self._database = sqlite3.connect(
                path, timeout=_LOCKED_SECONDS, check_same_thread=False, isolation_level=None
            )
            try:
                self._database.execute("PRAGMA journal_mode=WAL")
                self._database.execute("PRAGMA synchronous=NORMAL")
                with self.transaction():
                    for statement in _SCHEMA:
                        self._database.execute(statement)
                    self.settle_the_dead()
            except BaseException:  # an interrupt too must not leave it open; it goes on
                self._database.close()
                raise
        except BaseException:  # the same
            self._alive.close()
            raise

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Write all that the block writes, or nothing.

        Raises:
            sqlite3.Error: It cannot be written.
        """
        if not self._is_there():
            raise sqlite3.OperationalError("the file was deleted or replaced; start the gateway again")
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:  # whatever it is, others are to be able to write; it goes on
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    def left(self, key: str, budget: float) -> float:
        """Return what a key may still spend, in USD, less what its calls under way may cost."""
        spent, held = self._database.execute(_STANDING, {"key": key}).fetchone()
        return budget - (spent or 0.0) - (held or 0.0)

    def reserve(self, number: int, key: str, budget: float, wanted: Wanted) -> float | None:
        """Set aside what a call may cost, in USD; returns how much, or None where too little is left.

        Args:
            number: Of the call, unlike any other of this worker.
            key: Digest of the key that pays.
            budget: What it may spend in all.
            wanted: What the call may cost.
        """
        usd = wanted.granted(self.left(key, budget))
        if usd is None and self.settle_the_dead():
            usd = wanted.granted(self.left(key, budget))
        if usd is not None:
            row = self._alive.id, number, key, usd
            self._database.execute("INSERT INTO reserved (owner, number, key, usd) VALUES (?, ?, ?, ?)", row)
        return usd

    def sent(self, number: int) -> None:
        """Note that a call is about to be sent: from now on it costs something, unless it is settled."""
        self._database.execute(
            "UPDATE reserved SET sent = 1 WHERE owner = ? AND number = ?", (self._alive.id, number)
        )

    def settle(self, number: int, key: str, budget: float, usd: float | None) -> None:
        """Charge what a call cost in place of what was set aside.

        Where it cost more than that, as of an upstream that keeps to no limit, as much more is charged as the
        key has left. A call that is settled already costs nothing more.

        Args:
            number: Of the call.
            key: Digest of the key that pays.
            budget: What it may spend in all.
            usd: What it cost in USD; None: unknown, all that was set aside is charged.
        """
        mine = self._alive.id, number
        row = self._database.execute(
            "SELECT usd FROM reserved WHERE owner = ? AND number = ?", mine
        ).fetchone()
        if row is None:
            return
        self._database.execute("DELETE FROM reserved WHERE owner = ? AND number = ?", mine)
        held: float = row[0]
        if usd is None:
            usd = held
        elif usd > held:
            usd = max(held, min(usd, self.left(key, budget)))
        if usd > 0:
            self._database.execute(_ADD, (key, usd))

    def settle_the_dead(self) -> int:
        """Settle the calls of workers that ended without it; returns how many.

        Those that were sent are charged what was set aside for them, the others nothing.
        """
        owners = self._database.execute("SELECT DISTINCT owner FROM reserved").fetchall()
        dead = [owner for owner in owners if not self._alive.lives(owner[0])]
        charged = "SELECT key, sum(usd) FROM reserved WHERE owner = ? AND sent GROUP BY key"
        for owner in dead:
            self._database.executemany(_ADD, self._database.execute(charged, owner).fetchall())
        return self._database.executemany("DELETE FROM reserved WHERE owner = ?", dead).rowcount

    def spent(self) -> dict[str, float]:
        """Return what each key has spent in USD, by its digest."""
        return dict(self._database.execute("SELECT key, usd FROM spent"))

    def close(self) -> None:
        """Close the file; calls that are not settled by now are settled by others."""
        self._database.close()
        self._alive.close()

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(self._file, os.stat(self._path))
        except OSError:
            return False
