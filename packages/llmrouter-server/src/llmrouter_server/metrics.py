"""Prometheus metrics of the gateway."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, TypeVar

import msgspec
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from llmrouter_server.totals import NAMED, exposition, families_of, of_names

if TYPE_CHECKING:
    from llmrouter_server.access_log import Entry
    from llmrouter_server.link import Link

logger = logging.getLogger(__name__)

_PREFIX = "llmrouter_"
# The label of what the configuration does not name, such as the routers of a lifecycle.
OTHER = "other"
# How long finished requests gather before they are counted together.
GATHER_SECONDS = 0.025
CONTENT_TYPE = CONTENT_TYPE_LATEST.encode()

M = TypeVar("M", Counter, Histogram)

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_DECIDE_SECONDS = (0.00001, 0.0001, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_BATCH = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """What is counted; ``labels()`` costs more than counting, so its results are kept.

    Labels hold what the configuration names, never what clients make up or what belongs to one organisation.

    Args:
        link: To the supervisor, which knows the numbers of other workers.

    Attributes:
        registry: The metrics of this process.
        changes: Rises with what is counted.
        names: The values that the labels ``router`` and ``model`` may have.
    """

    def __init__(self, link: Link | None = None) -> None:
        self._link = link
        self.names = frozenset((OTHER,))
        self._routers: frozenset[str] = frozenset()
        self._alone = False
        self.changes = 0
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._named: list[tuple[Counter | Histogram, tuple[str, ...]]] = []
        self._kept: list[Callable[[], None]] = []

        def counter(name: str, text: str, *labels: str) -> Callable[..., Counter]:
            return kept(Counter(_PREFIX + name, text, labels, registry=registry), labels)

        def histogram(
            name: str, text: str, labels: tuple[str, ...], buckets: tuple[float, ...]
        ) -> Callable[..., Histogram]:
            return kept(Histogram(_PREFIX + name, text, labels, buckets=buckets, registry=registry), labels)

        def kept(metric: M, labels: tuple[str, ...]) -> Callable[..., M]:
            self._named.append((metric, labels))
            by_any_name = labels == ("router",)
            places = [place for place, label in enumerate(labels) if label in NAMED and not by_any_name]

            def child(*values: object) -> M:
                named = list(values)
                for place in places:
                    if named[place] and named[place] not in self.names:
                        named[place] = OTHER
                return metric.labels(*named)

            found = cache(child)
            self._kept.append(found.cache_clear)
            return found

        self.requests = counter("requests", "Requests answered, by route and HTTP status.", "route", "status")
        self.seconds = histogram(
            "request_seconds", "From a request's arrival to the end of its answer.", ("route",), _SECONDS
        )
        self._answers = counter(
            "answers",
            "Answers, by the router that decided and the candidate that answered.",
            "router",
            "model",
        )
        self.first_byte = histogram(
            "first_byte_seconds",
            "From the call of an upstream to the first part of its answer.",
            ("model",),
            _SECONDS,
        )
        self.faults = counter(
            "upstream_faults", "Calls of upstreams that failed, by candidate and kind.", "model", "kind"
        )
        self.tokens = counter("tokens", "Tokens, as the upstreams counted them.", "model", "direction")
        self.cost = counter("cost_usd", "What answers cost in USD, where prices are known.", "model")
        # Made for a router before it is served, so by any name.
        self.decide = histogram(
            "decide_seconds",
            "From asking a router that has a thread to its decision.",
            ("router",),
            _DECIDE_SECONDS,
        )
        self.batch = histogram("decide_batch_size", "Requests put to a router at once.", ("router",), _BATCH)
        self._tally: defaultdict[Counter, float] = defaultdict(float)
        self.in_flight = Gauge(_PREFIX + "requests_in_flight", "Requests being answered.", registry=registry)
        self._workers = Gauge(
            _PREFIX + "metrics_workers", "Workers whose numbers these are.", registry=registry
        )
        self._workers.set(1)

    def label_by(self, routers: Iterable[str], models: Iterable[str]) -> None:
        """Count by these routers and LLMs from now on, and forget all others."""
        self.flush()
        self._routers = frozenset(routers)
        self.names = frozenset((OTHER, *self._routers, *models))
        for clear in self._kept:
            clear()
        for metric, labels in self._named:
            for family in metric.collect():
                for values in {tuple(sample.labels[label] for label in labels) for sample in family.samples}:
                    for label, value in zip(labels, values, strict=True):
                        if label in NAMED and value and value not in self.names:
                            metric.remove(*values)
                            break

    def answers(self, router: str | None, model: str) -> Counter:
        """Return the counter of answers."""
        # Routers of a lifecycle are many: they are not kept one by one.
        return self._answers(router if not router or router in self._routers else OTHER, model)

    def add(self, counter: Counter, amount: float = 1) -> None:
        """Count; only on the event loop. What is counted is gathered, for a lock each costs more."""
        self._tally[counter] += amount

    def count(self, entries: Sequence[Entry]) -> None:
        """Count requests that finished."""
        add = self.add
        self.changes += 1
        for entry in entries:
            add(self.requests(entry.route, entry.status))
            self.seconds(entry.route).observe(entry.ms / 1000)
            model = entry.model
            if model is None or entry.upstream_ms is None:
                continue
            self.first_byte(model).observe(entry.upstream_ms / 1000)
            if entry.error is None:
                add(self.answers(entry.router or "", model))
            if entry.prompt_tokens:
                add(self.tokens(model, "prompt"), entry.prompt_tokens)
            if entry.completion_tokens:
                add(self.tokens(model, "completion"), entry.completion_tokens)
            if entry.cost is not None:
                add(self.cost(model), entry.cost)

    def flush(self) -> None:
        """Bring what was gathered into the metrics."""
        tally, self._tally = self._tally, defaultdict(float)
        for counter, amount in tally.items():
            counter.inc(amount)

    def report(self) -> msgspec.Raw:
        """Return the numbers of this process, for the supervisor."""
        self.flush()
        return msgspec.Raw(msgspec.json.encode(list(families_of(self.registry, _PREFIX))))

    async def text(self) -> bytes:
        """Return the metrics of all workers for Prometheus; of this one if the others are not known."""
        self.flush()
        if self._link is None:
            return generate_latest(self.registry)
        total = await self._link.total(self.report())
        if total is None:
            if not self._alone:
                logger.warning(
                    "The supervisor does not answer: /metrics shows the numbers of this worker only"
                )
            self._alone = True
            return generate_latest(self.registry)
        self._alone = False
        return exposition(of_names(total.families, self.names))
