"""Server processes on loopback: started, waited for, and ended by their id whatever happens."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

HOST = "127.0.0.1"
READY_SECONDS = 120
STOP_SECONDS = 15


class Program(NamedTuple):
    """How to start a server.

    Attributes:
        name: For the report, and of its log.
        command: Its command line.
        port: Where it will listen, on loopback.
        ready: The path that is asked until it serves.
        environ: Its environment variables.
        folder: Where it runs, and where its log is written.
        ready_status: What that path answers then.
    """

    name: str
    command: Sequence[str | Path]
    port: int
    ready: str
    environ: dict[str, str]
    folder: Path
    ready_status: int = 200


class Server(NamedTuple):
    """A server that runs.

    Attributes:
        program: What was started.
        process: The process.
        ready_seconds: From its start until it answered that it is ready.
    """

    program: Program
    process: subprocess.Popen[bytes]
    ready_seconds: float

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{HOST}:{self.program.port}"


@contextmanager
def running(program: Program) -> Iterator[Server]:
    """Start a server, wait until it is ready, and stop it at the end.

    Raises:
        RuntimeError: It ended, or was not ready in time; the message holds the end of its log.
    """
    log = program.folder / f"{program.name}.log"
    with log.open("wb") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            program.command,
            cwd=program.folder,
            env=program.environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Its workers are ended with it.
            start_new_session=True,
        )
        try:
            while not _is_ready(program):
                late = time.perf_counter() - started > READY_SECONDS
                if late or process.poll() is not None:
                    tail = log.read_text(errors="replace")[-2000:]
                    raise RuntimeError(f"{program.name} {'is not ready' if late else 'ended'}:\n{tail}")
                time.sleep(0.002)
            yield Server(program, process, time.perf_counter() - started)
        finally:
            _stop(process)


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def family(process: int) -> list[int]:
    """The ids of a process and of all below it."""
    found = [process]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += [int(child) for child in task.read_text().split()]
            except OSError:  # ended meanwhile
                continue
    return found


def resident(process: int) -> int:
    """The resident memory of a process and of all below it, bytes."""
    pages = 0
    for member in family(process):
        try:
            pages += int(Path(f"/proc/{member}/statm").read_text().split()[1])
        except OSError:  # ended meanwhile
            continue
    return pages * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(process: int) -> float:
    """The processor time that a process and all below it have used, in seconds."""
    ticks = 0
    for member in family(process):
        try:
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # ended meanwhile
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _is_ready(program: Program) -> bool:
    connection = http.client.HTTPConnection(HOST, program.port, timeout=5)
    try:
        connection.request("GET", program.ready)
        return connection.getresponse().status == program.ready_status
    except OSError:
        return False
    finally:
        connection.close()


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
    # Workers that outlived it, and itself where it did not stop: the session is its own.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
