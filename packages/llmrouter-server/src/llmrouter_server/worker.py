"""One process that serves: loads what it needs, serves until it is told to stop, reloads when asked.

``python -m llmrouter_server.worker`` is how the supervisor starts one, with the number of the listening
socket as the argument; `llmrouter_server.link` says what the two tell each other.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from llmrouter.errors import LLMRouterError
from llmrouter.files import Stamp, hold_files, holds_files, noting_files, stamp_of
from llmrouter.log_lines import log_lines
from llmrouter.plugin_system import PluginRegistry, set_plugin_registry
from llmrouter_server import tracing
from llmrouter_server.access_log import AccessLog
from llmrouter_server.app import Application
from llmrouter_server.auth import Keys
from llmrouter_server.budgets import Budgeting, Budgets
from llmrouter_server.ending import end_within, hold_hang_ups, ignore_signals, leave_threads, on_hang_up
from llmrouter_server.gateway import Gateway, open_gateway
from llmrouter_server.link import Counted, Link, Loaded, Ready, Start
from llmrouter_server.metrics import Metrics
from llmrouter_server.options import ServeOptions, require_lifecycle
from llmrouter_server.server import (
    Server,
    let_idle_threads_sleep,
    make_server,
    most_connections,
    run,
    spare_the_collector,
)
from llmrouter_server.service import gateway_routes
from llmrouter_server.upstream import Upstreams

if TYPE_CHECKING:
    from llmrouter_server.lifecycle.process import LifecycleProcess

logger = logging.getLogger(__name__)

# Ends a worker that could not start: starting it again would not help.
UNUSABLE = 3
_KEYS_SECONDS = 1.0
_METRICS_SECONDS = 0.25
_REPORT_SECONDS = 1.0
# A process that was told to end is gone so long after the time for running answers, whatever it does.
_LATEST_SECONDS = 5.0


class Worker:
    """Serves on a socket.

    Args:
        options: What the command line asks for.
        ready: Called as soon as requests are answered.
        link: To the supervisor, if there is one.
        hung_up: Says whether a SIGHUP came while this process started.
    """

    def __init__(
        self,
        options: ServeOptions,
        ready: Callable[[], None] = lambda: None,
        link: Link | None = None,
        hung_up: Callable[[], bool] = lambda: False,
    ) -> None:
        self._options = options
        self._registry: PluginRegistry | None = None
        self._ready = ready
        self._link = link
        self._hung_up = hung_up
        self._metrics = Metrics(link)
        self._lifecycle = _lifecycle(options)
        self._budgets: Budgeting | None = None
        if self._lifecycle is not None:
            self._budgets = self._lifecycle.budgets
        elif options.keys_file is not None:
            self._budgets = Budgets(options.keys_file)
        self._reloading: asyncio.Task[None] | None = None
        self._again = False
        # One of its own, which nobody waits for at the end.
        self._thread = ThreadPoolExecutor(1, "configuration")
        self._files: dict[str, Stamp] = {}

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
            if self._link is not None:
                await self._link.open()
            gateway = self._open()
            others = () if self._lifecycle is None else self._lifecycle.routes
            self._app = Application(gateway, gateway_routes(others), log, most_connections())
            self._tell_loaded()
            spare_the_collector()
            server = make_server(self._app, gateway.settings.shutdown_seconds)
            loop.add_signal_handler(signal.SIGINT, self._stop, server)
            loop.add_signal_handler(signal.SIGTERM, self._stop, server)
            on_hang_up(loop, partial(self._hang_up, server, log))
            if self._hung_up():
                self._hang_up(server, log)
            watching = loop.create_task(self._watch_keys())
            counting = loop.create_task(self._count())
            announcing = loop.create_task(self._announce(server))
            await server.serve([listener])
            for task in (watching, counting, announcing, self._reloading):
                if task is not None:
                    task.cancel()
            self._app.gateway.close()
            self._app.tell_metrics()
            self._report()
        finally:
            ignore_signals()
            await self._upstreams.close()
            log.close()
            if self._lifecycle is not None:
                self._lifecycle.close()
            elif self._budgets is not None:
                self._budgets.close()
            self._thread.shutdown(wait=False, cancel_futures=True)
            if self._link is not None:
                self._link.close()
            tracing.stop()

    def _open(self) -> Gateway:
        """Read what is served; notes which files say so."""
        with noting_files() as files:
            gateway = self._opened()
        if holds_files():
            files = {}
        if gateway.keys is not None and gateway.keys.stamp is not None:
            files[os.path.abspath(gateway.keys.path)] = gateway.keys.stamp
        self._files = files
        return gateway

    def _reopen(self) -> Gateway:
        """Read it as it is now, not as it was when this process started; where that fails, all stays."""
        held, files = hold_files({}), self._files
        try:
            return self._open()
        except BaseException:  # whatever it is: what was held before is what goes on being served
            hold_files(held)
            self._files = files
            raise

    def _opened(self) -> Gateway:
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

    async def _announce(self, server: Server) -> None:
        while not server.started:
            await asyncio.sleep(0.005)
        self._ready()
        if self._link is not None:
            self._link.send(Ready())

    def _stop(self, server: Server) -> None:
        seconds = self._app.gateway.settings.shutdown_seconds
        if server.should_exit:
            # Asked twice: whoever asks does not want to wait.
            self._app.end_running()
            seconds = 0
        server.should_exit = True
        asyncio.get_running_loop().call_later(seconds, self._app.end_running)
        end_within(seconds + _LATEST_SECONDS)

    def _hang_up(self, server: Server, log: AccessLog) -> None:
        log.reopen()
        if server.should_exit:
            return
        if self._reloading is not None and not self._reloading.done():
            self._again = True
            return
        self._reloading = asyncio.get_running_loop().create_task(self._reload())

    async def _reload(self) -> None:
        """Replace what requests are answered with; where that fails, it stays as it was."""
        loop = asyncio.get_running_loop()
        self._again = True
        while self._again:
            self._again = False
            try:
                gateway = await loop.run_in_executor(self._thread, self._reopen)
            except LLMRouterError as error:
                logger.error("The configuration was not reloaded, the one before stays: %s", error)
                continue
            except Exception:  # a router may raise anything when it is made, and what is served must go on
                logger.exception("The configuration was not reloaded, the one before stays")
                continue
            before = self._app.gateway
            self._app.serve(gateway)
            self._tell_loaded(reloaded=True)
            # Requests that began with it go on with it; its routers' threads end when nothing waits.
            loop.call_later(before.settings.total_seconds, before.close)
            logger.warning("The configuration was reloaded")

    def _tell_loaded(self, reloaded: bool = False) -> None:
        """Tell the supervisor what is served."""
        if self._link is not None:
            seconds = self._app.gateway.settings.shutdown_seconds
            self._link.send(Loaded(self._files, not holds_files(), self._metrics.names, seconds, reloaded))

    def _report(self) -> None:
        if self._link is not None:
            self._link.send(Counted(self._metrics.report()))

    async def _count(self) -> None:
        reported = since = 0
        while True:
            self._app.tell_metrics()
            since += 1
            if self._metrics.changes != reported and since * _METRICS_SECONDS >= _REPORT_SECONDS:
                reported, since = self._metrics.changes, 0
                self._report()
            await asyncio.sleep(_METRICS_SECONDS)

    async def _watch_keys(self) -> None:
        """Read the keys file anew when it changes, so that a key is revoked without a signal."""
        loop = asyncio.get_running_loop()
        tried = None
        while True:
            await asyncio.sleep(_KEYS_SECONDS)
            keys = self._app.gateway.keys
            if keys is None:
                return
            stamp = await loop.run_in_executor(self._thread, stamp_of, keys.path)
            if stamp in (keys.stamp, tried):
                continue
            tried = stamp
            try:
                changed = await loop.run_in_executor(self._thread, Keys, keys.path)
            except LLMRouterError as error:
                logger.error("The keys were not read anew, those before stay: %s", error)
                continue
            self._app.gateway = self._app.gateway.with_keys(changed)
            if changed.stamp is not None:
                self._files[os.path.abspath(changed.path)] = changed.stamp
                self._tell_loaded()


def _lifecycle(options: ServeOptions) -> LifecycleProcess | None:
    if options.lifecycle is None:
        return None
    require_lifecycle()
    from llmrouter_server.lifecycle.process import LifecycleProcess

    return LifecycleProcess(options.lifecycle)


def configure_logging(debug: bool = False) -> None:
    """Log to standard error, with the time, which for a server matters."""
    log_lines(logging.DEBUG if debug else logging.WARNING, force=True)
    # Of those that it serves it says little that the access log does not.
    logging.getLogger("uvicorn").setLevel(logging.DEBUG if debug else logging.ERROR)
    logging.getLogger("asyncio").setLevel(logging.ERROR)


def main() -> int:
    """Run a worker of the supervisor's."""
    faulthandler.enable()  # a crash names the file that it happened in
    hung_up = hold_hang_ups()
    start = _read_start()
    hold_files(start.files)
    configure_logging(start.options.debug)
    tracing.start()
    listener = socket.socket(fileno=int(sys.argv[1]))
    link = Link(os.dup(1), _orphaned)
    # What plugins print goes to standard error.
    os.dup2(2, 1)
    try:
        run(Worker(start.options, link=link, hung_up=hung_up).serve(listener))
    except LLMRouterError as error:
        logger.error("%s", error)
        return UNUSABLE
    leave_threads()
    return 0


def _read_start() -> Start:
    """Read what the supervisor says first; it says no more until it is asked."""
    told = bytearray()
    while not told.endswith(b"\n"):
        if not (part := os.read(0, 1 << 20)):
            raise LLMRouterError("the supervisor is gone")
        told += part
    return msgspec.json.decode(told, type=Start)


def _orphaned() -> None:
    logger.error("The supervisor is gone")
    signal.raise_signal(signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
