"""A worker process: ``python -m llmrouter_lifecycle.worker --config FILE --lifecycle DATABASE``.

It does training jobs until it is told to stop with SIGTERM or Ctrl-C. On SQLite one worker runs at a time; on
PostgreSQL as many as are started, on any machine. ``kill -9`` loses nothing: another worker goes on.
"""

from __future__ import annotations

import argparse
import base64
import faulthandler
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llmrouter.errors import LLMRouterError
from llmrouter.files import hold_files
from llmrouter.log_lines import log_lines
from llmrouter_lifecycle.models import Config
from llmrouter_lifecycle.store.database import Database
from llmrouter_lifecycle.store.jobs import PROGRAM
from llmrouter_lifecycle.store.workers import HEARTBEAT_TIMEOUT, Workers

logger = logging.getLogger(__name__)

# Seconds that a worker started by a client lives without a job.
IDLE = 20.0
# Seconds to wait for a worker that is just ending.
HANDOVER = 5.0

# Kept for as long as this process lives, for Python takes others to be forgotten.
_started: list[subprocess.Popen[bytes]] = []


def run_worker(
    lifecycle: str,
    config: Config | None = None,
    *,
    concurrency: int | None = None,
    heartbeat_timeout: float = HEARTBEAT_TIMEOUT,
    idle: float | None = None,
    waits: bool = False,
    block: Sequence[str] = (),
    directories: bool = False,
) -> int:
    """Do training jobs until told to stop; returns the exit status.

    Args:
        lifecycle: The database.
        config: What lists the LLMs.
        concurrency: Calls at once.
        heartbeat_timeout: Seconds after which work of a silent worker is taken over.
        idle: Seconds without a job after which it ends; None: never.
        waits: Whether to wait where another worker has the database to itself, in place of ending.
        block: Plugins to leave out.
        directories: Whether what it runs, such as a judge, finds routers in directories.

    Raises:
        LLMRouterError: The database or the configuration cannot be used.
    """
    from filelock import Timeout

    from llmrouter.plugin_system import PluginRegistry, set_plugin_registry
    from llmrouter_lifecycle.models import Models
    from llmrouter_lifecycle.training.runner import CONCURRENCY, Runner

    set_plugin_registry(
        PluginRegistry(block=block, directories=directories, advice="--plugin-dirs turns them on")
    )
    database = Database(lifecycle)
    lock = worker_lock(database)
    if lock is not None:
        try:
            # SIGTERM ends the process while it waits.
            lock.acquire(timeout=-1 if waits else HANDOVER, poll_interval=0.2)
        except Timeout:
            logger.info("a worker runs on %s already", database)
            return 0
    try:
        runner = Runner(
            database,
            Models(config),
            concurrency=concurrency or CONCURRENCY,
            heartbeat_timeout=heartbeat_timeout,
            alone=lock is not None,
            idle=idle,
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: runner.stop())
        logger.info("worker %s on %s", runner.id, database)
        runner.run()
    finally:
        if lock is not None:
            lock.release()
        database.close()
    return 0


def worker_lock(database: Database) -> Any:
    """Return the lock that a worker on an SQLite file holds; None for PostgreSQL."""
    if database.path is None:
        return None
    from filelock import FileLock

    return FileLock(f"{database.path}.worker", mode=0o600)


def has_worker(database: Database) -> bool:
    """Whether a worker runs that will do new jobs."""
    lock = worker_lock(database)
    if lock is None:
        return Workers(database, PROGRAM).alive() > 0
    from filelock import Timeout

    try:
        with lock.acquire(timeout=0):
            return False
    except Timeout:
        return True


def settings_line(
    lifecycle: str,
    config: Path | Mapping[str, Any] | None,
    *,
    block: Sequence[str] = (),
    directories: bool = False,
    supervised: bool = False,
    held: Mapping[str, bytes] | None = None,
) -> bytes:
    """Return what a worker reads from standard input: not as arguments, which everybody can read.

    Args:
        lifecycle: The database.
        config: What lists the LLMs.
        block: Plugins to leave out.
        directories: Whether plugin directories are looked into.
        supervised: Whether it ends when its standard input does.
        held: Contents to read in place of files, by absolute path.
    """
    told = {
        "lifecycle": lifecycle,
        "config": str(config) if isinstance(config, Path) else config,
        # So that it finds the modules of judges where this process finds them.
        "path": sys.path,
        "block": list(block),
        "directories": directories,
        "supervised": supervised,
        "held": {path: base64.b64encode(content).decode() for path, content in (held or {}).items()},
    }
    return json.dumps(told).encode() + b"\n"


def start_worker(database: Database, config: Path | Mapping[str, Any] | None) -> subprocess.Popen[bytes]:
    """Start a worker process that ends when there has been nothing to do for a while."""
    log: Any = subprocess.DEVNULL
    if database.path is not None:
        path = Path(f"{database.path}.worker.log")
        path.touch(0o600)
        log = path.open("ab")
    try:
        process = subprocess.Popen(  # noqa: S603 - this program itself
            [
                sys.executable,
                "-m",
                "llmrouter_lifecycle.worker",
                "--idle",
                str(IDLE),
                "--settings-from-stdin",
            ],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            # Ctrl-C in a terminal is meant for the client.
            start_new_session=True,
        )
    finally:
        if log is not subprocess.DEVNULL:
            log.close()
    _started.append(process)
    stream: Any = process.stdin
    with stream:
        stream.write(settings_line(database.url, config))
    return process


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a worker as the command line says."""
    parser = argparse.ArgumentParser("llmrouter_lifecycle.worker", description=__doc__)
    parser.add_argument("--config", help="the YAML file that lists the LLMs")
    parser.add_argument("--lifecycle", help="the database: a path, or postgresql://…")
    parser.add_argument("--concurrency", type=int, help="calls at once")
    parser.add_argument(
        "--heartbeat-timeout",
        type=float,
        default=HEARTBEAT_TIMEOUT,
        help="seconds until work of a silent worker is taken over",
    )
    parser.add_argument("--idle", type=float, help="end after so many seconds without a job")
    parser.add_argument("--plugin-dirs", action="store_true", help="look for routers in directories too")
    parser.add_argument("--settings-from-stdin", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    config: Config | None = options.config
    block: Sequence[str] = ()
    supervised = False
    if options.settings_from_stdin:
        told = json.loads(sys.stdin.buffer.readline())
        options.lifecycle, config = told["lifecycle"], told["config"]
        sys.path.extend(place for place in told["path"] if place not in sys.path)
        block, options.plugin_dirs = told["block"], told["directories"]
        supervised = told["supervised"]
        hold_files({path: base64.b64decode(content) for path, content in told["held"].items()})
    if supervised:
        threading.Thread(target=_end_with_supervisor, name="supervisor", daemon=True).start()
    log_lines(logging.INFO)
    # They log every call.
    for name in ("httpx", "httpx2"):
        logging.getLogger(name).setLevel(logging.WARNING)
    if not options.lifecycle:
        parser.error("name the database with --lifecycle")
    try:
        return run_worker(
            options.lifecycle,
            config,
            concurrency=options.concurrency,
            heartbeat_timeout=options.heartbeat_timeout,
            idle=options.idle,
            waits=supervised,
            block=block,
            directories=options.plugin_dirs,
        )
    except LLMRouterError as error:
        logger.error("%s", error)
        return 1


def _end_with_supervisor() -> None:
    """End when standard input does, which is when whoever started this process is gone."""
    # Not through sys.stdin, whose lock a thread that waits would hold while Python ends.
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    faulthandler.enable()  # a crash names the file that it happened in
    raise SystemExit(main())
