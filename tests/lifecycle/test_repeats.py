"""Requests that bear a key, and are done once."""

from __future__ import annotations

import gc
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import select, update

from llmrouter_lifecycle import Client, ConflictError, InvalidParameterError, repeats
from llmrouter_lifecycle.api import Api
from llmrouter_lifecycle.home import Caller, Home
from llmrouter_lifecycle.repeats import LEASE, Claim, Reply, claim
from llmrouter_lifecycle.rest import handle
from llmrouter_lifecycle.store.database import Database
from llmrouter_lifecycle.store.schema import replies
from tests.faults.database import AFTER_COMMIT, COMMIT, FaultyDatabase, Once
from tests.lifecycle.conftest import home_of, requests

REQUEST: tuple[Any, ...] = (Caller(), "/chat", {}, b"{}", "k")
ROOT = "/v1/organizations/local"
POINT = {"point": {"x": 0, "y": 0}, "executor": {"spec": {"executor_type": "ModelExecutor"}}}


@pytest.fixture
def database(where: str) -> Iterator[Database]:
    database = Database(where)
    yield database
    database.close()


def first_claim(database: Database) -> Claim:
    found = claim(database, *REQUEST)
    assert isinstance(found, Claim)
    return found


def test_the_second_of_two_is_told_to_wait_and_then_gets_the_first_answer(database: Database) -> None:
    first = first_claim(database)
    with pytest.raises(ConflictError):
        claim(database, *REQUEST)
    first.keep(Reply(200, {"x": 1}))
    assert claim(database, *REQUEST) == Reply(200, {"x": 1})
    with pytest.raises(InvalidParameterError):
        claim(database, Caller(), "/chat", {}, b"[]", "k")


def test_what_failed_or_was_never_answered_is_done_again(database: Database) -> None:
    first_claim(database).release()
    killed = first_claim(database)
    # Its process was killed, and its lease expired.
    with database.write() as connection:
        past = time.time() - LEASE - 10
        connection.execute(update(replies).values(created=past, lease_until=past))
    again = first_claim(database)
    # An answer that comes too late changes nothing.
    killed.keep(Reply(200, "late"))
    again.keep(Reply(200, "answer"))
    assert claim(database, *REQUEST) == Reply(200, "answer")


def test_the_lease_of_a_request_in_flight_is_renewed(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeats, "RENEWAL", 0.05)
    first = first_claim(database)
    with database.write() as connection:
        connection.execute(update(replies).values(lease_until=0.0))

    def renewed() -> bool:
        with database.read() as connection:
            return (connection.scalar(select(replies.c.lease_until)) or 0) > time.time()

    until(renewed)
    # A request that is given up is not renewed, and leaves no thread behind.
    del first
    gc.collect()
    until(lambda: not any(thread.name == "llmrouter-replies" for thread in threading.enumerate()))


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_an_answer_that_cannot_be_kept_is_kept_as_soon_as_the_database_is_back(
    database: Database, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeats, "PAUSE", 0.05)
    first = first_claim(database)
    away = True
    faulty = FaultyDatabase(database, lambda kind: away)
    first.keep(Reply(200, "paid"))
    until(lambda: faulty.failures > 3)
    other = Database(where)
    with pytest.raises(ConflictError):
        claim(other, *REQUEST)
    away = False

    def kept() -> bool:
        with other.read() as connection:
            return connection.scalar(select(replies.c.status)) == 200

    until(kept)
    assert claim(other, *REQUEST) == Reply(200, "paid")
    other.close()


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_a_key_has_a_length(tmp_path: object, key: str) -> None:
    database = Database(f"{tmp_path}/x.sqlite")
    with pytest.raises(InvalidParameterError, match="Idempotency-Key"):
        claim(database, Caller(), "/chat", {}, b"{}", key)
    database.close()


def job_body(client: Client) -> bytes:
    client.judges.create_judge("j", "numeric")
    client.routers.create_router("r", "local/dear")
    body = {
        "routerName": f"{ROOT[4:]}/routers/r",
        "judgeName": f"{ROOT[4:]}/judges/j",
        "llms": ["local/dear"],
        "requests": requests(3),
    }
    return json.dumps(body).encode()


def post(home: Home, path: str, body: bytes, key: str = "k", **query: str) -> Reply:
    return handle(Api(home), Caller(), "POST", f"{ROOT}{path}", query, body, key)


def test_a_job_is_created_once_whichever_statement_fails(client: Client, where: str) -> None:
    """Work and answer are one transaction: a failure in between undoes both."""
    body = job_body(client)
    home = home_of(client)
    faulty = FaultyDatabase(home.database)
    assert post(home, "/router_training_jobs", body, "recorded").status == 200
    for number, kind in enumerate([*faulty.kinds]):
        key = f"key {number}"
        before = {job.id for job in home.jobs.list("local")}
        faulty.fails = Once(kind)
        answers = []
        for _ in range(3):
            try:
                answers.append(post(home, "/router_training_jobs", body, key))
            except Exception:  # the first, unless something above turns it into a reply
                continue
        faulty.fails = lambda kind: False
        good = [reply for reply in answers if reply.status == 200]
        assert len(good) >= 2, kind
        assert all(reply == good[0] for reply in good), kind
        assert len({job.id for job in home.jobs.list("local")} - before) == 1, kind
    assert {COMMIT, AFTER_COMMIT} <= set(faulty.kinds)


def test_requests_that_come_at_once_create_one_job(client: Client) -> None:
    body, home = job_body(client), home_of(client)
    found: list[Reply] = []
    threads = [
        threading.Thread(target=lambda: found.append(post(home, "/router_training_jobs", body)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 6
    assert all(reply == found[0] and reply.status == 200 for reply in found)
    assert len(client.routers.list_training_jobs()) == 1


def test_a_refusal_is_kept_and_what_it_had_written_is_not(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    body, home = job_body(client), home_of(client)
    create = home.jobs.create

    def fail(*arguments: Any) -> Any:
        create(*arguments)
        raise ConflictError("after all")

    monkeypatch.setattr(home.jobs, "create", fail)
    refused = post(home, "/router_training_jobs", body)
    assert refused.status == 409
    monkeypatch.undo()
    assert post(home, "/router_training_jobs", body) == refused
    assert client.routers.list_training_jobs() == []
    assert post(home, "/router_training_jobs", body, "another").status == 200
