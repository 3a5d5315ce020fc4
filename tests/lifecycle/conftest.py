"""Databases, LLMs of clearly different quality, and clients on both."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llmrouter_lifecycle import Client
from llmrouter_lifecycle.client.backends import Embedded
from llmrouter_lifecycle.home import Home
from llmrouter_lifecycle.training.runner import Runner
from llmrouter_testing.upstream import Upstream
from tests.lifecycle.postgresql import PostgreSQL


@pytest.fixture
def hidden() -> tuple[str, ...]:
    return ("llmrouter-threshold",)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """Run a PostgreSQL server in a temporary folder; returns the address of its first database."""
    server = PostgreSQL()
    yield server.address
    server.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.processes)])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database: the path of a file, or the address on a server."""
    if request.param == "sqlite":
        return str(tmp_path / "lifecycle.sqlite")
    import psycopg

    server: str = request.getfixturevalue("postgresql_server")
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.replace("/postgres?", f"/{name}?")


def answer(request: dict[str, Any]) -> str:
    """What the LLMs say to "… plus one: N": the cheap one is right where the question is easy."""
    question = request["messages"][-1]["content"]
    number = int(question.split()[-1])
    if request["model"] == "cheap" and question.startswith("Prove"):
        return "I do not know."
    return f"It is {number + 1}."


def requests(count: int) -> list[dict[str, Any]]:
    """Requests to train on, half of them hard, each with the answer that is right."""
    words = ("Say plainly what comes after", "Prove by induction over the integers what follows")
    return [
        {
            "messages": [{"role": "user", "content": f"{words[number % 2]} {number}"}],
            "reference": str(number + 1),
        }
        for number in range(count)
    ]


@pytest.fixture
def catalogue(upstream: Upstream) -> dict[str, Any]:
    """A configuration with a cheap LLM that is right where it is easy, and a dear one that always is."""
    upstream.script = answer
    known = {"service": "local", "api_endpoint": upstream.url}
    return {
        "services": {"local": {"concurrency": 8}},
        "data_path": {
            "llm_data": {
                "local/cheap": {**known, "input_price": 0.1, "output_price": 0.2},
                "local/dear": {**known, "input_price": 10, "output_price": 20},
                "local/free": {**known},
            }
        },
    }


@pytest.fixture
def client(where: str, catalogue: dict[str, Any]) -> Iterator[Client]:
    """A client that starts no worker by itself."""
    with Client(where, config=catalogue, worker=False) as client:
        yield client


def home_of(client: Client) -> Home:
    """Where an embedded client's lifecycle lives."""
    backend = client._backend
    assert isinstance(backend, Embedded)
    return backend.home


@pytest.fixture
def work() -> Callable[..., None]:
    """Do all jobs of a client, in this process."""

    def work(client: Client, **options: Any) -> None:
        home = home_of(client)
        Runner(home.database, home.models, **{"idle": 0, "alone": True, **options}).run()

    return work
