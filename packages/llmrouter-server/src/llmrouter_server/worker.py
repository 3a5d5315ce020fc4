"""One process that serves: loads what it needs, serves until it is told to stop, reloads when asked.

``python -m llmrouter_server.worker`` is how the supervisor starts one: the number of the listening socket is
the argument, the options come as a line of JSON on standard input, and a line on standard output says that it
is ready.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator, MutableMapping
from typing import TYPE_CHECKING, Any

import msgspec
import uvicorn

from llmrouter.errors import LLMRouterError
from llmrouter.plugin_system import PluginRegistry, set_plugin_registry
from llmrouter_server import tracing
from llmrouter_server.access_log import AccessLog
from llmrouter_server.app import Application
from llmrouter_server.auth import Keys, stamp_of
from llmrouter_server.budgets import Budgeting, Budgets
from llmrouter_server.gateway import Gateway, open_gateway
from llmrouter_server.metrics import Metrics
from llmrouter_server.options import ServeOptions, require_lifecycle
from llmrouter_server.protocol import CHECK_TICKS, BoundedProtocol
from llmrouter_server.service import gateway_routes
from llmrouter_server.upstream import Upstreams

if TYPE_CHECKING:
    from llmrouter_server.lifecycle.process import LifecycleProcess

logger = logging.getLogger(__name__)

# Ends a worker that could not start: starting it again would not help.
UNUSABLE = 3
_KEEP_ALIVE_SECONDS = 75
_KEYS_SECONDS = 1.0
# More open files than this are not asked for.
_FILES = 65_536
_METRICS_SECONDS = 0.25
# What is left to the server after the time for running answers, to send what ends them.
_END_SECONDS = 2


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


class Worker:
    """Serves on a socket.

    Args:
        options: What the command line asks for.
        ready: Called as soon as requests are answered.
    """

    def __init__(
        self,
        options: ServeOptions,
        ready: Callable[[], None] = lambda: None,
    ) -> None:
        self._options = options
        self._registry: PluginRegistry | None = None
        self._ready = ready
        self._metrics = Metrics()
        self._lifecycle = _lifecycle(options)
        self._budgets: Budgeting | None = None
        if self._lifecycle is not None:
            self._budgets = self._lifecycle.budgets
        elif options.keys_file is not None:
            self._budgets = Budgets(options.keys_file)
        self._reloading: asyncio.Task[None] | None = None
        self._again = False

    async def serve(self, listener: socket.socket) -> None:
        """Serve until SIGTERM or SIGINT, and let running answers finish.

        Raises:
            LLMRouterError: What it needs cannot be used.
        """
        loop = asyncio.get_running_loop()
        let_idle_threads_sleep(os.environ)
        self._upstreams = Upstreams(self._options.workers)
        log = AccessLog(self._options.access_log)
        try:
            gateway = self._open()
            others = () if self._lifecycle is None else self._lifecycle.routes
            self._app = Application(gateway, gateway_routes(others), log, most_connections())
            _spare_the_collector()
            server = make_server(self._app, gateway.settings.shutdown_seconds)
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, self._stop, server)
            loop.add_signal_handler(signal.SIGHUP, self._hang_up, log)
            watching = loop.create_task(self._watch_keys())
            counting = loop.create_task(self._count())
            announcing = loop.create_task(self._announce(server))
            await server.serve([listener])
            for task in (watching, counting, announcing, self._reloading):
                if task is not None:
                    task.cancel()
            self._app.gateway.close()
            self._app.tell_metrics()
        finally:
            await self._upstreams.close()
            log.close()
            if self._lifecycle is not None:
                self._lifecycle.close()
            elif self._budgets is not None:
                self._budgets.close()
            tracing.stop()

    def _open(self) -> Gateway:
        registry, before = self._plugins(), self._registry
        # A router that asks another one, and whoever asks for a judge, look there too.
        set_plugin_registry(registry)
        try:
            gateway = open_gateway(
                registry,
                self._options.routers,
                self._options.keys_file,
                self._metrics,
                self._upstreams,
                self._budgets,
                None if self._lifecycle is None else self._lifecycle.open(self._options.config),
            )
        except BaseException:  # whatever it is: the plugins before are those that go on answering
            if before is not None:
                set_plugin_registry(before)
            raise
        self._registry = registry
        return gateway

    def _plugins(self) -> PluginRegistry:
        """Look for plugins anew."""
        registry = PluginRegistry(
            block=self._options.block,
            directories=self._options.use_directories,
            advice="--plugin-dirs turns them on",
        )
        # Of several workers one says from where routers run, and once, however often it reloads.
        if not self._options.announces:
            registry.announced.update(entry.origin for entry in registry.routers if entry.directory)
        elif self._registry is not None:
            registry.announced = self._registry.announced
        return registry

    async def _announce(self, server: uvicorn.Server) -> None:
        while not server.started:
            await asyncio.sleep(0.005)
        self._ready()

    def _stop(self, server: uvicorn.Server) -> None:
        if server.should_exit:
            # Asked twice: whoever asks does not want to wait.
            self._app.end_running()
        server.should_exit = True
        asyncio.get_running_loop().call_later(
            self._app.gateway.settings.shutdown_seconds, self._app.end_running
        )

    def _hang_up(self, log: AccessLog) -> None:
        log.reopen()
        if self._reloading is not None and not self._reloading.done():
            self._again = True
            return
        self._reloading = asyncio.get_running_loop().create_task(self._reload())

    async def _reload(self) -> None:
        """Replace what requests are answered with; where that fails, it stays as it was."""
        self._again = True
        while self._again:
            self._again = False
            try:
                gateway = await asyncio.to_thread(self._open)
            except LLMRouterError as error:
                logger.error("The configuration was not reloaded, the one before stays: %s", error)
                continue
            except Exception:  # a router may raise anything when it is made, and what is served must go on
                logger.exception("The configuration was not reloaded, the one before stays")
                continue
            before, self._app.gateway = self._app.gateway, gateway
            # Requests that began with it go on with it; its routers' threads end when nothing waits.
            asyncio.get_running_loop().call_later(before.settings.total_seconds, before.close)
            logger.warning("The configuration was reloaded")

    async def _count(self) -> None:
        while True:
            self._app.tell_metrics()
            await asyncio.sleep(_METRICS_SECONDS)

    async def _watch_keys(self) -> None:
        """Read the keys file anew when it changes, so that a key is revoked without a signal."""
        tried = None
        while True:
            await asyncio.sleep(_KEYS_SECONDS)
            keys = self._app.gateway.keys
            if keys is None:
                return
            stamp = await asyncio.to_thread(stamp_of, keys.path)
            if stamp in (keys.stamp, tried):
                continue
            tried = stamp
            try:
                changed = await asyncio.to_thread(Keys, keys.path)
            except LLMRouterError as error:
                logger.error("The keys were not read anew, those before stay: %s", error)
                continue
            self._app.gateway = self._app.gateway.with_keys(changed)


def let_idle_threads_sleep(environ: MutableMapping[str, str]) -> None:
    """Have the threads of torch sleep while they wait for work, unless the user decided otherwise.

    By default they keep the processors busy meanwhile, which the event loop then has to wait for. It is read
    when torch is imported.
    """
    environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def most_connections() -> int | None:
    """Let this process open as many files as it may; returns how many of them clients may have."""
    try:
        import resource
    except ImportError:  # as on Windows
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard > _FILES:
        hard = max(soft, _FILES)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        soft = hard
    # The others are for upstreams, one for each request at most, and for files.
    return max(16, soft // 2)


def _lifecycle(options: ServeOptions) -> LifecycleProcess | None:
    if options.lifecycle is None:
        return None
    require_lifecycle()
    from llmrouter_server.lifecycle.process import LifecycleProcess

    return LifecycleProcess(options.lifecycle)


def _spare_the_collector() -> None:
    """Keep what is there for good out of every garbage collection, and collect less often.

    Requests leave few cycles behind.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


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
            timeout_graceful_shutdown=int(shutdown_seconds + _END_SECONDS),
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


def configure_logging(debug: bool = False) -> None:
    """Log to standard error, with the time, which for a server matters."""
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.WARNING,
        format="%(asctime)s %(levelname)s %(message)s",
        force=True,
    )
    # Of those that it serves it says little that the access log does not.
    logging.getLogger("uvicorn").setLevel(logging.DEBUG if debug else logging.ERROR)
    logging.getLogger("asyncio").setLevel(logging.ERROR)


def main() -> int:
    """Run a worker of the supervisor's."""
    options = msgspec.json.decode(sys.stdin.buffer.readline(), type=ServeOptions)
    configure_logging(options.debug)
    tracing.start()
    listener = socket.socket(fileno=int(sys.argv[1]))
    supervisor = os.dup(1)
    # What plugins print goes to standard error.
    os.dup2(2, 1)

    def ready() -> None:
        with contextlib.suppress(BrokenPipeError):
            os.write(supervisor, b"ready\n")
        # Standard input ends when the supervisor does, however that comes.
        asyncio.get_running_loop().add_reader(0, _orphaned)

    try:
        run(Worker(options, ready=ready).serve(listener))
    except LLMRouterError as error:
        logger.error("%s", error)
        return UNUSABLE
    return 0


def _orphaned() -> None:
    asyncio.get_running_loop().remove_reader(0)
    logger.error("The supervisor is gone")
    signal.raise_signal(signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
