"""The HTTP server of a process, and what makes it quick."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Coroutine, Iterator, MutableMapping
from typing import Any

import uvicorn

from llmrouter_server.app import Application
from llmrouter_server.protocol import CHECK_TICKS, BoundedProtocol

# What is left to the server after the time for running answers, to send what ends them.
END_SECONDS = 2
_KEEP_ALIVE_SECONDS = 75
# More open files than this are not asked for.
_FILES = 65_536


class Server(uvicorn.Server):
    """The HTTP server; signals are the worker's business."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield

    async def on_tick(self, counter: int) -> bool:
        """Look after connections that do not get on."""
        if not counter % CHECK_TICKS:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, BoundedProtocol):
                    connection.check(now)
        return await super().on_tick(counter)


def make_server(app: Application, shutdown_seconds: float) -> Server:
    """Return a server of an application.

    Args:
        app: The application.
        shutdown_seconds: How long running answers may take when it stops.
    """
    return Server(
        uvicorn.Config(
            app,
            http=BoundedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=int(shutdown_seconds + END_SECONDS),
        )
    )


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine on the quickest event loop that is installed."""
    try:
        import uvloop
    except ImportError:  # as on Windows
        asyncio.run(main)
    else:
        uvloop.run(main)


def most_connections() -> int | None:
    """Let this process open as many files as it may; returns how many of them clients may have."""
    try:
        import resource
    except ImportError:  # as on Windows
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    # The others are for upstreams, one for each request at most, and for files.
    return max(16, soft // 2)


def let_idle_threads_sleep(environ: MutableMapping[str, str]) -> None:
    """Have the threads of torch sleep while they wait for work, unless the user decided otherwise.

    By default they keep the processors busy meanwhile, which the event loop then has to wait for. It is read
    when torch is imported.
    """
    environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def spare_the_collector() -> None:
    """Keep what is there for good out of every garbage collection, and collect less often.

    Requests leave few cycles behind.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
