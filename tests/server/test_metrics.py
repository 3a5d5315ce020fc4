"""What is counted, by which names, and put together for several workers."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import cast

import msgspec
import pytest

from llmrouter_server.access_log import Entry, now
from llmrouter_server.link import Link
from llmrouter_server.metrics import OTHER, Metrics
from llmrouter_server.totals import Family, exposition, of_names, summed, without_gauges


def entry(router: str | None, model: str) -> Entry:
    """Return what is logged of an answer."""
    return Entry(now(), "id", "POST", "/", status=200, router=router, model=model, upstream_ms=1.0, cost=0.5)


def counted(metrics: Metrics, name: str, **labels: str) -> float | None:
    """Return a number."""
    metrics.flush()
    return metrics.registry.get_sample_value(f"llmrouter_{name}", labels)


def families(metrics: Metrics) -> list[Family]:
    return msgspec.json.decode(metrics.report(), type=list[Family])


def test_routers_of_a_lifecycle_are_one_label() -> None:
    metrics = Metrics()
    metrics.label_by(["mine"], ["small"])
    for number in range(100):
        metrics.count([entry(f"organizations/acme/routers/secret-{number}", "small")])
    metrics.count([entry("mine", "small"), entry(None, "small")])
    text = asyncio.run(metrics.text()).decode()
    assert "secret" not in text
    assert "acme" not in text
    assert counted(metrics, "answers_total", router=OTHER, model="small") == 100
    assert counted(metrics, "answers_total", router="mine", model="small") == 1
    assert counted(metrics, "answers_total", router="", model="small") == 1


def test_what_leaves_the_configuration_leaves_the_metrics() -> None:
    metrics = Metrics()
    metrics.label_by(["mine", "old"], ["small", "gone"])
    metrics.count([entry("old", "gone"), entry("mine", "small")])
    metrics.decide("old").observe(0.1)
    metrics.faults("gone", "status").inc()
    metrics.add(metrics.tokens("gone", "prompt"), 5)
    metrics.label_by(["mine"], ["small"])
    # A request that began with the configuration before ends now.
    metrics.count([entry("old", "gone")])
    text = asyncio.run(metrics.text()).decode()
    assert '"gone"' not in text
    assert '"old"' not in text
    assert counted(metrics, "answers_total", router="mine", model="small") == 1
    assert counted(metrics, "answers_total", router=OTHER, model=OTHER) == 1


def test_numbers_of_workers_are_summed_and_those_of_dead_ones_kept() -> None:
    workers = [Metrics(), Metrics()]
    for metrics in workers:
        metrics.label_by(["mine"], ["small", "gone"])
        metrics.count([entry("mine", "small"), entry("mine", "gone")])
        metrics.in_flight.set(3)
    ended = without_gauges(families(workers[1]))
    text = exposition(of_names(summed([families(workers[0]), ended]), frozenset(("mine", "small")))).decode()
    assert 'llmrouter_answers_total{model="small",router="mine"} 2.0' in text
    assert 'llmrouter_first_byte_seconds_count{model="small"} 2.0' in text
    assert 'llmrouter_first_byte_seconds_bucket{le="+Inf",model="small"} 2.0' in text
    assert "llmrouter_requests_in_flight 3.0" in text
    assert "llmrouter_metrics_workers 1.0" in text
    assert "# TYPE llmrouter_first_byte_seconds histogram" in text
    assert "gone" not in text


def test_a_worker_whose_supervisor_does_not_answer_shows_its_own_numbers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Silent:
        async def total(self, families: msgspec.Raw) -> None:
            return None

    metrics = Metrics(cast(Link, Silent()))
    metrics.label_by(["mine"], ["small"])
    metrics.count([entry("mine", "small")])
    with caplog.at_level(logging.WARNING):
        texts = [asyncio.run(metrics.text()) for _ in range(3)]
    assert all(b'llmrouter_answers_total{model="small",router="mine"} 1.0' in text for text in texts)
    assert len(caplog.records) == 1


def test_a_worker_and_its_supervisor_understand_each_other() -> None:
    async def main() -> bytes:
        from_worker, to_supervisor = os.pipe()
        from_supervisor, to_worker = os.pipe()
        gone = asyncio.Event()
        stdin = os.dup(0)
        os.dup2(from_supervisor, 0)
        try:
            link = Link(to_supervisor, gone.set)
            await link.open()
            asking = asyncio.create_task(link.total(msgspec.Raw(b"[]")))
            await asyncio.sleep(0.05)
            assert os.read(from_worker, 1000) == b'{"type":"Counted","families":[],"asks":true}\n'
            # In pieces, as they come through a pipe.
            for part in (b'{"type":"Total","fam', b'ilies":[["a","counter","t",[]]]}', b"\n"):
                os.write(to_worker, part)
                await asyncio.sleep(0.01)
            total = await asking
            assert total is not None
            os.close(to_worker)
            await asyncio.wait_for(gone.wait(), 5)
            link.close()
            await asyncio.sleep(0.01)
            return exposition(total.families)
        finally:
            os.dup2(stdin, 0)
            os.close(stdin)

    assert asyncio.run(main()).startswith(b"# HELP a_total t")
