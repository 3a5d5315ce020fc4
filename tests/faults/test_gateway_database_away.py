"""While the database is away the gateway answers 503 with Retry-After, says so at /readyz, and recovers."""

from __future__ import annotations

import shutil
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from llmrouter_lifecycle import Client
from llmrouter_lifecycle.client import remote
from llmrouter_lifecycle.errors import StoreError
from llmrouter_lifecycle.store.database import Database
from llmrouter_testing.upstream import Upstream
from tests.faults.test_lifecycle_input import POINT
from tests.lifecycle.server import Server, write_config, write_keys
from tests.server.serving import MESSAGES

KEY = {"Authorization": "Bearer key-acme"}
ROUTERS = "/v1/organizations/acme/routers"


@pytest.fixture
def server(where: str, catalogue: dict[str, Any], tmp_path: Path, upstream: Upstream) -> Iterator[Server]:
    """A gateway with a lifecycle, and a key with a budget."""
    upstream.script = lambda request: "fine"
    keys = write_keys(tmp_path / "keys.json", [("key-acme", "acme", 5.0)])
    server = Server(where, write_config(tmp_path / "config.yaml", catalogue), keys)
    yield server
    server.close()


def break_database(server: Server) -> Callable[[], None]:
    """Let each statement fail, as if nobody listened any more; returns what mends it."""
    assert server.gateway.lifecycle is not None
    engine = server.gateway.lifecycle.home.database.engine

    def fail(*_: Any) -> None:
        raise OperationalError("SELECT secret", {}, sqlite3.OperationalError("the server is away"))

    event.listen(engine, "before_cursor_execute", fail)
    return lambda: event.remove(engine, "before_cursor_execute", fail)


def ask(server: Server) -> dict[str, Any]:
    """Return what each kind of request that needs the database is answered with."""
    http, chat = server.client, {"model": "local/cheap", "messages": MESSAGES, "max_tokens": 5}
    again = {**KEY, "Idempotency-Key": "k"}
    return {
        "a router": http.get(f"{ROUTERS}/none", headers=KEY),
        "the models": http.get("/v1/models", headers=KEY),
        "the credits": http.get("/organizations/acme/credits", headers=KEY),
        "a budget": http.post("/v1/chat/completions", json=chat, headers=KEY),
        "a claim": http.post("/openai/v2/chat/completions", json=chat, headers=again),
        "a repeated POST": http.post(f"{ROUTERS}?routerId=r", json={}, headers=again),
        "a router that answers": http.post(
            "/openai/v2/chat/completions", json={**chat, "model": "organizations/acme/routers/r"}, headers=KEY
        ),
    }


def test_all_that_needs_the_database_is_a_503_and_recovers(server: Server) -> None:
    mend = break_database(server)
    for what, response in ask(server).items():
        assert response.status_code == 503, (what, response.text)
        assert int(response.headers["retry-after"]) > 0, what
        assert response.json()["error"]["code"] == "database_unavailable", what
        assert "secret" not in response.text
    ready = server.client.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (503, "unavailable")
    assert "the server is away" in ready.json()["problems"]["database"]
    assert server.client.get("/healthz").status_code == 200
    mend()
    assert {response.status_code for response in ask(server).values()} <= {200, 400, 404}
    assert "database" not in server.client.get("/readyz").json()["problems"]


@pytest.mark.parametrize("where", ["sqlite"], indirect=True)
@pytest.mark.parametrize("replaced", [False, True])
def test_a_database_file_that_was_deleted_or_replaced_is_noticed(
    server: Server, where: str, replaced: bool
) -> None:
    assert server.client.get(ROUTERS, headers=KEY).status_code == 200
    path = Path(where)
    kept = path.with_name("kept")
    shutil.copy(path, kept)
    path.rename(path.with_name("moved"))
    if replaced:
        kept.rename(path)
    for what, response in ask(server).items():
        assert response.status_code == 503, (what, response.text)
    ready = server.client.get("/readyz")
    assert ready.status_code == 503
    assert "was deleted or replaced" in ready.json()["problems"]["database"]
    # No empty file is made in its place.
    assert path.exists() == replaced
    path.unlink(missing_ok=True)
    path.with_name("moved").rename(path)
    assert server.client.get(ROUTERS, headers=KEY).status_code == 200


def test_a_client_tries_again_what_may_be_repeated_and_then_says_why(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    mend: list[Callable[[], None]] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2 and mend:
            mend.pop()()

    with Client(server.url, api_key="key-acme") as client:
        client.routers.create_router("r", "local/cheap")
        monkeypatch.setattr(time, "sleep", sleep)
        mend.append(break_database(server))
        assert client.routers.get("r").id == "r"
        assert pauses == [2.0, 2.0]
        pauses.clear()
        unmend = break_database(server)
        with pytest.raises(StoreError, match="away"):
            client.routers.get("r")
        assert len(pauses) == remote.RETRIES
        pauses.clear()
        # It would add a version each time.
        with pytest.raises(StoreError):
            client.routers.update_router("r", {"points": [POINT]})
        assert pauses == []
        unmend()


def test_a_server_that_does_not_answer_is_not_waited_for(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        started = time.monotonic()
        with pytest.raises(StoreError):
            Database(f"postgresql://u@127.0.0.1:{port}/d?connect_timeout=2")
        assert time.monotonic() - started < 20
