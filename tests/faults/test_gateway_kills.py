"""Processes of the gateway are killed, stopped and told to reload at the worst moments; nothing hangs."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from llmrouter_server.key_file import create_key
from tests.gateway.client import Gateway, wait_for
from tests.gateway.conftest import (  # noqa: F401 - fixtures
    COMMAND,
    Serve,
    hidden,
    llm,
    serve,
    well,
    write_config,
)
from tests.gateway.test_operation import TWO_WORKERS, Load, _models, _runs, workers_of
from tests.gateway.upstream import HOST, Upstream, events, hangs, streams
from tests.timing import allowed


def port_is_free(port: int) -> bool:
    """Whether somebody else may listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen()
        except OSError:
            return False
        return True


def wait_until_new(gateway: Gateway, before: set[int], count: int) -> None:
    """Wait until so many workers took the place of others, and one answers."""
    try:
        wait_for(lambda: len(workers_of(gateway) - before) == count and _answers(gateway))
    except AssertionError:
        raise AssertionError(gateway.output()) from None


def test_a_killed_gateway_leaves_nobody_waiting(serve: Serve, llm: Upstream) -> None:  # noqa: F811
    llm.behave("endless", streams(events()[:2], then=hangs))
    gateway = serve("endless")
    ends: list[object] = []

    def ask() -> None:
        try:
            ends.append(gateway.chat("x", stream=True).status)
        except Exception as error:  # whatever the client makes of it: it did not hang
            ends.append(error)

    asking = [threading.Thread(target=ask) for _ in range(4)]
    before = len(llm.requests("endless"))
    for thread in asking:
        thread.start()
    wait_for(lambda: len(llm.requests("endless")) == before + 4)
    gateway.process.kill()
    gateway.process.wait()
    for thread in asking:
        thread.join(5)
    assert len(ends) == 4
    wait_for(lambda: port_is_free(gateway.port), 5)


def test_a_killed_supervisor_takes_its_workers_along(serve: Serve, llm: Upstream) -> None:  # noqa: F811
    llm.behave("endless", streams(events()[:2], then=hangs))
    gateway = serve("endless", gateway={"shutdown_seconds": 1}, arguments=TWO_WORKERS)
    workers = workers_of(gateway)
    ends: list[object] = []
    asking = threading.Thread(target=lambda: ends.append(gateway.chat("x", stream=True).events[-1]))
    before = len(llm.requests("endless"))
    asking.start()
    wait_for(lambda: len(llm.requests("endless")) > before)
    gateway.process.kill()
    gateway.process.wait()
    wait_for(lambda: not any(_runs(worker) for worker in workers), 8)
    asking.join(5)
    (last,) = ends
    assert isinstance(last, dict)
    assert last["error"]["code"] == "shutting_down"
    wait_for(lambda: port_is_free(gateway.port), 5)


def test_a_worker_that_is_told_to_end_is_replaced(serve: Serve) -> None:  # noqa: F811
    gateway = serve("one", gateway={"shutdown_seconds": 1}, arguments=TWO_WORKERS)
    wait_for(lambda: len(workers_of(gateway)) == 2)
    before = workers_of(gateway)
    with Load(gateway).running() as load:
        load.more(20)
        os.kill(min(before), signal.SIGTERM)
        wait_for(lambda: len(workers_of(gateway)) == 2 and workers_of(gateway) != before)
        load.more(40)
    assert load.ends["no answer"] == load.ends["half an answer"] == 0
    assert load.ends.total() - load.ends["200"] <= 8, load.ends


def test_killed_workers_come_back_with_the_configuration_that_was_good(
    serve: Serve,  # noqa: F811
    llm: Upstream,  # noqa: F811
    tmp_path: Path,
) -> None:
    keys_file = tmp_path / "keys.json"
    key = create_key(keys_file, "ann")
    gateway = serve("one", arguments=(*TWO_WORKERS, "--keys-file", str(keys_file)))
    gateway.key = key
    write_config(gateway.place, llm, ("one", "new"))
    gateway.process.send_signal(signal.SIGHUP)
    wait_for(lambda: all(_models(gateway) == {"auto", "said", "one", "new"} for _ in range(10)))
    wait_for(lambda: len(workers_of(gateway)) == 2)
    # All of its files are broken, in place and anew, one after the other.
    for name, content in (
        ("llm.json", "{"),
        ("config.yaml", "data_path: {llm_data: nowhere.json}"),
        ("config.yaml", "{{{"),
        (str(keys_file), "[{]"),
    ):
        (gateway.place / name).write_text(content)
        gateway.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "was not reloaded" in gateway.output())
    for _ in range(2):
        before = workers_of(gateway)
        for worker in before:
            os.kill(worker, signal.SIGKILL)
        wait_until_new(gateway, before, 2)
        assert _models(gateway) == {"auto", "said", "one", "new"}
        assert gateway.chat("new").status == 200
        gateway.key = "wrong"
        assert gateway.chat("new").status == 401
        gateway.key = key
    # Mended, it is read anew; a key that was revoked meanwhile does not come back.
    write_config(gateway.place, llm, ("one", "newer"))
    keys_file.unlink()
    gateway.key = create_key(keys_file, "bob")
    gateway.process.send_signal(signal.SIGHUP)
    wait_for(lambda: all(b'"newer"' in gateway.get("/v1/models").body for _ in range(10)))
    gateway.key = key
    wait_for(lambda: all(gateway.chat("one").status == 401 for _ in range(10)))
    assert "Traceback" not in gateway.output()


def test_a_change_that_nobody_asked_for_is_not_picked_up_by_a_new_worker(
    serve: Serve,  # noqa: F811
    llm: Upstream,  # noqa: F811
) -> None:
    gateway = serve("one", arguments=TWO_WORKERS)
    write_config(gateway.place, llm, ("one", "half-done"))
    before = workers_of(gateway)
    for worker in before:
        os.kill(worker, signal.SIGKILL)
    wait_until_new(gateway, before, 2)
    assert _models(gateway) == {"auto", "said", "one"}


def test_hang_ups_at_any_time_end_nothing(serve: Serve) -> None:  # noqa: F811
    stop = threading.Event()

    def hang_up(pids: list[int]) -> None:
        while not stop.is_set():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGHUP)
            time.sleep(0.01)

    gateway = serve("one", arguments=TWO_WORKERS)
    pids = [gateway.process.pid]
    storm = threading.Thread(target=hang_up, args=(pids,))
    storm.start()
    try:
        # Workers start in the storm, and answer.
        for _ in range(2):
            before = workers_of(gateway)
            os.kill(min(before), signal.SIGKILL)
            wait_until_new(gateway, before, 1)
            pids[1:] = sorted(workers_of(gateway))
        time.sleep(1)
        assert gateway.chat("one").status == 200
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.process.wait(15) == 0, gateway.output()
    finally:
        stop.set()
        storm.join()
    ended = re.findall("A worker ended .*;", gateway.output())
    assert ended == ["A worker ended by SIGKILL;"] * 2
    assert port_is_free(gateway.port)


@pytest.mark.parametrize("arguments", [(), TWO_WORKERS], ids=["one-worker", "two-workers"])
def test_a_hang_up_while_it_starts_ends_nothing(
    serve: Serve,  # noqa: F811
    arguments: tuple[str, ...],
) -> None:
    place = serve("one").place
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    command = [COMMAND, "serve", "--router", "said", "--config", "config.yaml", "--plugin-dirs"]
    with (place / "second.log").open("wb") as output:
        process = subprocess.Popen(
            [*command, "--port", str(port), *arguments],
            cwd=place,
            stdin=subprocess.DEVNULL,
            stderr=output,
            # As `nohup` would not: it is the gateway that must not end by it.
            env={**os.environ, "PYTHONSTARTUP": ""},
        )
    second = Gateway(port, process, place)
    try:
        # Before Python runs the command, no program could help it.
        wait_for(lambda: b"serve" in Path(f"/proc/{process.pid}/cmdline").read_bytes())
        wait_for(lambda: _handles_hang_ups(process.pid))
        while not _answers(second):
            assert process.poll() is None, (place / "second.log").read_text()
            process.send_signal(signal.SIGHUP)
            time.sleep(0.01)
        assert second.chat("one").status == 200
    finally:
        process.terminate()
        assert process.wait(15) == 0
    assert "A worker ended" not in (place / "second.log").read_text()


def test_workers_that_never_come_up_end_the_gateway(serve: Serve) -> None:  # noqa: F811
    gateway = serve("one")
    router = gateway.place / "custom_routers" / "said" / "router.py"
    router.write_text(router.read_text() + "\nimport os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    command = [
        COMMAND,
        "serve",
        "--router",
        "said",
        "--config",
        "config.yaml",
        "--plugin-dirs",
        "--port",
        "0",
    ]
    started = time.monotonic()
    ended = subprocess.run(
        [*command, *TWO_WORKERS], cwd=gateway.place, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 1
    assert "the gateway cannot start: a worker ended by SIGSEGV" in ended.stderr
    assert f'File "{router}", line ' in ended.stderr
    assert "Traceback" not in ended.stderr
    assert time.monotonic() - started < allowed(40)


def test_metrics_outlive_the_workers_that_counted(serve: Serve) -> None:  # noqa: F811
    gateway = serve("one", arguments=TWO_WORKERS)
    for _ in range(6):
        assert gateway.chat("one").status == 200

    def answers() -> float:
        text = gateway.get("/metrics").body.decode()
        found = re.search(r'^llmrouter_answers_total\{model="one",router="said"\} (\S+)', text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    wait_for(lambda: all(answers() == 6 for _ in range(6)), 5)
    before = workers_of(gateway)
    for worker in before:
        os.kill(worker, signal.SIGKILL)
    wait_until_new(gateway, before, 2)
    assert answers() == 6
    wait_for(lambda: "llmrouter_metrics_workers 2.0" in gateway.get("/metrics").body.decode(), 5)


@pytest.mark.parametrize("arguments", [(), TWO_WORKERS], ids=["one-worker", "two-workers"])
def test_a_full_disk_ends_no_worker(
    serve: Serve,  # noqa: F811
    tmp_path: Path,
    arguments: tuple[str, ...],
) -> None:
    # No file may grow beyond 64 KB, and this one is larger: so a write to it fails, as on a full disk.
    log = tmp_path / "full.log"
    log.write_bytes(b"x" * (128 << 10))
    gateway = serve("one", arguments=(*arguments, "--access-log", str(log)))
    workers = workers_of(gateway)
    for pid in (gateway.process.pid, *workers):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (64 << 10, 64 << 10))
    for _ in range(20):
        assert gateway.chat("one").status == 200
        time.sleep(0.03)
    wait_for(lambda: "The access log cannot be written" in gateway.output())
    assert gateway.output().count("The access log cannot be written") <= max(1, len(workers))
    assert b'llmrouter_answers_total{model="one",router="said"}' in gateway.get("/metrics").body
    assert workers_of(gateway) == workers
    # There is room again.
    log.write_bytes(b"")
    assert gateway.chat("one").status == 200
    wait_for(lambda: log.read_bytes().count(b"\n") > 0)
    assert all(json.loads(line) for line in log.read_bytes().splitlines() if line)


def _answers(gateway: Gateway) -> bool:
    try:
        return gateway.get("/healthz").status == 200
    except OSError:
        return False


def _handles_hang_ups(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    (caught,) = re.findall(r"SigCgt:\s+(\S+)", status)
    return bool(int(caught, 16) & 1 << (signal.SIGHUP - 1))
