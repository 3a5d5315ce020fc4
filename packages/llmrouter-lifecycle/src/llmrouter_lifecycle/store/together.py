"""Several operations of one thread as one transaction."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from types import TracebackType

from sqlalchemy import Connection, Engine
from sqlalchemy.engine import NestedTransaction


class Together:
    """A transaction that is opened when something is first written; committed at the end, or undone.

    Args:
        engine: Of the database.
        begin: Called with the transaction when it is opened.
    """

    def __init__(self, engine: Engine, begin: Callable[[Connection], None]) -> None:
        self._engine = engine
        self._begin = begin
        self._stack = contextlib.ExitStack()
        self._connection: Connection | None = None
        self._savepoint: NestedTransaction | None = None

    @property
    def is_open(self) -> bool:
        """Whether something was written."""
        return self._connection is not None

    @property
    def connection(self) -> Connection:
        """The transaction, opened if it is not yet."""
        if self._connection is None:
            self._connection = self._stack.enter_context(self._engine.begin())
            self._begin(self._connection)
            self._savepoint = self._connection.begin_nested()
        return self._connection

    def undo(self) -> None:
        """Undo what was written since `begin`."""
        if self._savepoint is not None:
            self._savepoint.rollback()
            self._savepoint = None

    def __enter__(self) -> Together:
        self._stack.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The commit includes the savepoint.
        self._stack.__exit__(kind, error, trace)
