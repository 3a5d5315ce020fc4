"""Databases, LLMs of clearly different quality, and clients on both."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
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


@pytest.fixture
def hidden() -> tuple[str, ...]:
    return ("llmrouter-threshold",)


def _program(name: str) -> str | None:
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name)
    for folder in reversed(folders):
        if (folder / name).exists():
            return str(folder / name)
    return shutil.which(name)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """Run a PostgreSQL server in a temporary folder; returns the address of its first database."""
    initdb, postgres = _program("initdb"), _program("postgres")
    if initdb is None or postgres is None:
        missing = "PostgreSQL is not installed; run: apt-get install postgresql"
        # Where changes are judged, it has to be there.
        assert "CI" not in os.environ, missing
        pytest.skip(missing)
    # It refuses to run as root.
    user = "postgres" if os.getuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="llmrouter-pg-"))
    try:
        if user is not None:
            entry = pwd.getpwnam(user)
            os.chown(folder, entry.pw_uid, entry.pw_gid)
        data = folder / "data"
        options: dict[str, Any] = {"user": user, "cwd": folder, "stdout": subprocess.DEVNULL}
        setup = [initdb, "-D", str(data), "-U", "llmrouter", "--auth=trust", "--no-sync", "-E", "UTF8"]
        subprocess.run(setup, check=True, **options)
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                # Reached through a socket in the folder, so that no port can be taken. Not durable: quicker.
                [postgres, "-D", str(data), "-k", str(folder), "-h", "", "-F", "-c", "max_connections=200"],
                **{**options, "stdout": log, "stderr": log},
            )
            try:
                address = f"postgresql://llmrouter@/postgres?host={folder}"
                _wait_for(address, server, folder / "log")
                yield address
            finally:
                # Without waiting for clients to leave, as it does when terminated.
                server.send_signal(signal.SIGINT)
                server.wait(300)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    import psycopg

    for _ in range(300):
        try:
            psycopg.connect(address).close()
        except psycopg.OperationalError:
            assert server.poll() is None, log.read_text()
            time.sleep(0.05)
        else:
            return
    raise AssertionError(log.read_text())


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
