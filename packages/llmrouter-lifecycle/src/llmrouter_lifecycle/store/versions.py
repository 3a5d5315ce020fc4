"""Routers and judges: immutable versions, numbered from 1, under one id."""

from __future__ import annotations

import builtins
import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, bindparam, delete, func, insert, select

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
        # Made once, for to make them takes longer than to execute them, and every routed request has one.
        columns = table.c
        of_one = select(table).where(columns.org == bindparam("org"), columns.id == bindparam("id"))
        self._numbered = of_one.where(columns.version == bindparam("version"))
        self._newest_first = of_one.order_by(columns.version.desc())
        self._newest = self._newest_first.limit(1)

    def create(self, org: str, id: str, spec: dict[str, Any], description: str | None) -> Version:
        """Add version 1.

        Raises:
            ResourceAlreadyExistsError: The id is taken.
        """
        with self._database.write() as connection:
            self._database.lock(connection, self._table.name, org, id)
            if self._get(connection, org, id) is not None:
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
        before = self._get(connection, org, id)
        if before is None:
            raise self._missing(id)
        description = before.description if description is None else description
        return self._add(connection, Version(org, id, before.version + 1, description, time.time(), spec))

    def get(self, org: str, id: str, version: int | None = None) -> Version:
        """Return a version, by default the latest.

        Raises:
            ResourceNotFoundError: There is none.
        """
        with self._database.read() as connection:
            found = self._get(connection, org, id, version)
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
            return [Version(**row) for row in connection.execute(query).mappings()]

    def versions(self, org: str, id: str) -> builtins.list[Version]:
        """Return all versions of one, the newest first; none where there is none of that id."""
        with self._database.read() as connection:
            rows = connection.execute(self._newest_first, {"org": org, "id": id}).mappings()
            return [Version(**row) for row in rows]

    def delete(self, org: str, id: str) -> None:
        """Delete all versions.

        Raises:
            ResourceNotFoundError: There is none of that id.
        """
        with self._database.write() as connection:
            columns = self._table.c
            gone = delete(self._table).where(columns.org == org, columns.id == id)
            if not connection.execute(gone).rowcount:
                raise self._missing(id)

    def _get(self, connection: Connection, org: str, id: str, version: int | None = None) -> Version | None:
        query = self._newest if version is None else self._numbered
        row = connection.execute(query, {"org": org, "id": id, "version": version}).mappings().first()
        return None if row is None else Version(**row)

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
