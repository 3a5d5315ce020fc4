"""Workers as processes of their own: killed, stopped, and one after the other."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from llmrouter_lifecycle import Client
from llmrouter_lifecycle.store.jobs import FAILURE, PROGRAM
from llmrouter_lifecycle.store.schema import calls, jobs, tasks, workers
from llmrouter_lifecycle.training.runner import Runner
from llmrouter_lifecycle.worker import has_worker
from llmrouter_testing.upstream import Upstream
from tests.lifecycle.conftest import answer, home_of, requests

LLMS = ["local/cheap", "local/dear"]

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start(where: str, catalogue: dict[str, Any], tmp_path: Path) -> Iterator[Start]:
    """Start worker processes; they are stopped in the end."""
    started: list[subprocess.Popen[bytes]] = []
    Path("llm.json").write_text(json.dumps(catalogue["data_path"]["llm_data"]))
    config = {**catalogue, "data_path": {"llm_data": "llm.json"}}
    Path("config.yaml").write_text(json.dumps(config))

    def start(*options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "llmrouter_lifecycle.worker", "--config", "config.yaml"]
        with (tmp_path / "worker.log").open("ab") as log:
            process = subprocess.Popen([*command, "--lifecycle", where, *options], stdout=log, stderr=log)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait(300)


def until(condition: Callable[[], Any], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


def until_asked(upstream: Upstream, times: int) -> None:
    until(lambda: len(upstream.requests) >= times)


def slowly(seconds: float) -> Callable[[dict[str, Any]], str]:
    def script(request: dict[str, Any]) -> str:
        time.sleep(seconds)
        return answer(request)

    return script


def rows(client: Client) -> list[tuple[Any, ...]]:
    """What the calls of all jobs gave, but for when."""
    columns = (calls.c.request_index, calls.c.llm, calls.c.kind, calls.c.message, calls.c.score, calls.c.cost)
    with home_of(client).database.read() as connection:
        found = connection.execute(select(*columns)).all()
    return sorted(tuple(row) for row in found)


def test_a_job_survives_kills_and_ends_as_if_there_had_been_none(
    client: Client, start: Start, upstream: Upstream, work: Callable[..., None]
) -> None:
    kills, concurrency = 4, 6

    def at_two_speeds(request: dict[str, Any]) -> str:
        time.sleep(0.004 if request["model"] == "cheap" else 0.012)
        return answer(request)

    upstream.script = at_two_speeds
    judge = client.judges.create_judge("j", "numeric")
    client.routers.create_router("r", "local/dear")
    count = 120
    job = client.routers.run_training_job("r", judge, LLMS, requests(count))
    generator = random.Random(5)
    options = ("--concurrency", str(concurrency), "--heartbeat-timeout", "1.5")
    for kill in range(kills):
        worker = start(*options)
        goal = len(upstream.requests) + generator.randint(5, 30)
        until_asked(upstream, goal)
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait(300)
        assert client.routers.poll_training_job(job).status == "RUNNING", kill
    start(*options)
    job = client.routers.wait_training_job(job, poll_interval=0.1, poll_timeout=300)
    assert job.status == "SUCCESS", job.error_message

    # Each row belongs to its request and its LLM.
    answers = {
        (index, llm): message["content"] for index, llm, kind, message, *_ in rows(client) if kind == "answer"
    }
    assert len(answers) == 2 * count
    for (index, llm), text in answers.items():
        asked = {"model": llm.rpartition("/")[2], "messages": requests(count)[index]["messages"]}
        assert text == answer(asked)
    # No more calls were made twice than were under way.
    made = Counter((body["model"], body["messages"][0]["content"]) for body in upstream.requests)
    assert len(made) == 2 * count
    assert sum(made.values()) - len(made) <= kills * concurrency

    # As an undisturbed run.
    disturbed = rows(client)
    checkpoint = client.routers.get("r").router_spec["router"]["checkpoint"]
    client.routers.delete_training_job(job)
    client.routers.run_training_job("r", judge, LLMS, requests(count))
    until(lambda: client.routers.list_training_jobs()[0].status == "SUCCESS")
    assert rows(client) == disturbed
    assert client.routers.get("r").router_spec["router"]["checkpoint"] == checkpoint


def test_a_stopped_worker_leaves_its_work_to_others_at_once(
    client: Client, start: Start, upstream: Upstream, work: Callable[..., None]
) -> None:
    client.judges.create_judge("j", "numeric")
    client.routers.create_router("r", "local/dear")
    job = client.routers.run_training_job("r", "j", LLMS, requests(60))
    upstream.script = slowly(0.05)
    worker = start()
    until(lambda: len(upstream.requests) > 10)
    worker.terminate()
    assert worker.wait(300) == 0
    with home_of(client).database.read() as connection:
        assert connection.execute(select(workers)).all() == []
        assert set(connection.scalars(select(tasks.c.owner)).all()) == {None}
    upstream.script = answer
    work(client, alone=False)
    assert client.routers.poll_training_job(job).status == "SUCCESS"


def test_an_embedded_client_starts_a_worker_when_a_job_needs_one(
    where: str, catalogue: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with Client(where, config=catalogue) as client:
        judge = client.judges.create_judge("j", "numeric")
        router = client.routers.create_router("r", "local/dear")
        job = client.routers.run_training_job(router, judge, LLMS, requests(20))
        try:
            assert "started a worker" in caplog.text
            job = client.routers.wait_training_job(job.name, poll_interval=0.1, poll_timeout=300)
            assert job.status == "SUCCESS", job.error_message
            assert has_worker(home_of(client).database)
        finally:
            client._backend._process.terminate()  # type: ignore[attr-defined]
            client._backend._process.wait(300)  # type: ignore[attr-defined]


def test_two_workers_share_a_job_and_one_takes_over_from_the_other(
    client: Client, start: Start, upstream: Upstream, where: str
) -> None:
    if not where.startswith("postgresql"):
        pytest.skip("on SQLite one worker runs at a time, as the next test shows")
    upstream.script = slowly(0.01)
    client.judges.create_judge("j", "numeric")
    client.routers.create_router("r", "local/dear")
    job = client.routers.run_training_job("r", "j", LLMS, requests(300))
    options = ("--heartbeat-timeout", "2", "--concurrency", "4")
    first, _ = start(*options), start(*options)

    def owners() -> set[Any]:
        with home_of(client).database.read() as connection:
            return set(connection.scalars(select(tasks.c.owner)).all()) - {None}

    until(lambda: len(owners()) == 2)
    os.kill(first.pid, signal.SIGKILL)
    first.wait(300)
    job = client.routers.wait_training_job(job, poll_interval=0.1, poll_timeout=300)
    assert job.status == "SUCCESS", job.error_message
    assert len(rows(client)) == 2 * 2 * 300


def test_on_sqlite_one_worker_runs_at_a_time(client: Client, start: Start, where: str) -> None:
    if where.startswith("postgresql"):
        pytest.skip("on PostgreSQL several run, as the test before shows")
    database = home_of(client).database
    first = start()
    until(lambda: has_worker(database))
    assert start().wait(300) == 0
    assert first.poll() is None
    os.kill(first.pid, signal.SIGKILL)
    first.wait(300)
    # A lock, unlike a file that says there is a worker, ends with its process.
    assert not has_worker(database)


def test_live_work_is_not_done_by_another_process(client: Client, upstream: Upstream) -> None:
    """Two workers at once make each call once, whichever of them made it."""
    client.judges.create_judge("j", "numeric")
    client.routers.create_router("r", "local/dear")
    client.routers.run_training_job("r", "j", LLMS, requests(200))
    home = home_of(client)
    runners = [Runner(home.database, home.models, idle=0) for _ in range(2)]
    threads = [threading.Thread(target=runner.run) for runner in runners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    made = Counter((body["model"], body["messages"][0]["content"]) for body in upstream.requests)
    assert set(made.values()) == {1}
    assert len(made) == 400
    assert client.routers.list_training_jobs()[0].status == "SUCCESS"


def test_a_worker_that_was_given_up_stops_and_comes_back(
    client: Client, upstream: Upstream, work: Callable[..., None]
) -> None:
    client.judges.create_judge("j", "numeric")
    client.routers.create_router("r", "local/dear")
    job = client.routers.run_training_job("r", "j", LLMS, requests(60))
    home = home_of(client)

    def give_up(request: dict[str, Any]) -> str:
        if len(upstream.requests) == 20:
            with home.database.write() as connection:
                connection.execute(workers.delete())
                connection.execute(update(tasks).values(owner="another", lease_until=0.0))
        return answer(request)

    upstream.script = give_up
    work(client, alone=False, heartbeat_timeout=1)
    assert client.routers.poll_training_job(job).status == "SUCCESS"


class Trap:
    """Runs something when it is unpickled."""

    def __reduce__(self) -> Any:
        return (Path("trapped").touch, ())


def test_nothing_in_the_database_is_ever_run(client: Client, work: Callable[..., None]) -> None:
    import base64
    import pickle

    client.judges.create_judge("j", "numeric")
    client.routers.create_router("r", "local/dear")
    job = client.routers.run_training_job("r", "j", LLMS, requests(60))
    trap = pickle.dumps(Trap())
    pickle.loads(trap)
    assert Path("trapped").exists()
    Path("trapped").unlink()
    text = base64.b64encode(trap).decode()
    row = {"org": "local", "job": job.id, "request_index": 0, "llm": "local/cheap", "kind": "answer"}
    message = {"role": "assistant", "content": text, "py/reduce": text}
    with home_of(client).database.write() as connection:
        connection.execute(insert(calls).values(**row, ended=0.0, message=message, cost=0.0))
        connection.execute(update(jobs).values(options={**_options(connection), "pickled": text}))
    work(client)
    assert client.routers.poll_training_job(job).status == "SUCCESS"
    assert not Path("trapped").exists()


def _options(connection: Any) -> dict[str, Any]:
    found: dict[str, Any] = connection.scalar(select(jobs.c.options))
    return found


def test_a_job_of_another_release_that_is_known_is_finished(
    client: Client, work: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    client.judges.create_judge("j", "numeric")
    client.routers.create_router("r", "local/dear")
    job = client.routers.run_training_job("r", "j", LLMS, requests(60))
    monkeypatch.setattr("llmrouter_lifecycle.store.jobs.PROGRAMS", frozenset({PROGRAM, "lifecycle-0"}))
    with home_of(client).database.write() as connection:
        connection.execute(update(jobs).values(program="lifecycle-0"))
    work(client)
    assert client.routers.poll_training_job(job).status == "SUCCESS"


def test_a_job_of_a_release_that_is_not_known_fails_with_the_reason_and_may_be_retried(
    client: Client, work: Callable[..., None]
) -> None:
    client.judges.create_judge("j", "numeric")
    client.routers.create_router("r", "local/dear")
    job = client.routers.run_training_job("r", "j", LLMS, requests(60))
    with home_of(client).database.write() as connection:
        connection.execute(update(jobs).values(program="lifecycle-99"))
    work(client)
    job = client.routers.poll_training_job(job)
    assert job.status == FAILURE
    assert "lifecycle-99" in (job.error_message or "")
    client.routers.retry_training_job(job)
    work(client)
    assert client.routers.poll_training_job(job).status == "SUCCESS"
