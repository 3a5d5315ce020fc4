"""``llmrouter serve`` as users run it: a process of its own, signals, workers, reload."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from llmrouter_server.key_file import create_key, revoke_key
from llmrouter_testing.upstream import Upstream
from tests.conftest import Outcome
from tests.server.serving import COST, MESSAGES, most_of, wait_until

Command = Callable[..., Outcome]


class Process:
    """``llmrouter serve``, running.

    Attributes:
        client: Speaks to it.
    """

    def __init__(self, *arguments: str, **environ: str) -> None:
        self._err = Path("serve.err")
        program = str(Path(sys.executable).with_name("llmrouter"))
        with self._err.open("wb") as err:
            self._process = subprocess.Popen(
                [program, "serve", *arguments], stderr=err, env={**os.environ, **environ}
            )
        wait_until(lambda: "llmrouter serves" in self.err or self._process.poll() is not None, 30)
        found = re.search(r"on (http://\S+)", self.err)
        assert found, self.err
        self.url = found[1]
        self.client = httpx.Client(base_url=self.url, timeout=300)

    @property
    def err(self) -> str:
        """What it wrote to standard error."""
        return self._err.read_text()

    @property
    def workers(self) -> list[int]:
        """Ids of its children."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def send(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait for its end, and return its status."""
        return self._process.wait(300)

    def chat(self, **fields: Any) -> httpx.Response:
        """Ask for a chat completion."""
        return self.client.post("/v1/chat/completions", json={"messages": MESSAGES, **fields})

    def close(self) -> None:
        """Stop."""
        self.client.close()
        if self._process.poll() is None:
            self.send(signal.SIGTERM)
            self.wait()


@pytest.fixture
def path(config: Callable[..., str], candidates: dict[str, dict[str, Any]]) -> str:
    return config(candidates, hparam={"weights": {"small": 1, "large": 0}}, gateway={"shutdown_seconds": 3})


@pytest.fixture
def run(path: str) -> Iterator[Callable[..., Process]]:
    with contextlib.ExitStack() as running:

        def run(*arguments: str, **environ: str) -> Process:
            process = Process(
                "--router", "randomrouter", "--config", path, "--port", "0", *arguments, **environ
            )
            running.callback(process.close)
            return process

        yield run


def test_it_says_where_it_listens_and_how_it_is_called(run: Callable[..., Process]) -> None:
    process = run()
    assert f"llmrouter serves randomrouter on {process.url}" in process.err
    call = re.search(r"Try: (curl .*)", process.err)
    assert call
    called = subprocess.run(["sh", "-c", call[1]], capture_output=True, text=True, timeout=300)
    assert json.loads(called.stdout)["model"] == "small", called


def test_standard_output_stays_empty_and_the_access_log_is_standard_error(
    run: Callable[..., Process],
) -> None:
    process = run()
    process.chat()
    wait_until(lambda: '"path":"/v1/chat/completions"' in process.err)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_well_when_told(run: Callable[..., Process], number: int) -> None:
    process = run()
    process.chat()
    process.send(number)
    assert process.wait() == 0
    assert "Traceback" not in process.err


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_running_stream_finishes_when_it_is_told_to_end(
    run: Callable[..., Process], upstream: Upstream, workers: str
) -> None:
    go = threading.Event()

    def script(request: dict[str, Any]) -> str:
        go.wait(60)
        return "all of it"

    upstream.script = script
    process = run("--workers", workers)
    texts: list[str] = []
    thread = threading.Thread(target=lambda: texts.append(process.chat(stream=True).text))
    thread.start()
    wait_until(lambda: bool(upstream.requests))
    process.send(signal.SIGTERM)
    time.sleep(0.3)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{process.url}/healthz")
    go.set()
    thread.join()
    assert texts[0].endswith("data: [DONE]\n\n")
    assert process.wait() == 0


def test_what_does_not_finish_in_time_is_ended_with_an_error(
    config: Callable[..., str],
    candidates: dict[str, dict[str, Any]],
    upstream: Upstream,
    run: Callable[..., Process],
) -> None:
    config(candidates, gateway={"shutdown_seconds": 0.3})
    upstream.script = lambda request: str(upstream.released.wait(10))
    process = run()
    answers: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: answers.append(process.chat()))
    thread.start()
    wait_until(lambda: bool(upstream.requests))
    process.send(signal.SIGTERM)
    thread.join(300)
    assert answers[0].status_code == 503
    assert answers[0].json()["error"]["code"] == "shutting_down"
    assert process.wait() == 0


def test_a_port_that_is_taken_is_a_clear_error(command: Command, path: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        outcome = command("serve", "--router", "randomrouter", "--config", path, "--port", port)
    assert outcome.status == 1
    assert outcome.err.startswith(f"Error: cannot listen on 127.0.0.1 port {port}: Address already in use")
    assert "--port" in outcome.err


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
def test_without_keys_no_other_host_is_listened_on(command: Command, path: str, host: str) -> None:
    outcome = command("serve", "--router", "randomrouter", "--config", path, "--host", host)
    assert outcome.status == 1
    assert "--keys-file" in outcome.err
    assert "llmrouter keys create" in outcome.err


def test_it_needs_something_to_serve(command: Command, path: str) -> None:
    outcome = command("serve", "--config", path, "--port", "0")
    assert outcome.status == 2
    assert "--router" in outcome.err


def test_a_lifecycle_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    from llmrouter.errors import LLMRouterError
    from llmrouter_server.options import require_lifecycle

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(LLMRouterError, match=r"pip install 'llmrouter-server\[lifecycle\]'"):
        require_lifecycle()


def test_with_keys_it_may_listen_on_every_host(run: Callable[..., Process]) -> None:
    key = create_key("keys.json", "ann")
    process = run("--host", "0.0.0.0", "--keys-file", "keys.json")
    assert process.chat().status_code == 401
    process.client.headers["authorization"] = f"Bearer {key}"
    assert process.chat().status_code == 200


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--keys-file", "nowhere.json"], "nowhere.json: there is no such file"),
        (["--router", "nobody"], "Unknown router: nobody"),
        (["--router", "randomrouter"], "is named twice"),
    ],
)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_cannot_be_used_stops_it_before_it_serves(
    command: Command, path: str, arguments: list[str], told: str, workers: str
) -> None:
    outcome = command(
        "serve", "--router", "randomrouter", "--config", path, "--port", "0", "--workers", workers, *arguments
    )
    assert outcome.status == 1
    assert told in outcome.err
    assert "Traceback" not in outcome.err


def test_a_wrong_setting_stops_it(
    command: Command, config: Callable[..., str], candidates: dict[str, Any]
) -> None:
    path = config(candidates, gateway={"total_secs": 3})
    outcome = command("serve", "--router", "randomrouter", "--config", path, "--port", "0")
    assert outcome.status == 1
    assert "config.yaml:1: gateway.total_secs: is unknown; did you mean 'total_seconds'" in outcome.err


def test_reloading_changes_candidates_and_keys_and_drops_nothing(
    run: Callable[..., Process],
    config: Callable[..., str],
    candidates: dict[str, dict[str, Any]],
    upstream: Upstream,
) -> None:
    go = threading.Event()

    def script(request: dict[str, Any]) -> str:
        if request["messages"][0]["content"] == "wait":
            go.wait(60)
        return "fine"

    upstream.script = script
    process = run()
    answers: list[httpx.Response] = []
    waiting = [{"role": "user", "content": "wait"}]
    thread = threading.Thread(target=lambda: answers.append(process.chat(messages=waiting)))
    thread.start()
    wait_until(lambda: bool(upstream.requests))
    config({"new": candidates["large"]}, hparam={})
    process.send(signal.SIGHUP)
    wait_until(lambda: process.chat().json()["model"] == "new")
    go.set()
    thread.join()
    assert answers[0].json()["model"] == "small"


def test_a_configuration_that_cannot_be_used_is_told_and_the_one_before_stays(
    run: Callable[..., Process],
) -> None:
    process = run()
    Path("config.yaml").write_text("gateway: {nope: 1}")
    process.send(signal.SIGHUP)
    wait_until(lambda: "the one before stays" in process.err)
    assert "gateway.nope" in process.err or "llm_data" in process.err
    assert process.chat().status_code == 200


def test_the_access_log_may_be_rotated(run: Callable[..., Process]) -> None:
    process = run("--access-log", "a.log")
    process.chat()
    wait_until(lambda: Path("a.log").stat().st_size > 0)
    Path("a.log").rename("b.log")
    process.send(signal.SIGHUP)
    wait_until(lambda: Path("a.log").exists())
    process.chat()
    wait_until(lambda: Path("a.log").stat().st_size > 0)


def test_a_revoked_key_is_refused_without_a_signal(run: Callable[..., Process]) -> None:
    key = create_key("keys.json", "ann")
    create_key("keys.json", "bob")
    process = run("--keys-file", "keys.json")
    process.client.headers["authorization"] = f"Bearer {key}"
    assert process.chat().status_code == 200
    revoke_key("keys.json", "ann")
    wait_until(lambda: process.chat().status_code == 401)


def test_spending_survives_a_restart_and_is_shared_by_workers(
    run: Callable[..., Process], command: Command
) -> None:
    key = create_key("keys.json", "ann", budget_usd=most_of(max_tokens=2) + 2.5 * COST)
    for workers, statuses in (("1", [200, 200]), ("2", [200, 429])):
        process = run("--keys-file", "keys.json", "--workers", workers)
        process.client.headers["authorization"] = f"Bearer {key}"
        for status in statuses:
            response = process.chat(max_tokens=2)
            assert response.status_code == status, response.text
            time.sleep(0.6)
        process.close()
    listed = command("keys", "list", "--keys-file", "keys.json").json
    assert listed[0]["spent_usd"] == pytest.approx(3 * COST)
    assert oct(Path("keys.json.spending.sqlite3").stat().st_mode)[-3:] == "600"


def test_a_worker_knows_what_a_key_spent_at_another(run: Callable[..., Process]) -> None:
    key = create_key("keys.json", "ann", budget_usd=most_of(max_tokens=2) + 2.5 * COST)
    process = run("--keys-file", "keys.json", "--workers", "2")
    wait_until(lambda: len(process.workers) == 2)
    one, other = process.workers

    def statuses_of(working: int, resting: int) -> list[int]:
        """Ask over new connections, which only a worker that is not stopped takes."""
        os.kill(resting, signal.SIGSTOP)
        os.kill(working, signal.SIGCONT)
        url, headers = f"{process.url}/v1/chat/completions", {"authorization": f"Bearer {key}"}
        body = {"messages": MESSAGES, "max_tokens": 2}
        statuses = [httpx.post(url, json=body, headers=headers, timeout=300).status_code for _ in range(2)]
        # Until it has written what was spent.
        time.sleep(0.6)
        return statuses

    try:
        assert statuses_of(one, other) == [200, 200]
        assert statuses_of(other, one) == [200, 429]
        assert statuses_of(one, other) == [429, 429]
    finally:
        for worker in (one, other):
            os.kill(worker, signal.SIGCONT)


def test_the_threads_of_torch_are_to_sleep_while_they_wait(
    config: Callable[..., str], candidates: dict[str, Any], write: Any
) -> None:
    write(
        "custom_routers/told/router.py",
        """
        import os
        from llmrouter.models.router import Router

        POLICY = os.environ.get("OMP_WAIT_POLICY")

        class ToldRouter(Router):
            def route_single(self, query_input):
                return {"model_name": "small", "policy": POLICY}
        """,
    )
    arguments = ("--router", "told", "--config", config(candidates), "--port", "0", "--plugin-dirs")
    for given, policy in (({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")):
        process = Process(*arguments, **given)
        try:
            assert process.chat().json()["llmrouter"]["extra"] == {"policy": policy}
        finally:
            process.close()


class TestWorkers:
    @pytest.fixture
    def process(self, run: Callable[..., Process]) -> Process:
        process = run("--workers", "2")
        wait_until(lambda: len(process.workers) == 2)
        return process

    def test_they_share_the_metrics(self, process: Process) -> None:
        for _ in range(20):
            # New connections, so that both get some.
            assert httpx.post(f"{process.url}/v1/chat/completions", json={"messages": MESSAGES}).is_success
        answers = 'llmrouter_answers_total{model="small",router="randomrouter"} 20.0'
        for _ in range(5):
            wait_until(lambda: answers in httpx.get(f"{process.url}/metrics").text, 30)

    def test_one_that_dies_is_replaced_and_the_other_answers_meanwhile(self, process: Process) -> None:
        before = process.workers
        os.kill(before[0], signal.SIGKILL)
        for _ in range(10):
            with contextlib.suppress(httpx.TransportError):
                assert httpx.get(f"{process.url}/healthz").status_code == 200
        wait_until(lambda: len(process.workers) == 2 and before[0] not in process.workers, 20)
        assert "another is started" in process.err
        for _ in range(10):
            assert httpx.get(f"{process.url}/healthz", timeout=300).status_code == 200

    def test_they_reload_on_a_signal_to_the_supervisor(
        self, process: Process, config: Callable[..., str], candidates: dict[str, dict[str, Any]]
    ) -> None:
        config({"new": candidates["large"]}, hparam={})
        process.send(signal.SIGHUP)
        wait_until(lambda: process.err.count("was reloaded") == 2)
        models = {
            httpx.post(f"{process.url}/v1/chat/completions", json={"messages": MESSAGES}).json()["model"]
            for _ in range(6)
        }
        assert models == {"new"}

    def test_they_end_when_the_supervisor_is_killed(self, process: Process) -> None:
        workers = process.workers
        process.send(signal.SIGKILL)
        process.wait()
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), 10)
