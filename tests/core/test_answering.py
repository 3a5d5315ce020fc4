"""A query is routed, the chosen LLM is called, and a router of several rounds answers by itself."""

from __future__ import annotations

import contextvars
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

pytest.importorskip("openai")

from llmrouter.answering import AnsweredQuery, Answerer
from llmrouter.completion.catalogue import Catalogue
from llmrouter.completion.client import CompletionClient
from llmrouter.completion.result import Usage
from llmrouter.data.queries import QueryRow
from llmrouter.decision import RoutingDecision
from llmrouter.errors import CompletionError, LLMRouterError, PluginError, RoutingError
from llmrouter.models.router import Router
from llmrouter.plugin_system.installed import Observer
from llmrouter.routing import DecisionEngine
from llmrouter_testing.upstream import Reply, Upstream

PRICES = {
    "small": {"input_price": 1e6, "output_price": 1e6},
    "large": {"input_price": 2e6, "output_price": 3e6},
}


class Simple(Router):
    """Sends what says so to the large LLM."""

    def route_single(self, query_input: dict[str, Any]) -> dict[str, Any]:
        if query_input["query"] == "raise":
            raise KeyError("it broke")
        return {"model_name": "large" if "large" in query_input["query"] else "small", "why": "length"}


class TwoRounds(Simple):
    """Has a query taken apart by the small LLM and answered by the large one."""

    def answer_query(self, query: str, return_intermediate: bool = False) -> Any:
        parts = self.complete("small", f"take apart: {query}", max_tokens=5)
        answer = self.complete("large", [{"role": "user", "content": parts.text}])
        return answer.text


class Returns(Simple):
    """Returns what it is made with, after as many calls."""

    def __init__(self, told: Any, calls: int = 0) -> None:
        super().__init__()
        self.told, self.calls = told, calls

    def answer_query(self, query: str) -> Any:
        for _ in range(self.calls):
            self.complete("small", query)
        if isinstance(self.told, BaseException):
            raise self.told
        return self.told


@pytest.fixture
def answerer(upstream: Upstream) -> Iterator[Callable[..., Answerer]]:
    clients = []

    def answerer(router: Router | None = None, observers: Any = (), **options: Any) -> Answerer:
        router = router or Simple()
        router.llm_data = PRICES
        engine = DecisionEngine(router, "mine", "1.0", observers)
        catalogue = Catalogue(router.llm_data, {"api_endpoint": upstream.url})
        clients.append(CompletionClient(catalogue, timeout=10, retries=0, **options))
        return Answerer(engine, clients[-1])

    yield answerer
    upstream.released.set()
    for client in clients:
        client.close()


def rows(*queries: str | None) -> list[QueryRow]:
    return [
        QueryRow(
            number, None if query is None else {"query": query}, "is not JSON" if query is None else None
        )
        for number, query in enumerate(queries, 1)
    ]


class TestOneRound:
    def test_the_answer_stands_beside_the_decision(self, answerer: Any) -> None:
        found = answerer().answer({"query": "a large one", "id": 7})
        assert isinstance(found, AnsweredQuery)
        assert isinstance(found, RoutingDecision)
        assert (found.model_name, found.predicted_llm, found.id, found.router) == (
            "large",
            "large",
            7,
            "mine",
        )
        assert (found.response, found.finish_reason) == ("echo a large one", "stop")
        assert (found.usage, found.cost, found.upstream_model) == (Usage(3, 4), 18.0, "upstream-large")
        assert found.answer_ms is not None
        assert found.answer_ms > 0
        assert found.latency_ms is not None
        assert (found.calls, found.extra) == (None, {"why": "length"})

    def test_what_cannot_be_routed_asks_nobody(self, answerer: Any, upstream: Upstream) -> None:
        with pytest.raises(RoutingError, match="it broke"):
            answerer().answer({"query": "raise"})
        assert upstream.requests == []

    def test_a_call_that_fails(self, answerer: Any, upstream: Upstream) -> None:
        upstream.script = refuse
        with pytest.raises(CompletionError, match="answered 400: no"):
            answerer().answer({"query": "hi"})

    def test_a_conversation_comes_piece_by_piece(self, answerer: Any, upstream: Upstream) -> None:
        talk = [
            {"role": "user", "content": "a large one"},
            {"role": "assistant", "content": "so"},
            {"role": "user", "content": "and now"},
        ]
        decision, *pieces, whole = answerer().converse(talk)
        assert (decision.model_name, pieces) == ("small", ["echo", " and", " now"])
        assert isinstance(whole, AnsweredQuery)
        assert (whole.response, whole.model_name) == ("echo and now", "small")
        assert next(answerer().converse(talk, "full_context")).model_name == "large"
        assert upstream.requests[0]["messages"] == talk


class TestSeveralRounds:
    def test_calls_are_listed_and_added_up(self, answerer: Any, upstream: Upstream) -> None:
        found = answerer(TwoRounds()).answer({"query": "why so", "id": "q1"})
        assert found.response == "echo echo take apart: why so"
        assert [call.model_name for call in found.calls] == ["small", "large"]
        assert [call.usage for call in found.calls] == [Usage(4, 5), Usage(5, 6)]
        assert found.usage == Usage(9, 11)
        assert found.cost == sum(call.cost for call in found.calls) == 9 + 10 + 18
        assert (found.model_name, found.id, found.query) == ("large", "q1", "why so")
        assert (found.router, found.router_version) == ("mine", "1.0")
        assert found.answer_ms >= sum(call.latency_ms for call in found.calls)
        assert [request["model"] for request in upstream.requests] == ["small", "large"]
        assert [request.get("max_tokens") for request in upstream.requests] == [5, None]

    def test_parameters_and_system_message_hold_for_each_call(
        self, answerer: Any, upstream: Upstream
    ) -> None:
        answerer(TwoRounds(), parameters={"max_tokens": 9}, system="be brief").answer({"query": "why"})
        assert [request["max_tokens"] for request in upstream.requests] == [5, 9]
        assert [request["messages"][0]["content"] for request in upstream.requests] == ["be brief"] * 2

    def test_one_unknown_cost_makes_the_sum_unknown(self, answerer: Any, monkeypatch: Any) -> None:
        monkeypatch.setitem(PRICES, "large", {"cost": 2})
        found = answerer(TwoRounds()).answer({"query": "why"})
        assert (found.cost, found.usage) == (None, Usage(7, 9))

    def test_a_dict_tells_the_llm_and_whatever_else(self, answerer: Any) -> None:
        told = {"response": "so", "model_name": "large", "confidence": 0.5, "steps": 2}
        found = answerer(Returns(told, calls=1)).answer({"query": "why"})
        assert (found.response, found.model_name, found.confidence) == ("so", "large", 0.5)
        assert (found.extra, len(found.calls)) == ({"steps": 2}, 1)
        assert (
            answerer(Returns({"answer": "so", "model_name": "small"})).answer({"query": "w"}).response == "so"
        )

    def test_without_calls_there_is_no_usage(self, answerer: Any) -> None:
        found = answerer(Returns({"response": "so", "model_name": "large"})).answer({"query": "why"})
        assert (found.usage, found.cost, found.calls) == (None, None, [])

    @pytest.mark.parametrize(
        ("told", "calls", "error", "words"),
        [
            (
                None,
                1,
                RoutingError,
                "answer_query returned NoneType; expected text, or a dict with text under",
            ),
            (5, 1, RoutingError, "answer_query returned int"),
            (["so"], 1, RoutingError, "answer_query returned list"),
            ({"model_name": "small"}, 1, RoutingError, "answer_query returned a dict; expected"),
            ({"response": 5}, 1, RoutingError, "answer_query returned a dict; expected"),
            ("so", 0, RoutingError, "does not tell which LLM answered: ask it through self.complete"),
            ({"response": "so", "model_name": "gpt-9"}, 1, RoutingError, "'gpt-9', which is not one"),
            (KeyError("it broke"), 0, PluginError, "answer_query of 'mine' failed: KeyError: 'it broke'"),
            (SystemExit(0), 0, PluginError, "answer_query of 'mine' failed: SystemExit"),
        ],
    )
    def test_what_it_does_wrong(
        self, answerer: Any, told: Any, calls: int, error: type[Exception], words: str
    ) -> None:
        with pytest.raises(error, match=words):
            answerer(Returns(told, calls)).answer({"query": "why"})

    def test_a_call_that_fails_is_told_as_it_is(self, answerer: Any, upstream: Upstream) -> None:
        upstream.script = refuse
        with pytest.raises(CompletionError, match=r"small at .* answered 400: no"):
            answerer(TwoRounds()).answer({"query": "why"})

    def test_a_call_of_no_candidate(self, answerer: Any) -> None:
        class Strays(Simple):
            def answer_query(self, query: str) -> str:
                return self.complete("gpt-9", query).text

        with pytest.raises(CompletionError, match="no candidate is named 'gpt-9'; there are small, large"):
            answerer(Strays()).answer({"query": "why"})

    def test_observers_are_told(self, answerer: Any) -> None:
        seen: list[Any] = []
        watch = Observer("watch", lambda *told: seen.append(told), ("query", "decision"))
        answerer(TwoRounds(), [watch]).answer({"query": "why"})
        ((query, decision),) = seen
        assert (query, decision.model_name) == ({"query": "why"}, "large")

    def test_calls_from_threads_in_its_context_count(self, answerer: Any) -> None:
        class Fans(Simple):
            def answer_query(self, query: str) -> str:
                with ThreadPoolExecutor(2) as pool:
                    asked = [
                        pool.submit(contextvars.copy_context().run, self.complete, name, query)
                        for name in ("small", "large")
                    ]
                    return " ".join(future.result().text for future in asked)

        found = answerer(Fans()).answer({"query": "why"})
        assert sorted(call.model_name for call in found.calls) == ["large", "small"]
        assert found.usage == Usage(2, 4)

    def test_several_at_once_keep_their_calls_apart(self, answerer: Any) -> None:
        queries = [f"query {number}" for number in range(20)]
        for row, found in answerer(TwoRounds()).answer_rows(rows(*queries), concurrency=8):
            assert row.query is not None
            assert found.response == f"echo echo take apart: {row.query['query']}"
            assert len(found.calls) == 2

    def test_in_a_conversation_the_answer_comes_in_one_piece(self, answerer: Any) -> None:
        parts = list(answerer(TwoRounds()).converse([{"role": "user", "content": "why"}]))
        assert [type(part).__name__ for part in parts] == ["AnsweredQuery", "str", "AnsweredQuery"]


class TestRows:
    def test_each_comes_once_and_errors_are_of_one_row(self, answerer: Any, upstream: Upstream) -> None:
        upstream.script = lambda request: refuse(request) if "bad" in str(request) else "fine"
        given = rows("a", None, "raise", "bad", "a large one")
        found = {row.number: outcome for row, outcome in answerer().answer_rows(given, batch_size=2)}
        assert {number for number, outcome in found.items() if isinstance(outcome, AnsweredQuery)} == {1, 5}
        assert str(found[2]) == "is not JSON"
        assert "it broke" in str(found[3])
        assert isinstance(found[4], CompletionError)
        assert found[5].model_name == "large"

    def test_malformed_rows_of_a_router_of_several_rounds(self, answerer: Any) -> None:
        outcomes = answerer(TwoRounds()).answer_rows(rows("a", None))
        found = {row.number: outcome for row, outcome in outcomes}
        assert isinstance(found[1], AnsweredQuery)
        assert isinstance(found[2], LLMRouterError)

    @pytest.mark.parametrize("router", [Simple, TwoRounds])
    def test_no_more_are_asked_at_once_than_told(
        self, answerer: Any, upstream: Upstream, router: type[Router]
    ) -> None:
        lock, now, most = threading.Lock(), 0, 0
        met = threading.Event()

        def script(request: dict[str, Any]) -> str:
            nonlocal now, most
            with lock:
                now += 1
                most = max(most, now)
                if most == 3:
                    met.set()
            met.wait(60)
            with lock:
                now -= 1
            return "hi"

        upstream.script = script
        assert len(list(answerer(router()).answer_rows(rows(*"abcdefghi"), concurrency=3))) == 9
        assert most == 3

    def test_those_that_are_finished_do_not_wait_for_the_others(
        self, answerer: Any, upstream: Upstream
    ) -> None:
        def script(request: dict[str, Any]) -> str:
            if request["messages"][0]["content"] == "slow":
                assert upstream.released.wait(20)
            return "hi"

        upstream.script = script
        found = answerer().answer_rows(rows("slow", "b", "c"), concurrency=2)
        assert {next(found)[0].number, next(found)[0].number} == {2, 3}
        upstream.released.set()
        assert next(found)[0].number == 1

    def test_input_is_read_as_it_is_needed(self, answerer: Any) -> None:
        taken = []

        def endless() -> Iterator[QueryRow]:
            for number in range(10_000):
                taken.append(number)
                yield QueryRow(number, {"query": "hi"})

        found = answerer().answer_rows(endless(), concurrency=2)
        next(found)
        found.close()
        assert len(taken) < 20

    @pytest.mark.parametrize("router", [Simple, TwoRounds])
    def test_given_up_nothing_else_is_begun(
        self, answerer: Any, upstream: Upstream, router: type[Router]
    ) -> None:
        mine = answerer(router())
        found = mine.answer_rows(rows(*(f"q{number}" for number in range(50))), concurrency=2)
        next(found)
        found.close()
        mine.client.close()
        asked = len(upstream.requests)
        assert asked < 20
        for thread in threading.enumerate():
            if thread.name == "llmrouter-answer":
                thread.join(300)
                assert not thread.is_alive()
        assert len(upstream.requests) <= asked + 2


def refuse(request: dict[str, Any]) -> str:
    raise Reply(400, {"error": {"message": "no"}})


ALONE = """
import threading
from llmrouter.models.router import Router

class Mine(Router):
    def route_single(self, query_input):
        return {{"model_name": "a"}}

router = Mine({{"api_endpoint": "{url}"}})
router.llm_data = {{"a": {{}}}}
print(router.complete("a", "hi").text)
{then}
"""


@pytest.mark.parametrize(
    "then",
    [
        "",
        "threading.Thread(target=router.complete, args=('a', 'slow'), daemon=True).start(); "
        "import time; time.sleep(0.2)",
    ],
    ids=["idle", "call under way"],
)
def test_a_router_alone_may_ask_and_the_process_ends(upstream: Upstream, then: str) -> None:
    def script(request: dict[str, Any]) -> str:
        if request["messages"][0]["content"] == "slow":
            upstream.released.wait(20)
        return "hello"

    upstream.script = script
    program = [sys.executable, "-c", ALONE.format(url=upstream.url, then=then)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello\n", "")
