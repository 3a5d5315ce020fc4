"""The engine puts queries to a router: a failure is that of one query, and rows stay in order."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llmrouter.constraints import ranked
from llmrouter.data.queries import QueryRow
from llmrouter.decision import RoutingDecision
from llmrouter.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    LLMRouterError,
    PluginError,
    RoutingError,
    UnknownRouterError,
)
from llmrouter.models.router import Router
from llmrouter.plugin_system import PluginRegistry, RouterEntry
from llmrouter.plugin_system.installed import Observer
from llmrouter.routing import Decided, DecisionEngine, create_router, load_state, open_engine

ENTRY = RouterEntry("mine", "llmrouter-mine", "1.0")


class Scripted(Router):
    """Routes as a function tells it."""

    def __init__(
        self, one: Callable[[dict[str, Any]], Any], batch: Callable[[list[dict[str, Any]]], Any] | None = None
    ) -> None:
        self.llm_data = {"small": {}, "large": {}}
        super().__init__()
        self.one = one
        self.batch = batch

    def route_single(self, query_input: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self.one(query_input)
        return found

    def route_batch(self, batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return self.batch(batch) if self.batch else super().route_batch(batch)


class Stateful(Scripted):
    def __init__(self, load_model_path: Any = None) -> None:
        super().__init__(by_length)
        self.cfg["model_path"]["load_model_path"] = load_model_path
        self.loaded: list[Any] = []

    def load_router(self, path: Any) -> None:
        self.loaded.append(path)


def by_length(query: dict[str, Any]) -> dict[str, Any]:
    return {"model_name": "large" if len(query["query"]) > 3 else "small"}


def raising(error: BaseException) -> Callable[[Any], Any]:
    def fail(given: Any) -> Any:
        raise error

    return fail


def interrupted(given: Any) -> Any:
    signal.raise_signal(signal.SIGINT)


def queries(*texts: str) -> list[dict[str, Any]]:
    return [{"query": text, "id": number} for number, text in enumerate(texts)]


def engine(one: Any = by_length, batch: Any = None) -> DecisionEngine:
    return DecisionEngine(Scripted(one, batch), "mine", "1.0")


def names(answers: list[Decided]) -> list[str]:
    return [answer.model_name if isinstance(answer, RoutingDecision) else str(answer) for answer in answers]


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_a_decision_tells_who_decided_what_in_what_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmrouter.routing.perf_counter", iter([5.0, 5.25]).__next__)
    found = engine().decide({"query": "long one", "id": "q1"})
    assert (found.model_name, found.query, found.id) == ("large", "long one", "q1")
    assert (found.router, found.router_version, found.latency_ms) == ("mine", "1.0", 250)


@pytest.mark.parametrize(
    "error",
    [ValueError("no model"), SystemExit("no model"), AssertionError("no model"), GeneratorExit("no model")],
)
def test_whatever_a_router_raises_is_an_error_of_the_query(error: BaseException) -> None:
    with pytest.raises(RoutingError) as caught:
        engine(raising(error)).decide({"query": "one"})
    assert str(caught.value).startswith(
        f"the router failed: {type(error).__name__}: no model (test_routing.py"
    )
    assert caught.value.__cause__ is error


def test_a_keyboard_interrupt_passes() -> None:
    with pytest.raises(KeyboardInterrupt):
        engine(interrupted).decide({"query": "one"})
    with pytest.raises(KeyboardInterrupt):
        engine(interrupted, raising(ValueError())).decide_batch(queries("one"))
    with pytest.raises(KeyboardInterrupt):
        engine(by_length, interrupted).decide_batch(queries("one"))


def test_a_name_outside_the_candidates_is_an_error() -> None:
    with pytest.raises(RoutingError, match="'tiny', which is not one of the candidates"):
        engine(lambda query: {"model_name": "tiny"}).decide({"query": "one"})


def test_a_batch_is_decided_in_order() -> None:
    found = engine().decide_batch(queries("one", "three", "two"))
    assert names(found) == ["small", "large", "small"]
    assert [answer.id for answer in found if isinstance(answer, RoutingDecision)] == [0, 1, 2]


def test_each_decision_of_a_batch_has_its_share_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmrouter.routing.perf_counter", iter([5.0, 5.25]).__next__)
    found = engine().decide_batch(queries("one", "two"))
    assert [answer.latency_ms for answer in found if isinstance(answer, RoutingDecision)] == [125, 125]


def test_an_empty_batch_is_not_put_to_the_router() -> None:
    assert engine(batch=raising(AssertionError())).decide_batch([]) == []


@pytest.mark.parametrize(
    "error", [ValueError("no batch"), SystemExit("no batch"), NotImplementedError("no batch")]
)
def test_where_route_batch_fails_the_queries_go_one_by_one(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    found = engine(batch=raising(error)).decide_batch(queries("one", "three"))
    assert names(found) == ["small", "large"]
    (warning,) = warnings_of(caplog)
    assert warning.startswith(
        f"route_batch of mine failed, routing one by one: {type(error).__name__}: no batch"
    )


def test_one_query_that_fails_leaves_the_others(caplog: pytest.LogCaptureFixture) -> None:
    def one(query: dict[str, Any]) -> dict[str, Any]:
        return {"model_name": {"1": "small", "2": "tiny"}[query["query"]]}

    found = engine(one).decide_batch(queries("1", "2", "3", "1"))
    assert [isinstance(answer, RoutingError) for answer in found] == [False, True, True, False]
    assert len(warnings_of(caplog)) == 1


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        ([], "0 results"),
        ([{"model_name": "small"}], "1 results"),
        ([{"model_name": "small"}] * 3, "3 results"),
        (None, "NoneType"),
        ({"model_name": "small"}, "dict"),
        ("small", "str"),
        (iter([{}, {}]), "list_iterator"),
    ],
)
def test_a_batch_of_results_that_cannot_be_told_apart(returned: Any, told: str) -> None:
    found = engine(batch=lambda batch: returned).decide_batch(queries("one", "two"))
    assert names(found) == [f"route_batch returned {told} for 2 queries"] * 2
    assert all(isinstance(answer, RoutingError) for answer in found)


def test_a_tuple_of_results_will_do() -> None:
    assert names(engine(batch=lambda batch: tuple(map(by_length, batch))).decide_batch(queries("one"))) == [
        "small"
    ]


def test_a_malformed_result_in_a_batch_is_an_error_of_its_query(caplog: pytest.LogCaptureFixture) -> None:
    results = [{"model_name": "small"}, None, {"model_name": "tiny"}, {"predicted_llm": "large"}]
    found = engine(batch=lambda batch: results).decide_batch(queries("1", "2", "3", "4"))
    assert [isinstance(answer, RoutingError) for answer in found] == [False, True, True, False]
    assert warnings_of(caplog) == []


def altering(query: dict[str, Any]) -> dict[str, Any]:
    query["query"] = "Question: " + query["query"]
    query.pop("id")
    query["model_name"] = "small"
    return query


def altering_batch(batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
    results = [altering(query) for query in batch]
    batch.clear()
    return results


@pytest.mark.parametrize("batch", [None, altering_batch])
def test_a_router_that_writes_into_queries_changes_none(batch: Any) -> None:
    given = queries("one", "two")
    found = engine(altering, batch).decide_batch(given)
    assert given == queries("one", "two")
    assert [(a.query, a.id) for a in found if isinstance(a, RoutingDecision)] == [("one", 0), ("two", 1)]
    assert engine(altering).decide(given[0]).query == "one"
    assert given == queries("one", "two")


def test_a_batch_that_failed_half_way_is_put_again_as_it_was() -> None:
    def batch(given: list[dict[str, Any]]) -> Any:
        altering(given[0])
        raise ValueError

    seen: list[dict[str, Any]] = []

    def one(query: dict[str, Any]) -> dict[str, Any]:
        seen.append(dict(query))
        return by_length(query)

    engine(one, batch).decide_batch(queries("one", "two"))
    assert seen == queries("one", "two")


def rows(*given: str | None) -> Iterator[QueryRow]:
    for number, text in enumerate(given, 1):
        problem = "is not valid JSON" if text is None else None
        yield QueryRow(number, None if text is None else {"query": text}, problem)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_rows_keep_their_order_and_malformed_ones_are_errors(batch_size: int) -> None:
    given = ["one", None, "three", "four", None, None, "two"]
    batches = list(engine().decide_rows(rows(*given), batch_size))
    answered = [pair for batch in batches for pair in batch]
    assert [row.number for row, _ in answered] == [1, 2, 3, 4, 5, 6, 7]
    wrong = "is not valid JSON"
    assert names([answer for _, answer in answered]) == [
        "small",
        wrong,
        "large",
        "large",
        wrong,
        wrong,
        "small",
    ]
    assert max(map(len, batches)) == min(batch_size, 7)


def test_rows_are_taken_only_as_they_are_decided() -> None:
    given = rows(*["one"] * 10)
    next(engine().decide_rows(given, batch_size=3))
    assert next(given).number == 4


def test_no_rows_give_no_batches() -> None:
    assert list(engine().decide_rows([])) == []


@pytest.mark.parametrize("batch_size", [1, 7, 64, 1024])
def test_the_size_of_batches_changes_no_decision_of_a_seeded_router(
    config: Callable[..., str], batch_size: int
) -> None:
    path = config(hparam={"seed": 3})

    def drawn(size: int) -> list[str]:
        opened = open_engine(PluginRegistry(plugin_dirs=[]), "randomrouter", path)
        batches = opened.decide_rows(rows(*["one"] * 200), size)
        return names([answer for batch in batches for _, answer in batch])

    assert drawn(batch_size) == drawn(200)


@pytest.mark.parametrize("candidates", [{}, None])
def test_a_router_without_candidates_is_refused(candidates: Any) -> None:
    router = Scripted(by_length)
    router.llm_data = candidates
    with pytest.raises(
        DataError, match=r"router 'mine' has no candidate LLMs; name them under data_path\.llm_data"
    ):
        DecisionEngine(router, "mine")


def test_a_router_whose_configuration_names_no_candidates_is_refused() -> None:
    router = Scripted(by_length)
    del router.llm_data
    with pytest.raises(ConfigError, match=r"data_path\.llm_data: is missing"):
        DecisionEngine(router)


@pytest.mark.parametrize("path", ["weights.pt", Path("weights.pt")])
def test_the_path_that_was_asked_for_is_loaded(path: Any) -> None:
    router = Stateful("configured.pt")
    load_state(router, ENTRY, path)
    assert router.loaded == ["weights.pt"]


def test_else_the_configured_path_is_loaded() -> None:
    router = Stateful("configured.pt")
    load_state(router, ENTRY)
    assert router.loaded == ["configured.pt"]


def test_without_a_path_nothing_is_loaded() -> None:
    router = Stateful()
    load_state(router, ENTRY)
    assert router.loaded == []


@pytest.mark.parametrize("path", [5, ["a"], {"a": 1}, True])
def test_a_configured_path_that_is_none_is_told(path: Any) -> None:
    with pytest.raises(
        CheckpointError, match=r"model_path\.load_model_path: expected a path, found"
    ) as caught:
        load_state(Stateful(path), ENTRY)
    assert caught.value.key == "model_path.load_model_path"


def test_a_router_without_state_cannot_load_what_was_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(CheckpointError, match=r"weights\.pt: Scripted has no state to load"):
        load_state(Scripted(by_length), ENTRY, "weights.pt")
    assert warnings_of(caplog) == []


def test_a_router_without_state_ignores_what_is_configured(caplog: pytest.LogCaptureFixture) -> None:
    router = Scripted(by_length)
    router.cfg["model_path"]["load_model_path"] = "weights.pt"
    load_state(router, ENTRY)
    assert warnings_of(caplog) == ["mine has no state to load; ignoring model_path.load_model_path"]


class Failing(Stateful):
    def load_router(self, path: Any) -> None:
        raise KeyError("layer")


def test_a_load_that_fails_says_whose_code_it_was() -> None:
    with pytest.raises(PluginError, match="load_router of 'mine' failed: KeyError: 'layer'"):
        load_state(Failing(), ENTRY, "weights.pt")


@pytest.mark.torch
@pytest.mark.parametrize("asked", [None, "absent.pt"])
def test_missing_weights_are_an_error(asked: str | None) -> None:
    import torch

    from llmrouter.models import MetaRouter

    class Held(MetaRouter):
        def route_single(self, query_input: dict[str, Any]) -> dict[str, Any]:
            return {}

    router = Held(torch.nn.Linear(1, 1), {"model_path": {"load_model_path": "absent.pt"}})
    with pytest.raises(CheckpointError, match=r"absent\.pt: there is no such file; train the router first"):
        load_state(router, ENTRY, asked)


PLUGIN = """
    from llmrouter import RouterSpec, hookimpl

    SEEN = []

    @hookimpl
    def llmrouter_register_routers():
        return [RouterSpec("fake", "fake_plugin.router:FakeRouter", "A fake.")]

    @hookimpl
    def llmrouter_after_route(query, decision):
        SEEN.append((query["query"], decision.model_name))
        query["query"] = "edited"
        raise SystemExit("observer")
"""

ROUTER = """
    import pathlib

    from llmrouter.models.router import Router

    class FakeRouter(Router):
        def __init__(self, yaml_path):
            super().__init__(yaml_path)
            print("made")
            self.name = self.cfg["hparam"]["name"]

        def route_single(self, query_input):
            return {"model_name": self.name, "confidence": 0.5}

        def load_router(self, path):
            self.name = pathlib.Path(path).read_text()
"""


@pytest.fixture
def fake(install: Callable[..., Path]) -> PluginRegistry:
    modules = {"fake_plugin.__init__": PLUGIN, "fake_plugin.router": ROUTER}
    install("llmrouter-fake", modules, {"fake": "fake_plugin"}, version="2.1")
    return PluginRegistry(plugin_dirs=[])


def test_an_engine_is_opened_by_name(fake: PluginRegistry, config: Callable[..., str]) -> None:
    opened = open_engine(fake, "fake", config(hparam={"name": "small"}))
    found = opened.decide({"query": "one"})
    assert (found.model_name, found.confidence) == ("small", 0.5)
    assert (found.router, found.router_version) == ("fake", "2.1")


@pytest.mark.parametrize("asked", [None, "asked.txt"])
def test_an_opened_engine_has_its_state(
    fake: PluginRegistry, config: Callable[..., str], asked: str | None
) -> None:
    Path("configured.txt").write_text("small")
    Path("asked.txt").write_text("large")
    path = config(hparam={"name": None}, model_path={"load_model_path": "configured.txt"})
    found = open_engine(fake, "fake", path, asked).decide({"query": "one"})
    assert found.model_name == ("large" if asked else "small")


def test_observers_see_every_decision_and_change_nothing(
    fake: PluginRegistry, config: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    opened = open_engine(fake, "fake", config(hparam={"name": "small"}))
    query: dict[str, Any] = {"query": "one"}
    opened.decide(query)
    assert names(opened.decide_batch([query, query])) == ["small", "small"]
    assert sys.modules["fake_plugin"].SEEN == [("one", "small")] * 3
    assert query == {"query": "one"}
    (warning,) = warnings_of(caplog)
    assert warning.startswith("llmrouter_after_route of llmrouter-fake")
    assert "SystemExit: observer" in warning


def test_a_keyboard_interrupt_in_an_observer_passes() -> None:
    observer = Observer("mine", interrupted, ("query",))
    observed = DecisionEngine(Scripted(by_length), observers=[observer])
    with pytest.raises(KeyboardInterrupt):
        observed.decide({"query": "one"})


def test_an_unknown_router_cannot_be_opened(fake: PluginRegistry, config: Callable[..., str]) -> None:
    with pytest.raises(UnknownRouterError, match=r"^Unknown router: fakery"):
        open_engine(fake, "fakery", config())


def test_a_constructor_that_fails_says_whose_code_it_was(
    fake: PluginRegistry, config: Callable[..., str]
) -> None:
    with pytest.raises(
        PluginError, match=r"'fake' from llmrouter-fake 2\.1 failed: KeyError: 'name' \(router\.py"
    ):
        open_engine(fake, "fake", config())


@pytest.mark.parametrize(
    ("text", "told"), [(None, "there is no such file"), ("", "is empty"), ("hparam: 5", "expected a section")]
)
def test_a_configuration_that_cannot_be_used(fake: PluginRegistry, text: str | None, told: str) -> None:
    if text is not None:
        Path("config.yaml").write_text(text)
    with pytest.raises(ConfigError, match=told):
        open_engine(fake, "fake", "config.yaml")


def test_candidates_that_cannot_be_used(fake: PluginRegistry, config: Callable[..., str]) -> None:
    path = config({"small": {"cost": -1}}, hparam={"name": "small"})
    with pytest.raises(LLMRouterError, match=r"llm\.json:1: small\.cost: expected a number from 0"):
        open_engine(fake, "fake", path)


def test_a_router_gets_its_path_as_text(fake: PluginRegistry, config: Callable[..., str]) -> None:
    router = create_router(fake, fake.find("fake"), Path(config(hparam={"name": "small"})))
    assert router._source == "config.yaml"


class TestAllowedLLMs:
    """A query may say which LLMs may answer it."""

    def decide(self, allowed: Any, **result: Any) -> RoutingDecision:
        engine = DecisionEngine(Scripted(lambda query: {"model_name": "large", **result}), "mine")
        return engine.decide({"query": "hi", "allowed_llms": allowed})

    @pytest.mark.parametrize(
        "allowed", [None, ["large"], ("small", "large"), {"large"}, ["large", "gpt-9", 5]]
    )
    def test_a_choice_among_them_stands(self, allowed: Any) -> None:
        decision = self.decide(allowed)
        assert (decision.model_name, decision.fallback, decision.fallback_reason) == ("large", None, None)

    @pytest.mark.parametrize("allowed", [["small"], ("small", "gpt-9"), frozenset({"small"})])
    def test_another_choice_is_put_right_and_says_so(self, allowed: Any) -> None:
        decision = self.decide(allowed, confidence=0.9)
        assert (decision.model_name, decision.predicted_llm) == ("small", "small")
        assert (decision.fallback, decision.confidence) == (True, 0.9)
        assert decision.fallback_reason == "large may not be chosen for this query"

    def test_the_next_by_score_is_taken(self) -> None:
        router = Scripted(lambda query: {"model_name": "c", "scores": {"a": 0.1, "b": 0.5, "c": 0.9}})
        router.llm_data = {"a": {}, "b": {}, "c": {}}
        engine = DecisionEngine(router, "mine")
        assert engine.decide({"query": "hi", "allowed_llms": ["a", "b"]}).model_name == "b"

    @pytest.mark.parametrize("allowed", [[], ["gpt-9"], "large", "small, large", 5, {"large": True}, True])
    def test_what_names_no_candidate_is_an_error_of_that_query(self, allowed: Any) -> None:
        with pytest.raises(
            RoutingError, match="'allowed_llms' names no candidate; expected a list, of small"
        ):
            self.decide(allowed)

    def test_in_a_batch_it_is_an_error_of_one_row(self) -> None:
        engine = DecisionEngine(Scripted(lambda query: {"model_name": "large"}), "mine")
        queries: list[dict[str, Any]] = [
            {"query": "a", "allowed_llms": value} for value in (["small"], 5, None)
        ]
        first, second, third = engine.decide_batch(queries)
        assert isinstance(first, RoutingDecision)
        assert isinstance(third, RoutingDecision)
        assert (first.model_name, third.model_name) == ("small", "large")
        assert isinstance(second, RoutingError)

    def test_observers_see_the_decision_that_counts(self) -> None:
        seen: list[Any] = []
        watch = Observer("watch", seen.append, ("decision",))
        engine = DecisionEngine(Scripted(lambda query: {"model_name": "large"}), observers=[watch])
        engine.decide({"query": "hi", "allowed_llms": ["small"]})
        assert [decision.model_name for decision in seen] == ["small"]


class TestRanked:
    NAMES = ("a", "b", "c", "d")

    def order(self, chosen: str, scores: Any) -> str:
        return "".join(ranked(RoutingDecision(model_name=chosen, scores=scores), self.NAMES))

    def test_the_choice_then_the_scores_then_the_given_order(self) -> None:
        assert self.order("c", {"b": 1.0, "d": 2.0, "c": -5.0}) == "cdba"
        assert self.order("c", None) == "cabd"
        assert self.order("x", {"d": 1}) == "dabc"

    @pytest.mark.parametrize("scores", [[1, 2, 3], "many", 5, {"b": None, "a": "x", "d": float("nan")}])
    def test_scores_that_are_none_count_for_nothing(self, scores: Any) -> None:
        assert self.order("b", scores) == "bacd"

    def test_scores_of_numpy(self) -> None:
        numpy = pytest.importorskip("numpy")
        assert self.order("a", {"d": numpy.float32(2), "c": numpy.array([1.0])[0]}) == "adcb"
        assert self.order("a", numpy.ones(4)) == "abcd"


class TestConstraints:
    def engine(self, observers: list[Observer] | None = None) -> DecisionEngine:
        return DecisionEngine(Scripted(lambda query: {"model_name": "small"}), "mine", None, observers or [])

    def test_a_router_that_knows_none_says_that_it_kept_to_none(self) -> None:
        constraint = {"cost_constraint": {"numeric_value": 1}}
        for decide in (lambda query: self.engine().decide(query), self.in_batch):
            decision = decide({"query": "q", "routing_constraint": constraint})
            assert (decision.constraint, decision.extra) == (None, {"constraint_met": None})
            assert decide({"query": "q"}).extra is None

    def in_batch(self, query: dict[str, Any]) -> Any:
        return self.engine().decide_batch([query])[0]

    @pytest.mark.parametrize("constraint", [{}, 3, {"cost_constraint": {"model_name": "nobody"}}])
    def test_one_that_cannot_be_understood_is_an_error(self, constraint: Any) -> None:
        with pytest.raises(RoutingError, match="routing_constraint"):
            self.engine().decide({"query": "q", "routing_constraint": constraint})

    def test_observers_see_no_conversation(self) -> None:
        seen: list[Any] = []
        query = {"query": "q", "messages": [{"role": "user", "content": "secret"}], "tools": [{}], "id": 3}
        self.engine([Observer("watcher", seen.append, ("query",))]).decide(query)
        assert seen == [{"query": "q", "id": 3}]
