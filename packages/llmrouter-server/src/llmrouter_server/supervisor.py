"""Several workers on one socket: started, told of signals, and replaced when they die."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable
from functools import partial
from time import monotonic
from typing import cast

import msgspec

from llmrouter.errors import LLMRouterError
from llmrouter_server.ending import ignore_signals, on_hang_up
from llmrouter_server.jobs import JobWorker, program
from llmrouter_server.kept import KeptFiles
from llmrouter_server.link import MESSAGE_BYTES, FromWorker, Loaded, Ready, Start, Total
from llmrouter_server.options import ServeOptions
from llmrouter_server.totals import Family, of_names, summed, without_gauges
from llmrouter_server.worker import UNUSABLE, configure_logging

logger = logging.getLogger(__name__)

# A worker that lived for so long is replaced at once; one that did not, later and later.
_LIVED_SECONDS = 10.0
_FIRST_DELAY, _LONGEST_DELAY = 0.5, 30.0
# Workers that may end before any has answered a request; then it is given up.
_FAILURES = 5
# A worker ends itself some seconds after `shutdown_seconds`; one that cannot is killed then.
_KILL_SECONDS = 7.0
# Set for programs that let prometheus_client keep its numbers in files; here no full disk may end a worker.
_METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"

_decode = msgspec.json.Decoder(FromWorker).decode
_decode_families = msgspec.json.Decoder(list[Family]).decode


class _Worker:
    """A worker that runs, and what it has counted so far."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.counted = msgspec.Raw(b"[]")


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
        self._workers: dict[int, _Worker] = {}
        self._started: set[int] = set()
        self._announced = False
        self._stopping = asyncio.Event()
        self._unusable: str | None = None
        self._failures = 0
        self._kept = KeptFiles()
        self._jobs = JobWorker(options, self._kept.changed) if does_jobs else None
        self._shutdown_seconds = 0.0
        self._reloading = False
        # What workers counted that have ended.
        self._ended: list[Family] = []

    def run(self) -> None:
        """Run until SIGTERM or SIGINT, and until the workers have ended.

        Raises:
            LLMRouterError: The workers cannot start.
        """
        configure_logging(self._options.debug)
        asyncio.run(self._run())
        if self._unusable is not None:
            raise LLMRouterError(f"the gateway cannot start: {self._unusable}; what it logged says why")

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop)
        on_hang_up(loop, self._hang_up)
        keeping = [self._keep(partial(self._work, place)) for place in range(self._count)]
        if self._jobs is not None:
            keeping.append(self._keep(self._jobs.work))
        try:
            await asyncio.gather(*keeping)
        finally:
            ignore_signals()

    def _stop(self) -> None:
        # The workers close theirs; while this one is open, connections would wait for nobody.
        self._listener.close()
        again = self._stopping.is_set()
        self._stopping.set()
        # A second signal reaches the workers too, and has them end at once.
        self._tell(signal.SIGTERM)
        with contextlib.suppress(RuntimeError):  # no loop runs, so no worker does
            loop = asyncio.get_running_loop()
            loop.call_later(
                _KILL_SECONDS + (0 if again else self._shutdown_seconds), self._tell, signal.SIGKILL
            )
        if self._jobs is not None:
            self._jobs.stop()

    def _hang_up(self) -> None:
        if not self._stopping.is_set():
            self._reloading = True
            self._tell(signal.SIGHUP)

    def _tell(self, number: signal.Signals) -> None:
        for worker in self._workers.values():
            if worker.process.returncode is None:
                # Not by the process object, which would take the status of one that has just ended.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.process.pid, number)

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
            if not self._started:
                self._failures += 1
            if not self._announced and (status == UNUSABLE or self._failures >= _FAILURES):
                # The others cannot either.
                self._unusable = f"a worker ended {_how(status)}"
                self._stop()
                return
            lived = monotonic() - since > _LIVED_SECONDS
            delay = _FIRST_DELAY if lived else min(delay * 2, _LONGEST_DELAY)
            pause = 0.0 if lived else delay / 2
            logger.error("A worker ended %s; another is started in %.1f s", _how(status), pause)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)

    async def _work(self, place: int) -> int:
        """Start a worker, and return its exit status once it has ended."""
        worker = _Worker(await self._program())
        process, self._workers[place] = worker.process, worker
        if self._stopping.is_set():
            process.terminate()
        to_worker, from_worker = cast(StreamWriter, process.stdin), cast(StreamReader, process.stdout)
        listening = asyncio.get_running_loop().create_task(
            self._listen(place, worker, from_worker, to_worker)
        )
        try:
            # It stays open: that it closes is how a worker learns that the supervisor is gone.
            announces = place == 0 and not self._announced
            options = msgspec.structs.replace(self._options, announces=announces)
            to_worker.write(msgspec.json.encode(Start(options, self._kept.changed())) + b"\n")
            with contextlib.suppress(ConnectionError):
                await to_worker.drain()
            status = await process.wait()
            # What it said last is read, unless a process that it left behind keeps the stream open.
            await asyncio.wait([listening], timeout=1)
        finally:
            listening.cancel()
            to_worker.close()
            del self._workers[place]
        self._ended = summed([self._ended, without_gauges(_decode_families(worker.counted))])
        return status

    async def _program(self) -> Process:
        listener = self._listener.fileno()
        environ = {name: value for name, value in os.environ.items() if name != _METRICS_FOLDER}
        # A SIGHUP waits until the worker can act on it, for by default it would end the worker.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
        try:
            return await asyncio.create_subprocess_exec(
                *program("llmrouter_server.worker"),
                str(listener),
                stdin=PIPE,
                stdout=PIPE,
                pass_fds=(listener,),
                env=environ,
                limit=MESSAGE_BYTES,
                # Signals of the terminal come through the supervisor, else they would come twice.
                start_new_session=True,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])

    async def _listen(
        self, place: int, worker: _Worker, from_worker: StreamReader, to_worker: StreamWriter
    ) -> None:
        """Do as a worker asks, until it ends."""
        with contextlib.suppress(ConnectionError):
            async for line in from_worker:
                try:
                    message = _decode(line)
                except msgspec.DecodeError as error:
                    logger.error("A worker said what is not understood: %s", error)
                    continue
                if isinstance(message, Ready):
                    self._note_started(place)
                elif isinstance(message, Loaded):
                    self._note_loaded(message)
                else:
                    # A copy, for it is a part of the whole line.
                    worker.counted = message.families.copy()
                    if message.asks:
                        to_worker.write(msgspec.json.encode(self._total()) + b"\n")

    def _total(self) -> Total:
        living = [_decode_families(worker.counted) for worker in self._workers.values()]
        return Total(summed([self._ended, *living]))

    def _note_loaded(self, loaded: Loaded) -> None:
        self._shutdown_seconds = loaded.shutdown_seconds
        self._kept.accept(loaded.files, loaded.whole)
        self._ended = of_names(self._ended, loaded.names)
        if self._reloading and loaded.reloaded:
            self._reloading = False
            if self._jobs is not None:
                self._jobs.restart()

    def _note_started(self, place: int) -> None:
        self._started.add(place)
        self._failures = 0
        if self._stopping.is_set():
            # Told to stop meanwhile: there is nothing to announce, and no listener to name.
            return
        if len(self._started) == self._count and not self._announced:
            self._announced = True
            self._ready()


def _how(status: int) -> str:
    if status >= 0:
        return f"with status {status}"
    with contextlib.suppress(ValueError):
        return f"by {signal.Signals(-status).name}"
    return f"by signal {-status}"
