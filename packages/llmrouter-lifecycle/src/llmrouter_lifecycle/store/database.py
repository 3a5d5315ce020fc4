"""Open the database, and run transactions on it."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Table, create_engine, event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, InvalidatePoolError, NoSuchModuleError, SQLAlchemyError

from llmrouter_lifecycle.errors import StoreError
from llmrouter_lifecycle.store.encoding import decode_json, encode_json
from llmrouter_lifecycle.store.migration import is_current, migrate
from llmrouter_lifecycle.store.outages import reason_of
from llmrouter_lifecycle.store.owners import FileOwner, Owner, SessionOwner
from llmrouter_lifecycle.store.schema import settings
from llmrouter_lifecycle.store.together import Together

# Seconds that a transaction waits for another one to end.
LOCK_TIMEOUT = 30
# Seconds that a statement may take.
STATEMENT_TIMEOUT = 300
_COMMON: dict[str, Any] = {
    "json_serializer": encode_json,
    "json_deserializer": decode_json,
    # They hold prompts and answers, and errors reach the log.
    "hide_parameters": True,
}
# So that a server that vanished is an error within a minute, and not a worker that waits for ever.
_CONNECT = {
    "connect_timeout": "10",
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
# Seconds after which a connection is tried before it is used.
IDLE = 5.0


class Database:
    """A database, safe from several threads and processes.

    Args:
        where: The path of an SQLite file, made where it is missing, readable by its owner alone; or a URL
            such as ``postgresql://USER@HOST/NAME``.
        clock: The time in seconds since 1970; by default the database's own.

    Attributes:
        path: The SQLite file, or None.

    Raises:
        StoreError: It cannot be opened, or was made by a later release.
    """

    def __init__(self, where: str | os.PathLike[str], clock: Callable[[], float] | None = None) -> None:
        self._clock = clock
        self._threads = threading.local()
        url = _url(where)
        self.path = Path(url.database or "") if url.get_backend_name() == "sqlite" else None
        self._name = url.render_as_string(hide_password=True)
        self.url = url.render_as_string(hide_password=False)
        with self._told():
            if self.path is not None:
                _make_private(self.path)
            self.engine = _engine(url)
            if self.path is not None:
                _watch(self.engine, self.path)
            try:
                self._create()
            except BaseException:  # an interrupt too must not leave connections open; it goes on
                self.engine.dispose()
                raise

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that writes; it is committed at the end, or undone."""
        if (together := self._together) is not None:
            yield together.connection
            return
        with self.engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def together(self, begin: Callable[[Connection], None]) -> Iterator[Together]:
        """Make one transaction of all that this thread writes in the block.

        It is opened by the first `write`, so that what comes before keeps nobody waiting.

        Args:
            begin: Called with the transaction when it is opened.
        """
        with Together(self.engine, begin) as together:
            self._threads.together = together
            try:
                yield together
            finally:
                self._threads.together = None

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a connection that only reads, and waits for nobody who writes."""
        if (together := self._together) is not None and together.is_open:
            yield together.connection
            return
        with self.engine.connect() as connection:
            if self.path is None:
                # Each statement for itself, which saves beginning and ending a transaction.
                yield connection.execution_options(isolation_level="AUTOCOMMIT")
            else:
                yield connection.execution_options(llmrouter_reads=True)

    @contextlib.contextmanager
    def write_once(self) -> Iterator[Connection]:
        """Open a connection for one statement that writes, committed as it ends."""
        if self.path is not None or self._together is not None:
            with self.write() as connection:
                yield connection
            return
        with self.engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    def lock(self, connection: Connection, *name: str) -> None:
        """Keep others from what has this name until the transaction ends."""
        # SQLite lets one write at a time anyway.
        if self.path is None:
            connection.execute(
                text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": "/".join(name)}
            )

    def now(self, connection: Connection) -> float:
        """Return the time in seconds since 1970, the same for all machines that share the database."""
        if self._clock is not None:
            return self._clock()
        if self.path is None:
            return float(connection.scalar(text("SELECT extract(epoch FROM clock_timestamp())")) or 0)
        return time.time()

    def insert_missing(self, connection: Connection, table: Any, rows: list[dict[str, Any]]) -> int:
        """Insert rows whose key is not there yet; return how many."""
        if not rows:
            return 0
        dialect: Any = sqlite if self.path is not None else postgresql
        # What comes back is counted, for not every driver tells how many rows such an insert added.
        key = next(iter(table.primary_key))
        statement = dialect.insert(table).on_conflict_do_nothing().returning(key)
        return sum(len(connection.execute(statement, row).all()) for row in rows)

    def insert_many(
        self, connection: Connection, table: Table, columns: Sequence[str], rows: Iterable[Sequence[Any]]
    ) -> None:
        """Insert many rows as quickly as the database takes them.

        Args:
            connection: In a transaction that writes.
            table: The table.
            columns: Those that the rows have; columns of JSON take it as text.
            rows: Their values, as the driver takes them.
        """
        names = ", ".join(columns)
        if self.path is not None:
            places = ", ".join("?" * len(columns))
            statement = f"INSERT INTO {table.name} ({names}) VALUES ({places})"  # noqa: S608 - names of ours
            connection.exec_driver_sql(statement, [tuple(row) for row in rows])
            return
        driver: Any = connection.connection.cursor()
        with driver as cursor, cursor.copy(f"COPY {table.name} ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)

    def insert_or_add(self, connection: Connection, table: Table, row: dict[str, Any], column: str) -> None:
        """Insert a row; where its key is there already, add to one of its columns instead."""
        connection.execute(_insert_or_add(postgresql if self.path is None else sqlite, table, column), row)

    @functools.cached_property
    def owner(self) -> Owner:
        """This process, as whose it sets credits aside.

        Raises:
            StoreError: The file or the connection that says that it lives cannot be had.
        """
        with self._told():
            return FileOwner(self.path) if self.path is not None else SessionOwner(self.engine)

    def check(self) -> None:
        """Ask the database whether it is there.

        Raises:
            StoreError: It is not.
        """
        try:
            with self.read() as connection:
                connection.execute(text("SELECT 1"))
        except SQLAlchemyError as error:
            raise StoreError(f"the database cannot be used: {reason_of(error)}") from error

    def close(self) -> None:
        """Close all connections; using it again opens new ones."""
        owner = self.__dict__.pop("owner", None)
        if owner is not None:
            owner.close()
        self.engine.dispose()

    @property
    def _together(self) -> Together | None:
        return getattr(self._threads, "together", None)

    def __repr__(self) -> str:
        return f"<Database {self._name}>"

    def _create(self) -> None:
        with self.read() as connection:
            if is_current(connection):
                return
        # Only one of several processes that start at once creates or migrates.
        with self.write() as connection:
            self.lock(connection, settings.name)
            migrate(connection, self._name)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, OSError) as error:
            reason = getattr(error, "orig", None) or error
            first = (str(reason).strip().splitlines() or [type(error).__name__])[0]
            raise StoreError(f"the database {self._name} cannot be opened: {first}") from error


@functools.cache
def _insert_or_add(dialect: Any, table: Table, column: str) -> Any:
    # Made once, for to make it takes longer than to execute it.
    new = dialect.insert(table)
    return new.on_conflict_do_update(
        index_elements=list(table.primary_key), set_={column: table.c[column] + new.excluded[column]}
    )


def _url(where: str | os.PathLike[str]) -> URL:
    told = os.fspath(where)
    if "://" not in told:
        return URL.create("sqlite", database=str(Path(told).expanduser().absolute()))
    try:
        url = make_url(told)
    except ArgumentError as error:
        raise StoreError(f"{told.split('://')[0]}://… is no URL of a database: {error}") from None
    name = url.get_backend_name()
    if name == "postgres" or (name == "postgresql" and url.drivername == "postgresql"):
        return url.set(drivername="postgresql+psycopg")
    if name not in ("sqlite", "postgresql"):
        raise StoreError(f"expected sqlite:///PATH or postgresql://…, found {name}://…")
    if name == "sqlite" and not url.database:
        raise StoreError("a database in memory cannot be shared by processes; name a file: sqlite:///PATH")
    return url


def _make_private(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # It holds prompts and answers; SQLite gives its other files the permissions of this one.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    if os.name == "posix" and path.stat().st_uid == os.getuid():
        path.chmod(0o600)


def _watch(engine: Engine, path: Path) -> None:
    """Refuse to use a database whose file was deleted or replaced: what is written there would be lost."""
    before = path.stat()

    def check(*_: Any) -> None:
        try:
            found: os.stat_result | None = path.stat()
        except OSError:
            found = None
        if found is None or not os.path.samestat(before, found):
            raise StoreError(
                f"the database file {path} was deleted or replaced while it was in use; restart what uses it"
            )

    # Before one is made too, which would make an empty file.
    event.listen(engine, "do_connect", check)
    event.listen(engine, "checkout", check)


def _with_limits(url: URL) -> URL:
    """Return a PostgreSQL URL with bounds on connecting, locks and statements, unless it has its own."""
    options = f"-c lock_timeout={LOCK_TIMEOUT}s -c statement_timeout={STATEMENT_TIMEOUT}s"
    return url.set(query={**_CONNECT, "options": options, **url.query})


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "postgresql":
        try:
            return _try_doubtful_connections(create_engine(_with_limits(url), **_COMMON))
        except (ModuleNotFoundError, NoSuchModuleError) as error:
            raise StoreError(
                "PostgreSQL needs a package that is not installed; run: "
                "pip install 'llmrouter-lifecycle[postgresql]'"
            ) from error
    engine = create_engine(url, connect_args={"timeout": LOCK_TIMEOUT, "check_same_thread": False}, **_COMMON)

    @event.listens_for(engine, "connect")
    def connect(connection: Any, record: Any) -> None:
        # So that transactions begin as said below and not as the driver thinks best.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        # With WAL a crash of the machine may lose the last commits, but damages nothing.
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        reads = connection.get_execution_options().get("llmrouter_reads")
        # A transaction that reads first and then writes fails where another wrote meanwhile.
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def _try_doubtful_connections(engine: Engine) -> Engine:
    """Replace connections that the server closed meanwhile.

    The pool can try each one whenever it is used, but that costs every operation one more question. One that
    was used a moment ago is closed only if its socket has something to read, the end of it.
    """

    @event.listens_for(engine, "checkin")
    def checkin(connection: Any, record: Any) -> None:
        record.info["used"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def checkout(connection: Any, record: Any, proxy: Any) -> None:
        if time.monotonic() - record.info.get("used", math.inf) < IDLE and not wait([connection.fileno()], 0):
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError from error

    return engine
