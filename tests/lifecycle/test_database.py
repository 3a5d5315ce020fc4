"""The connections of a database."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from llmrouter_lifecycle.store import database as module
from llmrouter_lifecycle.store.database import Database


@pytest.fixture
def shared(postgresql_server: str) -> Database:
    return Database(postgresql_server)


def end_of(database: Database, other: Database) -> int:
    """Let the server end the connection that a database keeps; returns which it was."""
    with database.read() as connection:
        process = int(connection.scalar(text("SELECT pg_backend_pid()")) or 0)
    with other.read() as connection:
        assert connection.scalar(text("SELECT pg_terminate_backend(:process, 5000)"), {"process": process})
    return process


@pytest.mark.parametrize("idle", [module.IDLE, 0.0], ids=["used a moment ago", "idle for long"])
def test_a_connection_that_the_server_closed_is_replaced(
    shared: Database, postgresql_server: str, idle: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IDLE", idle)
    other = Database(postgresql_server)
    try:
        ended = end_of(shared, other)
        with shared.read() as connection:
            assert connection.scalar(text("SELECT pg_backend_pid()")) != ended
    finally:
        shared.close()
        other.close()


def test_a_connection_that_holds_is_used_again_without_being_asked(
    shared: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ping(connection: object) -> bool:
        raise AssertionError("it was asked")

    try:
        with shared.read() as connection:
            process = connection.scalar(text("SELECT pg_backend_pid()"))
        monkeypatch.setattr(shared.engine.dialect, "do_ping", ping)
        with shared.read() as connection:
            assert connection.scalar(text("SELECT pg_backend_pid()")) == process
    finally:
        shared.close()
