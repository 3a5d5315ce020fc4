"""Each statement of a job's life fails; the job ends all the same, with every call made once."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import select

from llmrouter_lifecycle import Client
from llmrouter_lifecycle.models import Models
from llmrouter_lifecycle.store.database import Database
from llmrouter_lifecycle.store.schema import calls, reservations, tasks
from llmrouter_lifecycle.training.persistence import Backoff
from llmrouter_lifecycle.training.runner import Runner
from llmrouter_testing.upstream import Upstream
from tests.faults.database import AFTER_COMMIT, BEGIN, COMMIT, FaultyDatabase, Once, Outage
from tests.lifecycle.conftest import home_of, requests

LLMS = ["local/cheap", "local/dear"]
COUNT = 10
OUTAGE = 2.0

Live = Callable[[Callable[[str], bool]], FaultyDatabase]


@pytest.fixture
def live(
    client: Client, where: str, catalogue: dict[str, Any], upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Live]:
    """Let a worker whose database fails do a job of three tasks; see that nothing is lost or done twice."""
    monkeypatch.setattr("llmrouter_lifecycle.store.jobs.SHARD", 4)
    client.judges.create_judge("j", "numeric")
    client.routers.create_router("r", "local/dear")
    models = Models(catalogue)

    def live(fails: Callable[[str], bool]) -> FaultyDatabase:
        upstream.requests.clear()
        job = client.routers.run_training_job("r", "j", LLMS, requests(COUNT), budget_usd=1000)
        database = Database(where)
        faulty = FaultyDatabase(database, fails)
        try:
            Runner(
                database,
                models,
                alone=not where.startswith("postgresql"),
                heartbeat_timeout=1.2,
                idle=0,
                backoff=Backoff(0.01, 0.1),
            ).run()
        finally:
            database.close()
        check(client, client.routers.poll_training_job(job), upstream)
        return faulty

    yield live
    if "client" in models.__dict__:
        models.client.close()


def check(client: Client, job: Any, upstream: Upstream) -> None:
    assert job.status == "SUCCESS", job.error_message
    made = Counter((body["model"], body["messages"][0]["content"]) for body in upstream.requests)
    assert len(made) == len(LLMS) * COUNT
    assert set(made.values()) == {1}
    with home_of(client).database.read() as connection:
        found = connection.execute(select(calls.c.kind, calls.c.cost).where(calls.c.job == job.id)).all()
        assert Counter(kind for kind, _ in found) == {"answer": 2 * COUNT, "judge": 2 * COUNT}
        assert connection.execute(select(tasks)).all() == []
        assert connection.execute(select(reservations)).all() == []
    assert job.progress.done == 2 * COUNT
    assert math.isclose(job.progress.spent_usd, sum(cost for _, cost in found))


def test_each_statement_may_fail_once(live: Live) -> None:
    faulty = live(Once())
    assert faulty.failures == len(faulty.kinds) > 25


def test_commits_may_fail_again_and_again_and_the_answers_to_them_be_lost(live: Live) -> None:
    generator = random.Random(3)
    ends = (COMMIT, AFTER_COMMIT)
    assert live(lambda kind: kind in ends and generator.random() < 0.3).failures > 10


@pytest.mark.parametrize("kind", [BEGIN, COMMIT, AFTER_COMMIT])
def test_the_database_may_be_away_for_longer_than_a_lease(live: Live, kind: str) -> None:
    assert live(Outage(kind, OUTAGE)).failures > 1


@pytest.mark.full
def test_each_statement_alone_may_fail_once_and_for_a_while(live: Live) -> None:
    kinds = live(lambda kind: False).kinds
    assert len(kinds) > 25
    for kind in kinds:
        for fails in (Once(kind), Outage(kind, OUTAGE)):
            faulty = live(fails)
            # Some statements come only if a worker is slow, as the one that renews a lease.
            assert faulty.failures or kind not in faulty.kinds, kind
