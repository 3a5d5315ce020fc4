"""A database that is really away while a job runs: its disk full, or its server refusing everyone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event

from llmrouter_lifecycle import Client
from llmrouter_lifecycle.training.persistence import Backoff
from llmrouter_testing.upstream import Upstream
from tests.faults.test_job_statements import COUNT, LLMS, check
from tests.lifecycle.conftest import answer, home_of, requests

# Longer than the leases, which are `LEASE` seconds long.
OUTAGE, LEASE = 2.5, 1.2


def do_job(
    client: Client,
    upstream: Upstream,
    work: Callable[..., None],
    begin: Callable[[], None],
    end: Callable[[], None],
    alone: bool,
) -> None:
    """Do a job with an outage in the middle of it."""
    timer = threading.Timer(OUTAGE, end)
    begun = threading.Lock()

    def script(request: dict[str, Any]) -> str:
        if len(upstream.requests) > 5 and begun.acquire(blocking=False):
            begin()
            timer.start()
        return answer(request)

    upstream.script = script
    client.judges.create_judge("j", "numeric")
    client.routers.create_router("r", "local/dear")
    job = client.routers.run_training_job("r", "j", LLMS, requests(COUNT), budget_usd=1000)
    try:
        work(client, alone=alone, heartbeat_timeout=LEASE, backoff=Backoff(0.05, 0.2))
    finally:
        timer.join()
    assert begun.locked()
    check(client, client.routers.poll_training_job(job), upstream)


@pytest.mark.parametrize("where", ["sqlite"], indirect=True)
def test_a_full_disk_loses_nothing(
    client: Client, upstream: Upstream, work: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    """SQLite itself says that its disk is full."""
    engine = home_of(client).database.engine
    full = threading.Event()

    @event.listens_for(engine, "checkout")
    def checkout(connection: Any, *_: object) -> None:
        # It may not become smaller than the file is, so nothing can be added.
        connection.execute(f"PRAGMA max_page_count={1 if full.is_set() else 1_000_000}").close()

    do_job(client, upstream, work, full.set, full.clear, alone=True)
    assert "database or disk is full" in caplog.text


@pytest.mark.parametrize("where", ["postgresql"], indirect=True)
def test_a_postgresql_server_that_ends_and_refuses_connections_loses_nothing(
    client: Client,
    upstream: Upstream,
    work: Callable[..., None],
    where: str,
    postgresql_server: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    import psycopg

    name = where.partition("/")[2].lstrip("/@").partition("?")[0].rpartition("/")[2]

    def let(*statements: str) -> None:
        with psycopg.connect(postgresql_server, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def begin() -> None:
        end = f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'"
        let(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false", end)

    do_job(
        client,
        upstream,
        work,
        begin,
        lambda: let(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true"),
        False,
    )
    assert "the database failed, trying again" in caplog.text
