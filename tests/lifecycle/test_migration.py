"""Databases of earlier releases are brought up to date in place."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, inspect, text, update
from sqlalchemy.engine import make_url

from llmrouter_lifecycle import Client
from llmrouter_lifecycle.errors import StoreError
from llmrouter_lifecycle.store.database import Database
from llmrouter_lifecycle.store.schema import SCHEMA, metadata, settings
from tests.lifecycle.conftest import home_of, requests

FIRST = Path(__file__).with_name("schema_1.sql")


@pytest.fixture
def first(where: str) -> str:
    """A database with the tables of the first release."""
    engine = _engine(where)
    kinds = {"sqlite": "BLOB", "postgresql": "BYTEA"}
    with engine.begin() as connection:
        for statement in FIRST.read_text().format(blob=kinds[engine.dialect.name]).split(";"):
            if statement.strip():
                connection.execute(text(statement))
        connection.execute(text("INSERT INTO llmrouter_settings VALUES ('schema', '1')"))
    engine.dispose()
    return where


def _engine(where: str) -> Engine:
    return create_engine(
        make_url(where).set(drivername="postgresql+psycopg") if "://" in where else f"sqlite:///{where}"
    )


def _shape(where: str) -> dict[str, Any]:
    engine = _engine(where)
    inspector = inspect(engine)
    shape = {
        name: (
            {column["name"]: str(column["type"]) for column in inspector.get_columns(name)},
            {index["name"] for index in inspector.get_indexes(name)},
        )
        for name in inspector.get_table_names()
    }
    engine.dispose()
    return shape


def test_tables_of_the_first_release_become_those_of_this_one(first: str) -> None:
    Database(first).close()
    for name, (columns, indexes) in _shape(first).items():
        table = metadata.tables[name]
        assert columns.keys() == set(table.columns.keys()), name
        assert indexes == {index.name for index in table.indexes}, name
    # A second time changes nothing.
    before = _shape(first)
    Database(first).close()
    assert _shape(first) == before


def test_running_jobs_of_the_first_release_go_on(
    first: str, catalogue: dict[str, Any], work: Callable[..., None]
) -> None:
    with Client(first, config=catalogue, worker=False) as client:
        client.judges.create_judge("j", "numeric")
        client.routers.create_router("r", "local/dear")
        job = client.routers.run_training_job("r", "j", ["local/dear"], requests(60))
        database = home_of(client).database
        added = {
            "llmrouter_jobs": ["fence"],
            "llmrouter_tasks": ["fence", "lease_until", "deadline", "attempts"],
        }
        with database.write() as connection:
            # As the first release left it: one task claimed by a worker that is gone.
            connection.execute(text("UPDATE llmrouter_tasks SET owner = 'gone' WHERE number = 0"))
            for table, columns in added.items():
                for column in columns:
                    connection.execute(text(f"ALTER TABLE {table} DROP COLUMN {column}"))
            connection.execute(update(settings).values(value="1"))
    with Client(first, config=catalogue, worker=False) as client:
        assert client.routers.poll_training_job(job).status == "RUNNING"
        work(client)
        assert client.routers.poll_training_job(job).status == "SUCCESS"


def test_processes_that_start_at_once_migrate_once(first: str) -> None:
    opened: list[Database] = []
    threads = [threading.Thread(target=lambda: opened.append(Database(first))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert len(opened) == 4
    for database in opened:
        database.close()


@pytest.mark.parametrize("version", [str(SCHEMA + 1), "0", "x"])
def test_tables_of_an_unknown_release_are_refused_and_left_alone(where: str, version: str) -> None:
    database = Database(where)
    with database.write() as connection:
        connection.execute(update(settings).values(value=version))
    database.close()
    before = _shape(where)
    with pytest.raises(StoreError, match=f"version {version}, this release knows version {SCHEMA}"):
        Database(where)
    assert _shape(where) == before
