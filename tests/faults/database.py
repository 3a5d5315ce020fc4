"""Let a database fail: at a statement, for a while, or after it did what it was asked."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from llmrouter_lifecycle.store.database import Database

BEGIN, COMMIT, AFTER_COMMIT = "BEGIN", "COMMIT", "after COMMIT"

# The same statement for other numbers of values.
_VALUES = re.compile(r"\(([?]|%\(\w+\)s(::\w+)?)(, ([?]|%\(\w+\)s(::\w+)?))*\)")


class FaultyDatabase:
    """Asks before each statement of a database, begin and commit included, whether it fails.

    Args:
        database: Whose statements fail; other `Database` objects on the same file are well.
        fails: Told the kind of a statement, whether it fails; called by one thread at a time.

    Attributes:
        kinds: The kinds of statements, in the order in which they came first.
        failures: How many failed.
    """

    def __init__(self, database: Database, fails: Callable[[str], bool] = lambda kind: False) -> None:
        self.kinds: list[str] = []
        self.failures = 0
        self.fails = fails
        self._lock = threading.Lock()
        engine = database.engine
        event.listen(engine, "before_cursor_execute", self._before, insert=True)
        event.listen(engine, "begin", lambda connection: self._check(BEGIN), insert=True)
        event.listen(engine, "commit", lambda connection: self._check(COMMIT))
        commit = engine.dialect.do_commit

        def do_commit(connection: Any) -> None:
            commit(connection)
            self._check(AFTER_COMMIT)

        engine.dialect.do_commit = do_commit  # type: ignore[assignment]

    def _before(self, connection: Any, cursor: Any, statement: str, *_: object) -> None:
        self._check(_VALUES.sub("(…)", " ".join(statement.split())))

    def _check(self, kind: str) -> None:
        with self._lock:
            if kind not in self.kinds:
                self.kinds.append(kind)
            failed = self.fails(kind)
            self.failures += failed
        if failed:
            raise OperationalError(kind, {}, OSError("no space left on device"))


class Once:
    """Each kind of statement fails once, the first time it comes."""

    def __init__(self, *kinds: str) -> None:
        self._kinds = set(kinds)
        self._failed: set[str] = set()

    def __call__(self, kind: str) -> bool:
        if kind in self._failed or (self._kinds and kind not in self._kinds):
            return False
        self._failed.add(kind)
        return True


class Outage:
    """Everything fails for a while, from the first statement of a kind on."""

    def __init__(self, kind: str, seconds: float) -> None:
        self._kind = kind
        self._seconds = seconds
        self._until = 0.0

    def __call__(self, kind: str) -> bool:
        if kind == self._kind and not self._until:
            self._until = time.monotonic() + self._seconds
        return time.monotonic() < self._until
