"""What happens to requests while the gateway is reloaded, stopped, or loses a worker."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.client import Gateway, wait_for
from tests.gateway.conftest import Serve, write_config
from tests.gateway.upstream import WORDS, Upstream, events, hangs, streams
from tests.timing import allowed

TWO_WORKERS = ("--workers", "2")


class Load:
    """Clients that ask all the time, each for itself.

    Attributes:
        ends: What became of the requests: statuses, and names of errors.
    """

    def __init__(self, gateway: Gateway, clients: int = 8) -> None:
        self.ends: Counter[str] = Counter()
        self._gateway = gateway
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(n % 2 == 1,)) for n in range(clients)]

    @contextlib.contextmanager
    def running(self) -> Iterator[Load]:
        """Ask until the end of the block."""
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join(300)
        assert not any(thread.is_alive() for thread in self._threads)

    def more(self, count: int) -> None:
        """Wait until so many more requests came to an end."""
        before = self.ends.total()
        wait_for(lambda: self.ends.total() >= before + count)

    def _ask(self, stream: bool) -> None:
        while not self._stop.is_set():
            try:
                answer = self._gateway.chat("one", stream=stream)
                whole = answer.status != 200 or answer.text == "".join(WORDS)
                self.ends[str(answer.status) if whole else "half an answer"] += 1
            except TimeoutError:
                self.ends["no answer"] += 1
            except (OSError, http.client.HTTPException) as error:
                self.ends[type(error).__name__] += 1


def workers_of(gateway: Gateway) -> set[int]:
    """The processes below the gateway's first one."""
    path = Path(f"/proc/{gateway.process.pid}/task/{gateway.process.pid}/children")
    return {int(worker) for worker in path.read_text().split()}


@pytest.mark.parametrize("arguments", [(), TWO_WORKERS], ids=["one-worker", "two-workers"])
def test_a_reload_under_load_drops_no_request(
    serve: Serve, llm: Upstream, arguments: tuple[str, ...]
) -> None:
    gateway = serve("one", arguments=arguments)
    with Load(gateway).running() as load:
        load.more(20)
        write_config(gateway.place, llm, ("one", "new"))
        for _ in range(3):
            gateway.process.send_signal(signal.SIGHUP)
            load.more(20)
        wait_for(lambda: all(_models(gateway) == {"auto", "said", "one", "new"} for _ in range(10)))
        load.more(20)
    assert set(load.ends) == {"200"}


def test_a_reload_that_fails_changes_nothing(serve: Serve) -> None:
    gateway = serve("one")
    (gateway.place / "config.yaml").write_text("data_path: {llm_data: nowhere.json}")
    gateway.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "nowhere.json" in gateway.output())
    assert gateway.chat("one").status == 200
    assert "Traceback" not in gateway.output()


def test_a_killed_worker_is_replaced_and_its_requests_fail_at_once(serve: Serve) -> None:
    gateway = serve("one", arguments=TWO_WORKERS)
    wait_for(lambda: len(workers_of(gateway)) == 2)
    before = workers_of(gateway)
    with Load(gateway).running() as load:
        load.more(40)
        os.kill(min(before), signal.SIGKILL)
        load.more(100)
        wait_for(lambda: len(workers_of(gateway)) == 2 and workers_of(gateway) != before)
        load.more(40)
    # Those that the dead worker had lose their connection, which their clients see; nobody waits in vain.
    assert load.ends["200"] > 100
    assert load.ends["no answer"] == load.ends["half an answer"] == 0
    assert load.ends.total() - load.ends["200"] <= 8, load.ends
    assert not [end for end in load.ends if end.startswith("5")]


def test_metrics_are_those_of_all_workers(serve: Serve) -> None:
    gateway = serve("one", arguments=TWO_WORKERS)
    for _ in range(12):
        assert gateway.chat("one").status == 200
    wanted = b'llmrouter_requests_total{route="/v1/chat/completions",status="200"} 12.0'
    # Each worker tells what it counted some moments later; then all tell the same.
    wait_for(lambda: all(wanted in gateway.get("/metrics").body for _ in range(6)), 5)


@pytest.mark.parametrize("arguments", [(), TWO_WORKERS], ids=["one-worker", "two-workers"])
def test_a_stop_lets_running_streams_finish(serve: Serve, llm: Upstream, arguments: tuple[str, ...]) -> None:
    proceed = threading.Event()
    llm.behave("long", streams(events(), proceed=proceed))
    gateway = serve("long", arguments=arguments)
    before = len(llm.requests("long"))
    texts: list[str] = []
    asking = threading.Thread(target=lambda: texts.append(gateway.chat("long", stream=True).text))
    asking.start()
    wait_for(lambda: len(llm.requests("long")) > before)
    gateway.process.send_signal(signal.SIGTERM)
    # Nobody new is let in meanwhile.
    wait_for(lambda: not _answers(gateway))
    assert gateway.process.poll() is None
    proceed.set()
    asking.join(300)
    assert texts == ["".join(WORDS)]
    assert gateway.process.wait(300) == 0, gateway.output()
    assert len(llm.requests("long")) == before + 1


def test_a_stop_waits_for_running_answers_no_longer_than_it_may(serve: Serve, llm: Upstream) -> None:
    llm.behave("endless", streams(events()[:2], then=hangs))
    gateway = serve("endless", gateway={"shutdown_seconds": 1})
    ends: list[object] = []
    asking = threading.Thread(target=lambda: ends.append(gateway.chat("x", stream=True).events[-1]))
    before = len(llm.requests("endless"))
    asking.start()
    wait_for(lambda: len(llm.requests("endless")) > before)
    started = time.monotonic()
    gateway.process.send_signal(signal.SIGTERM)
    gateway.process.wait(300)
    assert time.monotonic() - started < allowed(6)
    asking.join(300)
    (last,) = ends
    assert isinstance(last, dict)
    assert last["error"]["code"] == "shutting_down"
    wait_for(llm.last("endless").gone.is_set)


def test_a_router_that_takes_long_holds_up_nobody_else(serve: Serve) -> None:
    gateway = serve("one")
    ends: list[int] = []
    asking = threading.Thread(target=lambda: ends.append(gateway.chat("sleep one").status))
    asking.start()
    started = time.monotonic()
    while not ends and time.monotonic() - started < 1:
        before = time.monotonic()
        assert gateway.get("/healthz").status == 200
        assert gateway.chat("x", model="one").status == 200
        assert time.monotonic() - before < allowed(2)
    asking.join(300)
    assert ends == [200]


def test_a_router_that_does_not_decide_in_time_is_an_error(serve: Serve) -> None:
    gateway = serve("one", gateway={"decide_seconds": 0.3})
    started = time.monotonic()
    answer = gateway.chat("sleep one")
    assert time.monotonic() - started < allowed(2)
    assert answer.status == 504
    assert answer.error["message"]
    wait_for(lambda: gateway.chat("one").status == 200)


def test_workers_end_with_their_supervisor(serve: Serve) -> None:
    gateway = serve("one", arguments=TWO_WORKERS)
    workers = workers_of(gateway)
    gateway.process.kill()
    gateway.process.wait()
    wait_for(lambda: not any(_runs(worker) for worker in workers))


def test_requests_at_once_do_not_get_each_others_answers(serve: Serve, llm: Upstream) -> None:
    gateway = serve("one", "two", "three", arguments=TWO_WORKERS)
    wrong: list[object] = []

    def ask(name: str) -> None:
        for number in range(25):
            told = gateway.chat(f"{name} question {number}").json
            if told["model"] != name or told["llmrouter"]["model_name"] != name:
                wrong.append(told)

    threads = [threading.Thread(target=ask, args=(name,)) for name in ("one", "two", "three") * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert not wrong
    for name in ("two", "three"):
        assert {received.json["model"] for received in llm.requests(name)} == {f"upstream-{name}"}
        asked = Counter(received.json["messages"][0]["content"] for received in llm.requests(name))
        assert asked == {f"{name} question {number}": 2 for number in range(25)}


def _models(gateway: Gateway) -> set[str]:
    return {model["id"] for model in json.loads(gateway.get("/v1/models").body)["data"]}


def _answers(gateway: Gateway) -> bool:
    try:
        gateway.get("/healthz")
    except OSError:
        return False
    return True


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
