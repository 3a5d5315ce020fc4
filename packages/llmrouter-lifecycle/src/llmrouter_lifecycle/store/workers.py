"""Which workers there are: each renews its heartbeat, and with it the leases of its tasks."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, func, select, update

from llmrouter_lifecycle.store.database import Database
from llmrouter_lifecycle.store.leases import (
    LEASE,
    Leases,
    Task,
    expire_all,
    release_all,
)
from llmrouter_lifecycle.store.schema import workers

# Seconds after which a silent worker is taken to be dead.
HEARTBEAT_TIMEOUT = LEASE


class Workers:
    """The workers of a database.

    Args:
        database: Where they are.
        program: Whose jobs these workers do.
        timeout: Seconds after which a silent worker is taken to be dead, and leases expire.

    Attributes:
        leases: Of their tasks.
    """

    def __init__(self, database: Database, program: str, timeout: float = HEARTBEAT_TIMEOUT) -> None:
        self._database = database
        self._program = program
        self._timeout = timeout
        self.leases = Leases(database, program, timeout)

    def register(self, worker: str, alone: bool = False) -> None:
        """Add a worker; one that is there stays.

        Args:
            worker: Its id, unlike any before.
            alone: No other worker runs, so that leases of earlier ones need not be waited for.
        """
        with self._database.write() as connection:
            if alone:
                connection.execute(delete(workers).where(workers.c.id != worker))
                expire_all(connection)
            now = self._database.now(connection)
            row = {"id": worker, "program": self._program, "heartbeat": now}
            self._database.insert_missing(connection, workers, [row])
        if alone:
            self.leases.charge_the_dead(now)

    def remove(self, worker: str) -> None:
        """Remove a worker and release its tasks."""
        with self._database.write() as connection:
            connection.execute(delete(workers).where(workers.c.id == worker))
            release_all(self._database, connection, worker)

    def beat(self, worker: str, in_hand: Sequence[Task] = ()) -> list[Task]:
        """Renew a heartbeat and leases, and forget silent workers.

        Args:
            worker: Its id; it is added where it is missing.
            in_hand: Tasks whose step in hand keeps within its deadline.

        Returns:
            Those of the tasks that the worker lost.
        """
        with self._database.write() as connection:
            self._database.lock(connection, workers.name)
            now = self._database.now(connection)
            lost = [task for task in in_hand if not self.leases.renew(connection, task, now)]
            if not connection.execute(
                update(workers).where(workers.c.id == worker).values(heartbeat=now)
            ).rowcount:
                row = {"id": worker, "program": self._program, "heartbeat": now}
                self._database.insert_missing(connection, workers, [row])
            connection.execute(delete(workers).where(workers.c.heartbeat < now - self._timeout))
        # Later than leases expire: after the database was away, all holders renew theirs first.
        self.leases.charge_the_dead(now - self._timeout)
        return lost

    def alive(self) -> int:
        """Return how many workers there are that this release's jobs may wait for."""
        with self._database.read() as connection:
            since = self._database.now(connection) - self._timeout
            query = select(func.count()).where(
                workers.c.heartbeat >= since, workers.c.program == self._program
            )
            return int(connection.scalar(query) or 0)
