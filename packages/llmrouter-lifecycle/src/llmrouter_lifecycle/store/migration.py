"""Create the tables of a database, and bring those of an earlier release up to date in place."""

from __future__ import annotations

from sqlalchemy import Connection, inspect, select, text, update
from sqlalchemy.schema import CreateColumn

from llmrouter_lifecycle.errors import StoreError
from llmrouter_lifecycle.store.schema import SCHEMA, metadata, settings

# The oldest tables that `migrate` can bring up to date.
OLDEST = 1


def is_current(connection: Connection) -> bool:
    """Whether the tables are those of this release, so that opening the database writes nothing."""
    return inspect(connection).has_table(settings.name) and _version(connection) == str(SCHEMA)


def migrate(connection: Connection, name: str) -> None:
    """Create what is missing: tables, columns and indexes.

    Changes only ever add, so that processes of the previous release, which may still run, go on working.
    A new column is therefore nullable or has a ``server_default``.

    Args:
        connection: In a transaction that writes, and that no other process migrates in.
        name: What errors call the database.

    Raises:
        StoreError: A later release made the tables.
    """
    if not inspect(connection).has_table(settings.name):
        metadata.create_all(connection)
        connection.execute(settings.insert().values(name="schema", value=str(SCHEMA)))
        return
    found = _version(connection)
    if found == str(SCHEMA):
        return
    if not str(found).isdecimal() or not OLDEST <= int(str(found)) < SCHEMA:
        raise StoreError(
            f"{name} holds tables of version {found}, this release knows version {SCHEMA}; use the "
            "release that made them, or another database"
        )
    _add_columns(connection)
    # Tables first: the columns of an index must exist.
    metadata.create_all(connection)
    _add_indexes(connection)
    connection.execute(update(settings).where(settings.c.name == "schema").values(value=str(SCHEMA)))


def _version(connection: Connection) -> str | None:
    return connection.scalar(select(settings.c.value).where(settings.c.name == "schema"))


def _add_columns(connection: Connection) -> None:
    inspector = inspect(connection)
    for table in metadata.sorted_tables:
        if not inspector.has_table(table.name):
            continue
        known = {column["name"] for column in inspector.get_columns(table.name)}
        for column in table.columns:
            if column.name not in known:
                definition = CreateColumn(column).compile(dialect=connection.dialect)
                connection.execute(text(f"ALTER TABLE {table.name} ADD COLUMN {definition}"))


def _add_indexes(connection: Connection) -> None:
    inspector = inspect(connection)
    for table in metadata.sorted_tables:
        known = {index["name"] for index in inspector.get_indexes(table.name)}
        for index in table.indexes:
            if index.name not in known:
                index.create(connection)
