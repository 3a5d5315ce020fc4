"""The command line: routers, judges and jobs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lifecycle.conftest import requests

Invoke = Callable[..., Any]


@pytest.fixture(autouse=True)
def project(catalogue: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A configuration, an SQLite file, and requests to train on."""
    Path("llm.json").write_text(json.dumps(catalogue["data_path"]["llm_data"]))
    Path("config.yaml").write_text("data_path: {llm_data: llm.json}\n")
    rows = [
        {"query": row["messages"][0]["content"], "ground_truth": row["reference"]} for row in requests(60)
    ]
    Path("requests.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setenv("LLMROUTER_CONFIG", "config.yaml")
    monkeypatch.setenv("LLMROUTER_LIFECYCLE", "lifecycle.sqlite")
    yield
    # The worker that a job needed; its id is the first thing that it writes down.
    log = Path("lifecycle.sqlite.worker.log")
    if log.exists():
        for line in log.read_text().splitlines():
            if " INFO worker " in line:
                pid = int(line.partition(" INFO worker ")[2].split(":")[1])
                try:
                    os.kill(pid, signal.SIGTERM)
                except ProcessLookupError:
                    continue


@pytest.fixture
def start() -> list[str]:
    llms = ["--llm", "local/cheap", "--llm", "local/dear"]
    return ["jobs", "start", "--router", "r", "--judge", "j", *llms, "--requests", "requests.jsonl"]


def test_a_router_s_life_on_the_command_line(invoke: Invoke, start: list[str]) -> None:
    created = invoke("routers", "create", "r", "--base-model", "local/dear", "--description", "d")
    assert (created.status, created.json["id"], created.json["version"]) == (0, "r", 1)
    assert invoke("judges", "create", "j", "--spec", "numeric").json["judge_spec"] == {
        "model_type": "numeric"
    }
    assert invoke(*start, "--estimate").json["calls"] == 120
    done = invoke(*start)
    assert done.status == 0, done.err
    assert done.json["status"] == "SUCCESS"
    job = done.json["id"]
    found = invoke("jobs", "results", job, "--plot", "frontier.svg").json
    assert found["llms"]["local/cheap"]["mean_score"] == 0.5
    assert Path("frontier.svg").stat().st_size
    assert [each["id"] for each in invoke("jobs", "list", "--json").json] == [job]
    assert invoke("jobs", "wait", job).status == 0
    assert invoke("routers", "show", "r").json["version"] == 2
    assert [each["version"] for each in invoke("routers", "show", "r", "--versions").json] == [2, 1]
    hard = "Prove by induction over the integers what follows 7"
    answer = invoke("routers", "run", "r", hard, "--min-quality", "0.8")
    assert answer.out == "It is 8.\n"
    assert answer.err.startswith("local/dear, ")
    cheap = invoke("routers", "run", "r", hard, "--max-cost", "local/cheap", "--json").json
    assert cheap["model"] == "local/cheap"
    assert invoke("jobs", "delete", job).status == 0
    assert invoke("jobs", "list").json == []
    assert invoke("routers", "delete", "r").status == 0
    assert invoke("routers", "list").json == []


def test_a_detached_job_is_cancelled_and_retried(invoke: Invoke, start: list[str]) -> None:
    invoke("routers", "create", "r", "--base-model", "local/dear")
    invoke("judges", "create", "j", "--spec", "numeric")
    started = invoke(*start, "--detach")
    assert (started.status, started.json["status"]) == (0, "RUNNING")
    cancelled = invoke("jobs", "cancel", started.json["id"]).json
    assert cancelled["status"] == "FAILURE_WITHOUT_RETRY"
    assert invoke("jobs", "show", started.json["id"]).json == cancelled
    assert invoke("jobs", "wait", started.json["id"]).status == 1
    again = invoke("jobs", "retry", started.json["id"], "--budget", "5")
    assert (again.status, again.json["status"], again.json["retry_count"]) == (0, "SUCCESS", 1)
    refused = invoke("jobs", "retry", started.json["id"])
    assert (refused.status, refused.out) == (1, "")
    assert "only one that failed or was cancelled can be retried" in refused.err


def test_judges_on_the_command_line(invoke: Invoke) -> None:
    spec = {"model_type": "rubric_judge", "rubric": "R", "model": "dear", "min_score": 1, "max_score": 5}
    Path("spec.json").write_text(json.dumps(spec))
    assert invoke("judges", "create", "j", "--spec", "spec.json").json["judge_spec"]["model"] == "local/dear"
    assert "assistant: five" in invoke("judges", "evaluate", "j", "2+3?", "five", "--prompt").out
    updated = invoke("judges", "update", "j", "--spec", "exact_match").json
    assert updated["version"] == 2
    found = invoke("judges", "evaluate", "j", "2+3?", "5", "--reference", "5").json
    assert found["score"] == 1
    assert len(invoke("judges", "show", "j", "--versions").json) == 2
    assert invoke("judges", "delete", "j").status == 0


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["routers", "show", "none"], "router 'none' does not exist"),
        (["routers", "create", "r", "--base-model", "gpt-0"], "no LLM is named 'gpt-0'"),
        (["routers", "update", "r", "--spec", "none.json"], "none.json"),
        (["judges", "create", "j", "--spec", "magic"], "no judge 'magic'"),
        (["judges", "create", "j", "--spec", "bomb.yaml"], "bomb.yaml: its aliases stand for more than"),
        (["routers", "update", "r", "--spec", "twice.json"], "twice.json:2: points: stands twice"),
        (["routers", "update", "r", "--spec", "twice.yaml"], "twice.yaml:2: points: stands twice"),
        (["jobs", "show", "none"], "training job 'none' does not exist"),
        (["jobs", "worker", "--lifecycle", "http://127.0.0.1:1"], "needs the database"),
        (["routers", "list", "--lifecycle", "http://127.0.0.1:1"], "api_key"),
    ],
)
def test_a_mistake_is_one_sentence(invoke: Invoke, arguments: list[str], problem: str) -> None:
    Path("bomb.yaml").write_text("a: &a [*a]\n")
    Path("twice.json").write_text('{"points": [],\n"points": []}')
    Path("twice.yaml").write_text("points: []\npoints: []\n")
    found = invoke(*arguments)
    assert (found.status, found.out) == (1, "")
    assert problem in found.err
    assert "Traceback" not in found.err


def test_a_worker_on_the_command_line_does_jobs(invoke: Invoke, start: list[str]) -> None:
    from llmrouter_lifecycle import Client

    with Client("lifecycle.sqlite", config="config.yaml", worker=False) as client:
        client.routers.create_router("r", "local/dear")
        client.judges.create_judge("j", "numeric")
        client.routers.run_training_job("r", "j", ["local/dear"], requests(10))
        command = Path(sys.executable).with_name("llmrouter")
        subprocess.run([str(command), "jobs", "worker", "--idle", "0"], check=True, timeout=300)
        assert client.routers.list_training_jobs()[0].status == "SUCCESS"
