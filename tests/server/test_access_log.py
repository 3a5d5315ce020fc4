from __future__ import annotations

import json
import os
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from llmrouter_server import access_log as module
from llmrouter_server.access_log import AccessLog, Entry, now
from tests.server.serving import wait_until


def entry(path: str = "/v1/models", **more: object) -> Entry:
    made = Entry(datetime(2026, 1, 2, 3, 4, 5, 678901, timezone.utc), "req_1", "GET", path)
    for name, value in more.items():
        setattr(made, name, value)
    return made


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_an_entry_is_a_line_of_json(tmp_path: Path) -> None:
    log = AccessLog(tmp_path / "a.log")
    log.write([entry(status=200, ms=1.5), entry('/v1/"\n', key="ann", cost=1e-6)])
    log.close()
    first, second = lines(tmp_path / "a.log")
    assert first == {
        "time": "2026-01-02T03:04:05.678901Z",
        "id": "req_1",
        "method": "GET",
        "path": "/v1/models",
        "key": None,
        "status": 200,
        "router": None,
        "model": None,
        "attempts": 0,
        "stream": False,
        "error": None,
        "route": "none",
        "decide_ms": None,
        "upstream_ms": None,
        "first_byte_ms": None,
        "ms": 1.5,
        "bytes_in": 0,
        "bytes_out": 0,
        "prompt_tokens": None,
        "completion_tokens": None,
        "cost": None,
    }
    assert (second["path"], second["key"], second["cost"]) == ('/v1/"\n', "ann", 1e-6)


def test_the_time_is_that_of_utc() -> None:
    assert abs(now() - datetime.now(timezone.utc)) < timedelta(seconds=1)
    assert now().utcoffset() == timedelta(0)


def test_a_file_is_appended_to(tmp_path: Path) -> None:
    for number in range(2):
        log = AccessLog(tmp_path / "a.log")
        log.write([entry(status=number)])
        log.close()
    assert [line["status"] for line in lines(tmp_path / "a.log")] == [0, 1]


def test_without_a_file_it_is_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    log = AccessLog()
    log.write([entry()])
    log.reopen()
    log.close()
    assert json.loads(capfd.readouterr().err)["id"] == "req_1"


def test_reopening_leaves_a_rotated_file(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    log = AccessLog(path)
    log.write([entry(status=1)])
    wait_until(lambda: path.stat().st_size > 0)
    path.rename(tmp_path / "b.log")
    log.write([entry(status=2)])
    log.reopen()
    log.write([entry(status=3)])
    log.close()
    assert [line["status"] for line in lines(tmp_path / "b.log")] == [1, 2]
    assert [line["status"] for line in lines(path)] == [3]


def test_a_file_that_cannot_be_opened_anew_leaves_the_one_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    log = AccessLog(folder / "a.log")
    folder.rename(tmp_path / "moved")
    log.reopen()
    log.write([entry()])
    log.close()
    assert len(lines(tmp_path / "moved" / "a.log")) == 1
    assert "The access log cannot be written" in caplog.text


def test_who_reads_slowly_holds_up_nobody_and_learns_what_was_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_WAITING", 2)
    path = tmp_path / "pipe"
    os.mkfifo(path)
    received: list[bytes] = []
    begin = threading.Event()

    def read() -> None:
        with path.open("rb") as pipe:
            begin.wait(60)
            received.append(pipe.read())

    reader = threading.Thread(target=read)
    reader.start()
    log = AccessLog(path)
    # More than a pipe holds, so that the thread has to wait with it.
    log.write([entry("/" + "x" * (1 << 20))])
    wait_until(log._batches.empty)
    for _ in range(4):
        log.write([entry("/kept"), entry("/kept")])
    begin.set()
    wait_until(lambda: "4 lines were dropped" in caplog.text)
    log.write([entry("/last")])
    log.close()
    reader.join(300)
    paths = [json.loads(line)["path"] for line in received[0].splitlines()]
    assert paths[1:] == ["/kept"] * 4 + ["/last"]
