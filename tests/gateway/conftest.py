"""The gateway as its users have it: a process of its own, on loopback, between clients and an upstream."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.client import Gateway
from tests.gateway.upstream import HOST, Upstream, answers

COMMAND = str(Path(sys.executable).with_name("llmrouter"))
# A router for tests: the query's first words name the candidates in the order of preference.
ROUTER = '''
import time

from llmrouter.models.router import Router


class SaidRouter(Router):
    """Does as the query says: its words name the candidates, the preferred one first."""

    def route_single(self, query_input):
        words = query_input["query"].split()
        names = [word for word in words if word in self.llm_data]
        if "fail" in words:
            raise ValueError("the router was told to fail")
        if "sleep" in words:
            time.sleep(3)
        names = names or list(self.llm_data)
        return {"model_name": names[0], "scores": {name: 1.0 / (1 + n) for n, name in enumerate(names)}}
'''
READY_SECONDS = 300
STOP_SECONDS = 300

Serve = Callable[..., Gateway]


@pytest.fixture
def hidden() -> tuple[str, ...]:
    """Nothing: all commands are there, as they are for users."""
    return ()


@pytest.fixture(scope="module")
def llm() -> Iterator[Upstream]:
    """Run an upstream that does as tests tell it."""
    with Upstream().running() as upstream:
        yield upstream


@pytest.fixture(autouse=True)
def well(llm: Upstream) -> None:
    """Have the candidate one answer well, whatever the test before had it do."""
    llm.behave("one", answers)


@pytest.fixture(scope="module")
def serve_module(tmp_path_factory: pytest.TempPathFactory, llm: Upstream) -> Iterator[Serve]:
    """Start gateways that all tests of a module share; `serve` says how."""
    with _serving(tmp_path_factory.mktemp("gateway"), llm) as serve:
        yield serve


@pytest.fixture
def serve(tmp_path: Path, llm: Upstream) -> Iterator[Serve]:
    """Start gateways, and stop them after the test.

    ``serve("one", "two", gateway={"idle_seconds": 1})`` serves the candidates one and two, which are at the
    upstream, with a router that tries them in the order in which a query names them. Of the keywords,
    ``candidates`` says more of some, ``gateway`` is that section of the configuration, ``environ`` are
    environment variables, and ``arguments`` go to the command.
    """
    with _serving(tmp_path / "gateway", llm) as serve:
        yield serve


@contextlib.contextmanager
def _serving(folder: Path, llm: Upstream) -> Iterator[Serve]:
    with contextlib.ExitStack() as stack:
        count = 0

        def serve(
            *names: str,
            candidates: Mapping[str, Mapping[str, Any]] | None = None,
            gateway: Mapping[str, Any] | None = None,
            environ: Mapping[str, str] | None = None,
            arguments: tuple[str, ...] = (),
        ) -> Gateway:
            nonlocal count
            count += 1
            place = folder / str(count)
            (place / "custom_routers" / "said").mkdir(parents=True)
            (place / "home").mkdir()
            (place / "custom_routers" / "said" / "router.py").write_text(ROUTER)
            write_config(place, llm, names, candidates, gateway)
            return stack.enter_context(_running(place, arguments, environ or {}))

        yield serve


def write_config(
    place: Path,
    llm: Upstream,
    names: tuple[str, ...],
    candidates: Mapping[str, Mapping[str, Any]] | None = None,
    gateway: Mapping[str, Any] | None = None,
) -> None:
    """Write candidates and a configuration."""
    more = dict(candidates or {})
    told = {
        name: {"model": f"upstream-{name}", "api_endpoint": llm.url(name), **more.pop(name, {})}
        for name in (*names, *(name for name in more if name not in names))
    }
    (place / "llm.json").write_text(json.dumps(told))
    sections = {"data_path": {"llm_data": "llm.json"}, "gateway": dict(gateway or {})}
    (place / "config.yaml").write_text(json.dumps(sections))  # JSON is YAML


@contextlib.contextmanager
def _running(place: Path, arguments: tuple[str, ...], environ: Mapping[str, str]) -> Iterator[Gateway]:
    port = _free_port()
    serve = [COMMAND, "serve", "--router", "said", "--config", "config.yaml", "--port", str(port)]
    # The router under test lies in a directory.
    log = ["--access-log", "access.log", "--plugin-dirs"]
    kept = {
        name: os.environ[name]
        for name in ("PATH", "LANG", "TMPDIR", "COVERAGE_PROCESS_START")
        if name in os.environ
    }
    with (place / "output.log").open("wb") as output:
        process = subprocess.Popen(
            [*serve, *log, *arguments],
            cwd=place,
            env={**kept, "HOME": str(place / "home"), **environ},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    gateway = Gateway(port, process, place)
    try:
        _wait_until_ready(gateway)
        yield gateway
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise AssertionError(f"the gateway did not stop:\n{gateway.output()}") from None


def _wait_until_ready(gateway: Gateway) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and gateway.process.poll() is None:
        with contextlib.suppress(OSError):
            if gateway.get("/healthz").status == 200:
                return
        time.sleep(0.02)
    raise AssertionError(f"the gateway did not start:\n{gateway.output()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
