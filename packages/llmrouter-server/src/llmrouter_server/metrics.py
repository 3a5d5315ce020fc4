"""Prometheus metrics of the gateway."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

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
from prometheus_client.multiprocess import MultiProcessCollector

if TYPE_CHECKING:
    from llmrouter_server.access_log import Entry

# Set by the supervisor, before this is imported: where several workers keep their numbers.
MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
# How long finished requests gather before they are counted together.
GATHER_SECONDS = 0.025
CONTENT_TYPE = CONTENT_TYPE_LATEST.encode()

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_DECIDE_SECONDS = (0.00001, 0.0001, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_BATCH = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """What is counted; ``labels()`` costs more than counting, so its results are kept.

    Labels hold what the configuration names, never what clients make up.
    """

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"llmrouter_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, labels: tuple[str, ...], buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"llmrouter_{name}", text, labels, buckets=buckets, registry=registry)

        requests = counter("requests", "Requests answered, by route and HTTP status.", "route", "status")
        seconds = histogram(
            "request_seconds", "From a request's arrival to the end of its answer.", ("route",), _SECONDS
        )
        answers = counter(
            "answers",
            "Answers, by the router that decided and the candidate that answered.",
            "router",
            "model",
        )
        first_byte = histogram(
            "first_byte_seconds",
            "From the call of an upstream to the first part of its answer.",
            ("model",),
            _SECONDS,
        )
        faults = counter(
            "upstream_faults", "Calls of upstreams that failed, by candidate and kind.", "model", "kind"
        )
        tokens = counter("tokens", "Tokens, as the upstreams counted them.", "model", "direction")
        cost = counter("cost_usd", "What answers cost in USD, where prices are known.", "model")
        decide = histogram(
            "decide_seconds",
            "From asking a router that has a thread to its decision.",
            ("router",),
            _DECIDE_SECONDS,
        )
        batch = histogram("decide_batch_size", "Requests put to a router at once.", ("router",), _BATCH)
        self._tally: defaultdict[Counter, float] = defaultdict(float)
        self.in_flight = Gauge(
            "llmrouter_requests_in_flight",
            "Requests being answered.",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.requests = cache(lambda route, status: requests.labels(route, status))
        self.seconds = cache(lambda route: seconds.labels(route))
        self.answers = cache(lambda router, model: answers.labels(router, model))
        self.first_byte = cache(lambda model: first_byte.labels(model))
        self.faults = cache(lambda model, kind: faults.labels(model, kind))
        self.tokens = cache(lambda model, direction: tokens.labels(model, direction))
        self.cost = cache(lambda model: cost.labels(model))
        self.decide = cache(lambda router: decide.labels(router))
        self.batch = cache(lambda router: batch.labels(router))

    def add(self, counter: Counter, amount: float = 1) -> None:
        """Count; only on the event loop. What is counted is gathered, for a lock each costs more."""
        self._tally[counter] += amount

    def count(self, entries: Sequence[Entry]) -> None:
        """Count requests that finished."""
        add = self.add
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

    def text(self) -> bytes:
        """Return the metrics of all workers as Prometheus reads them."""
        self.flush()
        if MULTIPROCESS not in os.environ:
            return generate_latest(self.registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
