"""What a running job depends on ends and starts again: the server of its database, and its gateway."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmrouter_lifecycle import Client
from llmrouter_lifecycle.training.runner import CONCURRENCY
from llmrouter_testing.upstream import Upstream
from tests.lifecycle.conftest import requests
from tests.lifecycle.postgresql import PostgreSQL
from tests.lifecycle.test_serve import Start as StartGateway
from tests.lifecycle.test_serve import gone
from tests.lifecycle.test_serve import start as gateway
from tests.lifecycle.test_workers import LLMS, Start, slowly, start, until_asked
from tests.server.serving import wait_until

COUNT = 60
# Longer than the leases, which are `LEASE` seconds long.
OUTAGE, LEASE = 1.5, 1.2

__all__ = ["gateway", "start"]


def check_calls(upstream: Upstream, interruptions: int, slots: int) -> None:
    """Check that no call is missing, and that each interruption repeated one in each slot at most."""
    made = Counter((body["model"], str(body["messages"])) for body in upstream.requests)
    assert len(made) == len(LLMS) * COUNT
    assert sum(made.values()) - len(made) <= interruptions * slots, made.most_common(3)
    assert max(made.values()) <= 1 + interruptions


@pytest.fixture
def server() -> Iterator[PostgreSQL]:
    server = PostgreSQL()
    yield server
    server.close()


class TestDatabase:
    @pytest.fixture
    def where(self, server: PostgreSQL) -> str:
        return server.address

    @pytest.mark.processes
    def test_a_job_of_two_workers_outlives_restarts_of_postgresql(
        self, server: PostgreSQL, client: Client, start: Start, upstream: Upstream, tmp_path: Path
    ) -> None:
        upstream.script = slowly(0.05)
        client.judges.create_judge("j", "numeric")
        client.routers.create_router("r", "local/dear")
        job = client.routers.run_training_job("r", "j", LLMS, requests(COUNT), budget_usd=1000)
        workers = [start("--heartbeat-timeout", str(LEASE)) for _ in range(2)]
        # The second time it writes nothing before it ends, and recovers when it starts.
        for how, after in ((signal.SIGINT, 10), (signal.SIGQUIT, 60)):
            until_asked(upstream, after)
            server.stop(how)
            time.sleep(OUTAGE)
            server.start()
        job = client.routers.wait_training_job(job, poll_interval=0.1, poll_timeout=300)
        log = (tmp_path / "worker.log").read_text()
        assert job.status == "SUCCESS", (job.error_message, log)
        assert [worker.poll() for worker in workers] == [None, None]
        check_calls(upstream, 2, 2 * CONCURRENCY)
        assert "the database failed, trying again" in log
        assert "Traceback" not in log


@pytest.mark.parametrize(
    "where", ["sqlite", pytest.param("postgresql", marks=pytest.mark.full)], indirect=True
)
def test_a_restart_finishes_the_job_of_a_gateway_that_was_killed(
    gateway: StartGateway, upstream: Upstream
) -> None:
    upstream.script = slowly(0.03)
    process = gateway()
    with Client(process.url, api_key="key-acme") as client:
        client.judges.create_judge("j", "numeric")
        client.routers.create_router("r", "local/dear")
        job = client.routers.run_training_job("r", "j", LLMS, requests(COUNT), budget_usd=1000)
    until_asked(upstream, 30)
    children = process.processes()
    process.kill()
    process = gateway()
    wait_until(lambda: gone(children), 60)
    with Client(process.url, api_key="key-acme") as client:
        job = client.routers.wait_training_job(job.name, poll_interval=0.1, poll_timeout=300)
        assert job.status == "SUCCESS", (job.error_message, process.log)
        assert job.progress is not None
        assert job.progress.done == job.progress.total == len(LLMS) * COUNT
    check_calls(upstream, 1, CONCURRENCY)
    assert "Traceback" not in process.log
