"""``llmrouter serve --lifecycle`` as it runs: processes that answer, and one that does the jobs."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from llmrouter_lifecycle import (
    Client,
    InvalidParameterError,
    Judge,
    ResourceAlreadyExistsError,
    ResourceNotFoundError,
    Router,
    cost_at_most,
    quality_at_least,
)
from llmrouter_lifecycle.api import ROUTES
from llmrouter_lifecycle.errors import AuthenticationError
from llmrouter_testing.upstream import Upstream
from tests.lifecycle.conftest import answer, requests
from tests.lifecycle.server import write_config, write_keys
from tests.server.serving import wait_until
from tests.timing import allowed

LLMS = ["local/cheap", "local/dear"]
RUBRIC = {
    "model_type": "rubric_judge",
    "rubric": "Is ${number} followed by the right number?",
    "model": "local/judge",
    "min_score": 0,
    "max_score": 10,
    "prescript": "Judge ${answer} ",
    "extract_variables": {
        "model_type": "combined_extractor",
        "extractors": [
            {
                "model_type": "regex_extractor",
                "extraction_fields": [
                    {
                        "name": "number",
                        "field_type": "STRING",
                        "required": True,
                        "extraction_pattern": r"(\d+)",
                    }
                ],
            },
            {
                "model_type": "response_regex_extractor",
                "extraction_fields": [
                    {"name": "answer", "field_type": "STRING", "required": True, "extraction_pattern": None}
                ],
            },
            {"model_type": "default_extractor"},
        ],
    },
}


class Process:
    """The command, running.

    Attributes:
        url: Its address.
    """

    def __init__(self, where: str, config: Path, keys: Path, *options: str) -> None:
        self._log = keys.with_name("serve.log")
        command = [str(Path(sys.executable).with_name("llmrouter")), "serve", "--config", str(config)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "--lifecycle", where, "--keys-file", str(keys), "--port", "0", *options],
                stderr=log,
            )
        wait_until(lambda: self._find() is not None or self._process.poll() is not None, 30)
        found = self._find()
        assert found is not None, self.log
        self.url = found[1]

    @property
    def log(self) -> str:
        """What it said so far."""
        return self._log.read_text()

    def _find(self) -> re.Match[str] | None:
        return re.search(r"on (http://\S+)", self.log)

    def processes(self, module: str = "") -> list[int]:
        """Return the process ids of its children whose command names a module."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == self._process.pid and module in (folder / "cmdline").read_text():
                    found.append(int(folder.name))
        return found

    def hang_up(self) -> None:
        """Tell it to read its configuration again."""
        self._process.send_signal(signal.SIGHUP)

    def kill(self) -> None:
        """End it at once, which it cannot notice."""
        self._process.kill()
        self._process.wait(300)

    def close(self) -> int:
        """Stop it; returns its exit status."""
        self._process.terminate()
        return self._process.wait(300)


Start = Callable[..., Process]


@pytest.fixture
def start(where: str, catalogue: dict[str, Any], upstream: Upstream, tmp_path: Path) -> Iterator[Start]:
    """Start the command, with LLMs that answer and one that judges."""

    def script(request: dict[str, Any]) -> str:
        told = request["messages"][-1]["content"]
        if request["model"] != "judge":
            return answer(request)
        number = re.search(r"Is (\d+) followed", told)
        assert number is not None
        right = f"Judge It is {int(number[1]) + 1}." in told
        return f"<rationale>compared</rationale><score>{10 if right else 0}</score>"

    upstream.script = script
    llms = catalogue["data_path"]["llm_data"]
    llms["local/judge"] = dict(llms["local/cheap"])
    config = write_config(tmp_path / "config.yaml", catalogue)
    keys = [("key-acme", "acme", None), ("key-poor", "acme", 5.0), ("key-other", "other", None)]
    keys_file = write_keys(tmp_path / "keys.json", keys)
    with contextlib.ExitStack() as running:

        def start(*options: str) -> Process:
            process = Process(where, config, keys_file, *options)
            running.callback(process.close)
            return process

        yield start


def gone(processes: list[int]) -> bool:
    return not any(Path(f"/proc/{process}").exists() for process in processes)


def test_a_client_session_with_two_workers(start: Start) -> None:
    process = start("--workers", "2")
    with Client(process.url, api_key="key-acme") as client, Client(process.url, api_key="key-other") as other:
        judge = judges_of(client)
        router = routers_before(client, other, process.url)
        job = client.routers.run_training_job(router, judge, LLMS, requests(60))
        with pytest.raises(ResourceNotFoundError):
            other.routers.poll_training_job(job.name)
        job = client.routers.wait_training_job(job.name, poll_interval=0.1, poll_timeout=300)
        assert job.status == "SUCCESS", job.error_message
        assert client.routers.training_results(job).router_version == 3
        routers_after(client, router)
        with pytest.raises(ResourceNotFoundError):
            other.routers.run("organizations/acme/routers/r", None, requests(1)[0])
    with pytest.raises(AuthenticationError):
        Client(process.url, api_key="nonsense")
    with Client(process.url, api_key="key-poor") as poor:
        before = poor.credits
        told = poor.routers.run("r", cost_at_most(1), requests(2)[1])
        assert poor.credits == pytest.approx(before - told.to_dict()["cost"])  # type: ignore[operator]
    children = process.processes()
    assert len(children) == 3
    assert process.close() == 0
    assert gone(children)


def judges_of(client: Client) -> Judge:
    """Do what there is to do with judges; returns one with two versions."""
    with pytest.raises(ResourceNotFoundError):
        client.judges.get("j")
    blind: dict[str, Any] = {**RUBRIC, "prescript": "Judge nothing. "}
    first = client.judges.create_judge("j", blind)
    with pytest.raises(ResourceAlreadyExistsError):
        client.judges.create_judge("j", RUBRIC)
    judge = client.judges.update_judge("j", RUBRIC)
    assert [version.version for version in client.judges.get_versions("j")] == [2, 1]
    assert client.judges.get("j", version=1) == first
    assert [each.id for each in client.judges.list()] == ["j"]
    easy = requests(1)[0]
    assert "Judge It is 1." in client.judges.render_prompt(judge, easy, "It is 1.")
    assert client.judges.evaluate(judge, easy, "It is 1.").score == 10
    assert client.judges.evaluate(judge, easy, "It is 2.").score == 0
    assert client.judges.evaluate_using_judge_spec(blind, easy, "It is 1.").score == 0
    return judge


def routers_before(client: Client, other: Client, url: str) -> Router:
    """Do what there is to do with a router that was not trained; returns its second version."""
    easy = requests(1)[0]
    first = client.routers.create_router("r", "local/cheap", "d")
    with pytest.raises(ResourceNotFoundError):
        other.routers.get("r")
    assert client.routers.run(first, quality_at_least(0.7), easy).model == "local/cheap"
    client.routers.update_router("r", pointing_to("local/dear"))
    # Every process knows it at once, each of many connections being taken by either.
    for _ in range(8):
        with Client(url, api_key="key-acme") as again:
            assert again.routers.run("r", None, easy).model == "local/dear"
    assert client.routers.run("r", None, easy, version=1).model == "local/cheap"
    with pytest.raises(InvalidParameterError):
        client.routers.run_training_job("r", "j", [], requests(60))
    return client.routers.get("r")


def routers_after(client: Client, router: Router) -> None:
    """Do what there is to do with a trained router."""
    easy, hard = requests(2)
    assert client.routers.run(router, quality_at_least(0.8), easy).model == "local/cheap"
    assert client.routers.run(router, quality_at_least(0.8), hard).model == "local/dear"
    assert client.routers.run(router, cost_at_most(10), hard).model == "local/dear"
    tight = client.routers.run(router, cost_at_most(1e-12), hard)
    assert tight.model == "local/cheap"
    assert tight.to_dict()["llmrouter"]["constraint_met"] is False  # type: ignore[index]
    assert client.routers.run(router, cost_at_most("local/cheap"), hard).model == "local/cheap"
    assert client.routers.run(router, cost_at_most(10), hard, version=1).model == "local/cheap"
    with pytest.raises(ResourceNotFoundError):
        client.routers.run(router, None, hard, version=9)


def test_a_job_of_60_mb_is_taken_in_time_and_nobody_waits_for_it(start: Start) -> None:
    process = start("--no-worker")
    assert process.processes() == []
    padding = "x" * 60_000
    many = [{"messages": [{"role": "user", "content": f"{padding} {number}"}]} for number in range(1000)]
    headers = {"Authorization": "Bearer key-acme", "Content-Type": "application/json"}
    sending = httpx2.Client(base_url=process.url, headers=headers, timeout=300)
    with Client(process.url, api_key="key-acme") as client, sending as http:
        router = client.routers.create_router("r", "local/cheap")
        judge = client.judges.create_judge("j", RUBRIC)
        body = {"routerName": router.name, "judgeName": judge.name, "llms": LLMS, "requests": many}
        content = json.dumps(body).encode()
        assert len(content) > 60_000_000
        slowest, ended = 0.0, threading.Event()

        def look() -> None:
            nonlocal slowest
            with httpx2.Client(base_url=process.url, headers=headers, timeout=300) as looking:
                while not ended.is_set():
                    started = time.monotonic()
                    looking.get("/v1/organizations/acme/routers/r").raise_for_status()
                    slowest = max(slowest, time.monotonic() - started)
                    # The other thread of this process sends the job meanwhile.
                    time.sleep(0.05)

        thread = threading.Thread(target=look)
        thread.start()
        taken = []
        # Twice, for the first time what trained routers need may still be being imported.
        for _ in range(2):
            started = time.monotonic()
            job = http.post("/v1/organizations/acme/router_training_jobs", content=content)
            taken.append(time.monotonic() - started)
        ended.set()
        thread.join()
        assert job.json()["status"] == "RUNNING"
        # On a quiet machine it takes some one second; clients give up after five.
        assert min(taken) < allowed(5)
        assert slowest < allowed(2)
        started = time.monotonic()
        assert client.routers.poll_training_job(job.json()["name"]).status == "RUNNING"
        client.routers.cancel_training_job(job.json()["name"])
        assert time.monotonic() - started < allowed(2)


@pytest.mark.parametrize("where", ["sqlite"], indirect=True)
def test_a_killed_job_worker_is_replaced_and_its_job_goes_on(start: Start, upstream: Upstream) -> None:
    process = start()
    answering, calls = upstream.script, 0

    def script(request: dict[str, Any]) -> str:
        nonlocal calls
        calls += 1
        time.sleep(0.02)
        return answering(request)

    upstream.script = script
    with Client(process.url, api_key="key-acme") as client:
        router = client.routers.create_router("r", "local/cheap")
        judge = client.judges.create_judge("j", RUBRIC)
        job = client.routers.run_training_job(router, judge, LLMS, requests(60))
        wait_until(lambda: calls > 40, 30)
        (worker,) = process.processes("llmrouter_lifecycle.worker")
        os.kill(worker, signal.SIGKILL)
        job = client.routers.wait_training_job(job.name, poll_interval=0.1, poll_timeout=300)
        assert job.status == "SUCCESS", job.error_message
    assert process.processes("llmrouter_lifecycle.worker") not in ([], [worker])
    # Nor does anything stay when the supervisor cannot say goodbye.
    children = process.processes()
    process.kill()
    wait_until(lambda: gone(children), 15)


def pointing_to(llm: str) -> dict[str, Any]:
    """The SPEC of a router that goes to one LLM."""
    executor = {"spec": {"executor_type": "ModelExecutor", "model_name": llm}}
    return {"points": [{"point": {"x": place, "y": place}, "executor": executor} for place in (0.0, 1.0)]}


def test_the_description_has_each_operation(start: Start) -> None:
    process = start("--no-worker")
    paths = httpx2.get(f"{process.url}/openapi.json").json()["paths"]
    assert "/v1/chat/completions" in paths
    for route in ROUTES:
        told = paths[route.path][route.method.lower()]
        assert told["summary"].endswith(".")
        named = {(one["in"], one["name"]) for one in told["parameters"]}
        assert {("path", name) for name in re.findall(r"\{(\w+)\}", route.path)} <= named
        assert ("requestBody" in told) == (route.method in ("POST", "PATCH"))
    assert {one["name"] for one in paths["/v1/organizations/{org}/routers"]["post"]["parameters"]} == {
        "org",
        "routerId",
    }


def test_a_worker_that_starts_after_a_refused_reload_uses_the_configuration_before(
    start: Start, tmp_path: Path
) -> None:
    process = start()
    with Client(process.url, api_key="key-acme") as client:
        judge = client.judges.create_judge("j", RUBRIC)
        router = client.routers.create_router("r", "local/cheap")
        (tmp_path / "config.yaml").write_text("data_path: {llm_data: nowhere.json}")
        process.hang_up()
        wait_until(lambda: "was not reloaded" in process.log, allowed(30))
        wait_until(lambda: len(process.processes("llmrouter_lifecycle.worker")) == 1, allowed(30))
        (worker,) = process.processes("llmrouter_lifecycle.worker")
        os.kill(worker, signal.SIGKILL)
        job = client.routers.run_training_job(router, judge, LLMS, requests(20))
        job = client.routers.wait_training_job(job.name, poll_interval=0.1, poll_timeout=allowed(60))
        assert job.status == "SUCCESS", (job.error_message, process.log)
        assert worker not in process.processes()
