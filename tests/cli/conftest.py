"""A router that does what a test says, a terminal to look at, and somebody who presses Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

# As if typed into a shell, whatever the test runner's parent does with SIGINT.
PROGRAM = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from llmrouter_cli.__main__ import main; main()"
)


@pytest.fixture(autouse=True)
def buffered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let subprocesses buffer what they print, as they do for users."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)


@pytest.fixture
def router(write: Callable[[str, str], Path], config: Callable[..., str]) -> Callable[..., list[str]]:
    """Make a router folder from the body of route_single, which is told the query's text.

    Returns the options that choose the router and its configuration. `members` are further methods of the
    class, `trainer` is the body of its trainer's train.
    """

    def router(
        body: str = "return {'model_name': 'small'}",
        *,
        members: str = "",
        trainer: str | None = None,
        name: str = "mine",
    ) -> list[str]:
        head = "import os, sys, time\nfrom llmrouter.models.router import Router\n\n"
        single = "def route_single(self, query_input):\n    text = query_input['query']\n" + _indented(body)
        text = f"{head}class MineRouter(Router):\n{_indented(single)}\n{_indented(members)}"
        write(f"custom_routers/{name}/router.py", text)
        if trainer is not None:
            head = "import os, sys, time\nfrom llmrouter.models.base_trainer import BaseTrainer\n\n"
            train = "def train(self):\n" + _indented(trainer)
            text = f"{head}class MineTrainer(BaseTrainer):\n{_indented(train)}"
            write(f"custom_routers/{name}/trainer.py", text)
        return ["--router", name, "--config", config()]

    return router


def _indented(text: str) -> str:
    return textwrap.indent(textwrap.dedent(text), "    ")


class Shown(NamedTuple):
    """What a run of the command line showed."""

    status: int
    out: str
    err: str


@pytest.fixture
def terminal() -> Callable[..., Shown]:
    """Run the command with standard output, standard error or both on a terminal of 80 columns."""

    def run(*arguments: str, out: bool = True, err: bool = False) -> Shown:
        program = [str(Path(sys.executable).with_name("llmrouter")), *arguments]
        environ = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "40"}
        with _reader(out) as (stdout, shown_out), _reader(err) as (stderr, shown_err):
            process = subprocess.Popen(
                program, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=environ
            )
            status = process.wait(300)
        return Shown(status, _plain(shown_out), _plain(shown_err))

    return run


@contextlib.contextmanager
def _reader(on_terminal: bool) -> Iterator[tuple[int, list[bytes]]]:
    """Lend a descriptor to write to, and collect what is written: on a terminal or into a pipe."""
    reading, writing = os.openpty() if on_terminal else os.pipe()
    collected: list[bytes] = []

    def collect() -> None:
        with contextlib.suppress(OSError):  # how a terminal says that nobody writes any more
            while data := os.read(reading, 65536):
                collected.append(data)

    thread = threading.Thread(target=collect)
    thread.start()
    try:
        yield writing, collected
    finally:
        os.close(writing)
        thread.join()
        os.close(reading)


def _plain(collected: list[bytes]) -> str:
    text = b"".join(collected).decode().replace("\r\n", "\n")
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


# What is interrupted waits so, 30 s in all: a signal that comes just before Python waits is noticed after it.
WAITING = "[time.sleep(0.05) for _ in range(600)]"


@pytest.fixture
def interrupted() -> Callable[..., Shown]:
    """Run the command and press Ctrl-C once there is a file `started` in the current folder."""

    def run(*arguments: str, by: signal.Signals = signal.SIGINT) -> Shown:
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            process = subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments], stdout=out, stderr=err)
            deadline = time.monotonic() + 300
            while not Path("started").exists() and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            process.send_signal(by)
            status = process.wait(300)
            for stream in (out, err):
                stream.seek(0)
            return Shown(status, out.read(), err.read())

    return run
