"""Many requests while a worker is killed and the configuration is read again: each must come to some end."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from result import Result
from serving.client import Connection, requests_of
from serving.processes import Program, family, resident, running
from serving.throughput import result

REQUESTS = 100_000
CONNECTIONS = 64
KILL_AT = REQUESTS // 3
RELOAD_AT = REQUESTS * 2 // 3
SECONDS = 30
SAMPLES = 20


def soak(program: Program, key: str, bodies: Path) -> Iterator[Result]:
    """Soak a gateway of several workers.

    At a third of the requests the largest worker is killed, at two thirds the gateway is told to reload. A
    request may come to an answer, an error status, or a connection that breaks, which its client sees; not to
    silence, nor to half an answer.
    """
    with running(program) as server:
        workers = len(family(server.process.pid))
        run = _Soak(program.port, server.process.pid, requests_of(bodies, key))
        started = time.perf_counter()
        asyncio.run(run.all())
        seconds = time.perf_counter() - started
        deadline = time.monotonic() + SECONDS
        while len(family(server.process.pid)) < workers and time.monotonic() < deadline:
            time.sleep(0.1)
        alive = len(family(server.process.pid))
    what = f"soak: {REQUESTS:,} requests, {CONNECTIONS} connections"
    yield _count(f"{what}, answered", run.ends["answered"], at_least=REQUESTS - CONNECTIONS)
    yield _count("soak: error statuses", run.ends["status"], None)
    yield _count("soak: connections that broke, a worker killed", run.ends["broken"], CONNECTIONS)
    yield _count("soak: failures from the reload on", run.failed_late, 0)
    yield _count("soak: without an end, or with half an answer", run.ends["lost"], 0)
    yield _count("soak: processes less than before", workers - alive, 0)
    yield result("soak: requests a second", [REQUESTS / seconds], None, "req/s")
    yield Result(
        "soak: resident memory at the end", run.memory[-1], min(run.memory), max(run.memory), None, "MB"
    )


class _Soak:
    def __init__(self, port: int, process: int, requests: list[bytes]) -> None:
        self.port = port
        self.process = process
        self.requests = requests
        self.sent = 0
        self.ends: Counter[str] = Counter()
        self.failed_late = 0
        self.memory: list[float] = []

    async def all(self) -> None:
        """Send all, over so many connections at a time."""
        await asyncio.gather(*(self._client() for _ in range(CONNECTIONS)))

    async def _client(self) -> None:
        connection = Connection(self.port)
        while self.sent < REQUESTS:
            number = self.sent
            self.sent += 1
            self._disturb(number)
            end = await self._one(connection, self.requests[number % len(self.requests)])
            self.ends[end] += 1
            if end != "answered":
                self.failed_late += number >= RELOAD_AT
                connection.close()
        connection.close()

    async def _one(self, connection: Connection, request: bytes) -> str:
        try:
            answer = await asyncio.wait_for(connection.ask(request), SECONDS)
        except (TimeoutError, asyncio.TimeoutError):
            return "lost"
        except (OSError, EOFError):
            return "broken"
        if answer.status != 200:
            return "status"
        return "answered" if b'"llmrouter"' in answer.body and answer.body.endswith(b"}") else "lost"

    def _disturb(self, number: int) -> None:
        if number == KILL_AT:
            os.kill(max(family(self.process)[1:], key=resident), signal.SIGKILL)
        elif number == RELOAD_AT:
            os.kill(self.process, signal.SIGHUP)
        if number % (REQUESTS // SAMPLES) == 0:
            self.memory.append(resident(self.process) / 1e6)


def _count(what: str, measured: int, limit: int | None = None, at_least: int | None = None) -> Result:
    bound = limit if at_least is None else at_least
    return result(what, [measured], bound, "", at_least=at_least is not None)
