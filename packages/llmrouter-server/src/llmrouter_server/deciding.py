"""Put queries to a router without holding up the event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from time import perf_counter
from typing import Any

from llmrouter.constraints import ConstraintError
from llmrouter.decision import RoutingDecision
from llmrouter.errors import RoutingError
from llmrouter.gateway_settings import Settings
from llmrouter.routing import Decided, DecisionEngine
from llmrouter_server.errors import GatewayError, constraint_error
from llmrouter_server.metrics import Metrics
from llmrouter_server.timing import TimeLimitError, within

logger = logging.getLogger(__name__)


class Decider(ABC):
    """A router that decides for requests.

    Attributes:
        name: Of the router.
        engine: The router.
        candidates: Names of its candidates.
    """

    def __init__(self, engine: DecisionEngine) -> None:
        self.name = str(engine.name)
        self.engine = engine
        self.candidates = list(engine.router.llm_data)

    @abstractmethod
    async def decide(self, query: dict[str, Any]) -> RoutingDecision:
        """Decide for one query.

        Raises:
            GatewayError: The router failed, or did not decide in time.
        """

    @property
    def problem(self) -> str | None:
        """What keeps it from deciding; None where nothing does."""
        return None

    def close(self) -> None:  # noqa: B027 - most have nothing to end
        """End, once what waits is decided."""


class DirectDecider(Decider):
    """For routers that are quicker than handing a query to a thread, and than measuring how long."""

    async def decide(self, query: dict[str, Any]) -> RoutingDecision:
        """Decide at once."""
        try:
            return self.engine.decide(query)
        except RoutingError as error:
            raise _failed(self.name, error) from error


Waiting = tuple[dict[str, Any], "asyncio.Future[RoutingDecision]"]


class BatchDecider(Decider):
    """Has a thread of its own that puts all queries that wait to the router together.

    While the router works on one batch the next one gathers: alone, a query waits for nothing; under load,
    batches grow. A router is called by one thread at a time.
    """

    def __init__(self, engine: DecisionEngine, metrics: Metrics, settings: Settings) -> None:
        super().__init__(engine)
        self._limit = settings.decide_seconds
        self._size = settings.max_batch
        self._observe = metrics.decide(self.name).observe
        self._observe_size = metrics.batch(self.name).observe
        self._waiting: list[Waiting] = []
        self._condition = threading.Condition()
        self._closed = False
        self._since: float | None = None
        self._thread = threading.Thread(target=self._run, name=f"router {self.name}", daemon=True)
        self._thread.start()

    async def decide(self, query: dict[str, Any]) -> RoutingDecision:
        """Decide in the thread."""
        if self.problem:
            raise GatewayError(503, f"{self.problem}.", code="router_stuck")
        future: asyncio.Future[RoutingDecision] = asyncio.get_running_loop().create_future()
        started = perf_counter()
        with self._condition:
            self._waiting.append((query, future))
            self._condition.notify()
        try:
            with within(self._limit):
                return await future
        except TimeLimitError:
            raise GatewayError(
                504,
                f"The router {self.name!r} did not decide within {self._limit:g} s.",
                code="router_timeout",
            ) from None
        finally:
            self._observe(perf_counter() - started)

    @property
    def problem(self) -> str | None:
        """Say that the router hangs, if so."""
        since = self._since
        if since is None or perf_counter() - since < self._limit:
            return None
        return f"The router {self.name!r} has been working on one batch for {perf_counter() - since:.0f} s"

    def close(self) -> None:
        """End the thread, once it has decided what waits."""
        with self._condition:
            self._closed = True
            self._condition.notify()

    def _run(self) -> None:
        while batch := self._take():
            self._since = perf_counter()
            self._observe_size(len(batch))
            decided = self._decide([query for query, _ in batch])
            loop = batch[0][1].get_loop()
            self._since = None
            try:
                loop.call_soon_threadsafe(self._deliver, batch, decided)
            except RuntimeError:  # the loop is closed, nobody waits
                return

    def _take(self) -> list[Waiting]:
        """Return what waits, as soon as something does; empty at the end."""
        with self._condition:
            while True:
                # Whoever was waited for too long does not wait any more.
                waiting = [item for item in self._waiting if not item[1].done()]
                batch, self._waiting = waiting[: self._size], waiting[self._size :]
                if batch or self._closed:
                    return batch
                self._condition.wait()

    def _decide(self, queries: list[dict[str, Any]]) -> Sequence[Decided]:
        try:
            return self.engine.decide_batch(queries)
        except Exception as error:  # the engine contains what routers raise; this would be a fault of its own
            logger.exception("Deciding by %s failed", self.name)
            return [RoutingError(f"{type(error).__name__}")] * len(queries)

    def _deliver(self, batch: Sequence[Waiting], decided: Sequence[Decided]) -> None:
        for (_, future), decision in zip(batch, decided, strict=True):
            if future.done():
                continue
            if isinstance(decision, RoutingError):
                future.set_exception(_failed(self.name, decision))
            else:
                future.set_result(decision)


def decider_for(engine: DecisionEngine, metrics: Metrics, settings: Settings) -> Decider:
    """Return what decides with a router: at once where it says that it is quick and nobody observes."""
    if type(engine.router).quick and not engine.observed:
        return DirectDecider(engine)
    return BatchDecider(engine, metrics, settings)


def _failed(name: str, error: RoutingError) -> GatewayError:
    if isinstance(error.__cause__, ConstraintError):
        # Such as one that names a candidate on which the router was not trained.
        return constraint_error(error.__cause__)
    # The error may quote the query or name files: it is for the log, not for the client.
    logger.error("The router %s failed: %s", name, error)
    return GatewayError(500, f"The router {name!r} failed; the gateway's log says why.", code="router_failed")
