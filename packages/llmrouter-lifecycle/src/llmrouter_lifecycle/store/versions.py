"""Routers and judges: immutable versions, numbered from 1, under one id."""

from __future__ import annotations

import builtins
import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, delete, func, insert, select

from llmrouter_lifecycle.errors import ResourceAlreadyExistsError, ResourceNotFoundError
from llmrouter_lifecycle.store.database import Database
from llmrouter_lifecycle.store.schema import judges, routers


@dataclass(frozen=True)
class Version:
    """One version of a router or judge.

    Attributes:
        created: When this version was made, in seconds since 1970.
        spec: What it does, as JSON.
    """

    org: str
    id: str
    version: int
    description: str | None
    created: float
    spec: dict[str, Any]


class Versions:
    """The routers, or the judges, of all organisations."""

    def __init__(self, database: Database, table: Table, noun: str) -> None:
        self._database = database
        self._table = table
        self._noun = noun

    def create(self, org: str, id: str, spec: dict[str, Any], description: str | None) -> Version:
        """Add version 1.

        Raises:
            ResourceAlreadyExistsError: The id is taken.
        """
        with self._database.write() as connection:
            self._database.lock(connection, self._table.name, org, id)
            if self._latest(connection, org, id):
                raise ResourceAlreadyExistsError(
                    f"{self._noun} {id!r} exists already; choose another id, or update it", param="id"
                )
            return self._add(connection, Version(org, id, 1, description, time.time(), spec))

    def update(self, org: str, id: str, spec: dict[str, Any], description: str | None = None) -> Version:
        """Add the next version; without a description it has that of the version before.

        Raises:
            ResourceNotFoundError: There is none of that id.
        """
        with self._database.write() as connection:
            return self.add_version(connection, org, id, spec, description)

    def add_version(
        self, connection: Connection, org: str, id: str, spec: dict[str, Any], description: str | None = None
    ) -> Version:
        """Do as `update` does, as part of a transaction."""
        self._database.lock(connection, self._table.name, org, id)
        latest = self._latest(connection, org, id)
        before = self._get(connection, org, id, latest)
        if before is None:
            raise self._missing(id)
        description = before.description if description is None else description
        return self._add(connection, Version(org, id, latest + 1, description, time.time(), spec))

    def get(self, org: str, id: str, version: int | None = None) -> Version:
        """Return a version, by default the latest.

        Raises:
            ResourceNotFoundError: There is none.
        """
        query = select(self._table).where(self._is(org, id)).order_by(self._table.c.version.desc()).limit(1)
        if version is not None:
            query = query.where(self._table.c.version == version)
        with self._database.read() as connection:
            row = connection.execute(query).mappings().first()
        found = _version(row) if row is not None else None
        if found is None:
            raise self._missing(id, version)
        return found

    def list(self, org: str) -> builtins.list[Version]:
        """Return the latest version of each, by id."""
        columns = self._table.c
        latest = (
            select(columns.id, func.max(columns.version).label("version"))
            .where(columns.org == org)
            .group_by(columns.id)
            .subquery()
        )
        wanted = (columns.id == latest.c.id) & (columns.version == latest.c.version) & (columns.org == org)
        query = select(self._table).join(latest, wanted).order_by(columns.id)
        with self._database.read() as connection:
            return [_version(row) for row in connection.execute(query).mappings()]

    def versions(self, org: str, id: str) -> builtins.list[Version]:
        """Return all versions of one, the newest first; none where there is none of that id."""
        query = select(self._table).where(self._is(org, id)).order_by(self._table.c.version.desc())
        with self._database.read() as connection:
            return [_version(row) for row in connection.execute(query).mappings()]

    def delete(self, org: str, id: str) -> None:
        """Delete all versions.

        Raises:
            ResourceNotFoundError: There is none of that id.
        """
        with self._database.write() as connection:
            if not connection.execute(delete(self._table).where(self._is(org, id))).rowcount:
                raise self._missing(id)

    def _is(self, org: str, id: str) -> Any:
        return (self._table.c.org == org) & (self._table.c.id == id)

    def _latest(self, connection: Connection, org: str, id: str) -> int:
        return int(connection.scalar(select(func.max(self._table.c.version)).where(self._is(org, id))) or 0)

    def _get(self, connection: Connection, org: str, id: str, version: int) -> Version | None:
        query = select(self._table).where(self._is(org, id), self._table.c.version == version)
        row = connection.execute(query).mappings().first()
        return _version(row) if row is not None else None

    def _add(self, connection: Connection, version: Version) -> Version:
        connection.execute(insert(self._table).values(**version.__dict__))
        return version

    def _missing(self, id: str, version: int | None = None) -> ResourceNotFoundError:
        which = f"{id!r} has no version {version}" if version is not None else f"{id!r} does not exist"
        return ResourceNotFoundError(f"{self._noun} {which}", param="id" if version is None else "version")


def router_versions(database: Database) -> Versions:
    """Return the routers of a database."""
    return Versions(database, routers, "router")


def judge_versions(database: Database) -> Versions:
    """Return the judges of a database."""
    return Versions(database, judges, "judge")


def _version(row: Any) -> Version:
    return Version(**row)
