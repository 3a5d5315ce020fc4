from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from llmrouter.gateway_settings import Settings
from llmrouter.models.router import Router
from llmrouter.routing import DecisionEngine
from llmrouter_server.deciding import BatchDecider, DirectDecider, decider_for
from llmrouter_server.errors import GatewayError
from llmrouter_server.metrics import Metrics


class EchoRouter(Router):
    """Chooses the LLM that the query names, in batches that it remembers."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.llm_data = {"a": {}, "b": {}}
        super().__init__()
        self.seconds = seconds
        self.batches: list[list[str]] = []
        self.threads: set[str] = set()

    def route_single(self, query_input: dict[str, Any]) -> dict[str, Any]:
        if query_input["query"] == "fail":
            raise ValueError("no")
        return {"model_name": query_input["query"]}

    def route_batch(self, batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
        self.threads.add(threading.current_thread().name)
        self.batches.append([item["query"] for item in batch])
        time.sleep(self.seconds)
        return super().route_batch(batch)


class QuickRouter(EchoRouter):
    quick = True


def decider(router: Router, **settings: Any) -> BatchDecider:
    return BatchDecider(DecisionEngine(router, "echo"), Metrics(), Settings(**settings))


def test_queries_that_wait_together_are_put_to_the_router_together() -> None:
    router = EchoRouter(0.1)
    deciding = decider(router, max_batch=4)

    async def main() -> list[str]:
        decisions = await asyncio.gather(*(deciding.decide({"query": name}) for name in "abababa"))
        return [decision.model_name for decision in decisions]

    assert asyncio.run(main()) == list("abababa")
    deciding.close()
    assert sum(map(len, router.batches)) == 7
    assert 2 <= len(router.batches) <= 4
    assert max(map(len, router.batches)) <= 4
    assert router.threads == {"router echo"}


def test_the_event_loop_goes_on_while_a_router_works() -> None:
    deciding = decider(EchoRouter(0.3))

    async def main() -> int:
        deciding_one = asyncio.create_task(deciding.decide({"query": "a"}))
        turns = 0
        while not deciding_one.done():
            await asyncio.sleep(0.01)
            turns += 1
        return turns

    assert asyncio.run(main()) > 5
    deciding.close()


def test_a_query_that_fails_spoils_no_other() -> None:
    deciding = decider(EchoRouter(0.05))

    async def main() -> list[Any]:
        asked = [deciding.decide({"query": name}) for name in ("a", "fail", "b", "nobody")]
        return await asyncio.gather(*asked, return_exceptions=True)

    first, failed, second, unknown = asyncio.run(main())
    deciding.close()
    assert (first.model_name, second.model_name) == ("a", "b")
    assert isinstance(failed, GatewayError)
    assert isinstance(unknown, GatewayError)
    assert (failed.status, failed.code) == (500, "router_failed")


def test_a_router_that_hangs_is_given_up_and_then_refused_at_once() -> None:
    router = EchoRouter()
    go = threading.Event()
    router.route_single = lambda query_input: {"model_name": "a" if go.wait(60) else "b"}  # type: ignore[method-assign]
    deciding = decider(router, decide_seconds=0.1)

    async def main() -> None:
        with pytest.raises(GatewayError) as late:
            await deciding.decide({"query": "a"})
        assert (late.value.status, late.value.code) == (504, "router_timeout")
        await asyncio.sleep(0.05)
        assert "has been working on one batch" in str(deciding.problem)
        with pytest.raises(GatewayError) as stuck:
            await deciding.decide({"query": "a"})
        assert (stuck.value.status, stuck.value.code) == (503, "router_stuck")
        go.set()
        while deciding.problem:
            await asyncio.sleep(0.01)
        assert (await deciding.decide({"query": "a"})).model_name == "a"

    asyncio.run(main())
    deciding.close()


def test_what_nobody_waits_for_any_more_is_not_put_to_the_router() -> None:
    router = EchoRouter(0.2)
    deciding = decider(router)

    async def main() -> None:
        first = asyncio.create_task(deciding.decide({"query": "a"}))
        await asyncio.sleep(0.05)
        second = asyncio.create_task(deciding.decide({"query": "b"}))
        await asyncio.sleep(0)
        second.cancel()
        await first

    asyncio.run(main())
    deciding.close()
    time.sleep(0.05)
    assert router.batches == [["a"]]


def test_only_quick_routers_that_nobody_observes_decide_at_once() -> None:
    def kind(router: Router, *observers: Any) -> type:
        made = decider_for(DecisionEngine(router, "r", observers=observers), Metrics(), Settings())
        made.close()
        return type(made)

    assert kind(QuickRouter()) is DirectDecider
    assert kind(EchoRouter()) is BatchDecider
    assert kind(QuickRouter(), lambda arguments: None) is BatchDecider


def test_a_quick_router_that_fails_is_an_error() -> None:
    deciding = DirectDecider(DecisionEngine(QuickRouter(), "echo"))
    with pytest.raises(GatewayError) as caught:
        asyncio.run(deciding.decide({"query": "fail"}))
    assert caught.value.code == "router_failed"


def test_decisions_are_measured() -> None:
    metrics = Metrics()
    deciding = BatchDecider(DecisionEngine(EchoRouter(), "echo"), metrics, Settings())
    asyncio.run(deciding.decide({"query": "a"}))
    deciding.close()
    for name in ("llmrouter_decide_seconds_count", "llmrouter_decide_batch_size_count"):
        assert metrics.registry.get_sample_value(name, {"router": "echo"}) == 1
