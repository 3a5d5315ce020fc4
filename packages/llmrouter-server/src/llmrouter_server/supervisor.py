"""Several workers on one socket: started, told of signals, and replaced when they die."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import tempfile
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable
from functools import partial
from time import monotonic
from typing import cast

import msgspec

from llmrouter.errors import LLMRouterError
from llmrouter_server.jobs import JobWorker, program
from llmrouter_server.options import ServeOptions
from llmrouter_server.worker import UNUSABLE, configure_logging

logger = logging.getLogger(__name__)

# Which numbers a worker counts into a file, so that each tells those of all; read by prometheus_client.
_METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
# A worker that lived for so long is replaced at once; one that did not, later and later.
_LIVED_SECONDS = 10.0
_FIRST_DELAY, _LONGEST_DELAY = 0.5, 30.0


class Supervisor:
    """Keeps workers running.

    Workers are programs of their own, not forks: a router may have threads or hold a device. They share the
    socket, so that a connection that waits for a worker that died is taken by another.

    Args:
        options: For the workers.
        listener: The listening socket.
        count: Number of workers.
        ready: Called once, when all answer requests.
        does_jobs: Whether to keep a process that does the lifecycle's training jobs, too.
    """

    def __init__(
        self,
        options: ServeOptions,
        listener: socket.socket,
        count: int,
        ready: Callable[[], None],
        does_jobs: bool = False,
    ) -> None:
        self._options = options
        self._listener = listener
        self._count = count
        self._ready = ready
        self._jobs = JobWorker(options) if does_jobs else None
        self._workers: dict[int, Process] = {}
        self._started: set[int] = set()
        self._announced = False
        self._stopping = asyncio.Event()
        self._unusable = False

    def run(self) -> None:
        """Run until SIGTERM or SIGINT, and until the workers have ended.

        Raises:
            LLMRouterError: The workers cannot start.
        """
        configure_logging(self._options.debug)
        with tempfile.TemporaryDirectory(prefix="llmrouter-metrics-") as folder:
            asyncio.run(self._run(folder))
        if self._unusable:
            raise LLMRouterError("the gateway cannot start; what its workers logged says why")

    async def _run(self, folder: str) -> None:
        loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        keeping = [self._keep(partial(self._work, place, folder)) for place in range(self._count)]
        if self._jobs is not None:
            keeping.append(self._keep(self._jobs.work))
        await asyncio.gather(*keeping)

    def _stop(self) -> None:
        # The workers close theirs; while this one is open, connections would wait for nobody.
        self._listener.close()
        self._stopping.set()
        # A second signal reaches the workers too, and has them end at once.
        self._tell(signal.SIGTERM)
        if self._jobs is not None:
            self._jobs.stop()

    def _hang_up(self) -> None:
        self._tell(signal.SIGHUP)
        if self._jobs is not None:
            self._jobs.restart()

    def _tell(self, number: signal.Signals) -> None:
        for worker in self._workers.values():
            if worker.returncode is None:
                worker.send_signal(number)

    async def _keep(self, work: Callable[[], Awaitable[int | None]]) -> None:
        """Keep one worker running.

        Args:
            work: Runs it until it ends, and returns its exit status; None: it ended because it was to be
                replaced.
        """
        delay = _FIRST_DELAY
        while not self._stopping.is_set():
            since = monotonic()
            status = await work()
            if self._stopping.is_set():
                return
            if status is None:
                continue
            if status == UNUSABLE and not self._announced:
                # The others cannot either.
                self._unusable = True
                self._stop()
                return
            delay = _FIRST_DELAY if monotonic() - since > _LIVED_SECONDS else min(delay * 2, _LONGEST_DELAY)
            pause = 0.0 if monotonic() - since > _LIVED_SECONDS else delay / 2
            logger.error("A worker ended with status %d; another is started in %.1f s", status, pause)
            try:
                await asyncio.wait_for(self._stopping.wait(), pause)
            except asyncio.TimeoutError:
                continue

    async def _work(self, place: int, folder: str) -> int:
        """Start a worker, and return its exit status once it has ended."""
        listener = self._listener.fileno()
        worker = await asyncio.create_subprocess_exec(
            *program("llmrouter_server.worker"),
            str(listener),
            stdin=PIPE,
            stdout=PIPE,
            pass_fds=(listener,),
            env={**os.environ, _METRICS_FOLDER: folder},
            # Signals of the terminal come through the supervisor, else they would come twice.
            start_new_session=True,
        )
        self._workers[place] = worker
        if self._stopping.is_set():
            worker.terminate()
        to_worker, from_worker = cast(StreamWriter, worker.stdin), cast(StreamReader, worker.stdout)
        try:
            # It stays open: that it closes is how a worker learns that the supervisor is gone.
            announces = place == 0 and not self._announced
            options = msgspec.structs.replace(self._options, announces=announces)
            to_worker.write(msgspec.json.encode(options) + b"\n")
            await to_worker.drain()
            if await from_worker.readline():
                self._note_started(place)
        except ConnectionError:
            pass
        status = await worker.wait()
        del self._workers[place]
        to_worker.close()
        _forget(worker.pid, folder)
        return status

    def _note_started(self, place: int) -> None:
        self._started.add(place)
        if self._stopping.is_set():
            # Told to stop meanwhile: there is nothing to announce, and no listener to name.
            return
        if len(self._started) == self._count and not self._announced:
            self._announced = True
            self._ready()


def _forget(pid: int, folder: str) -> None:
    """Leave a worker that ended out of what counts only the living."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]
