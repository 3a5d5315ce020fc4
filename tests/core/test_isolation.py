"""Whatever other people's code raises, returns or changes, what we raise is one of our own errors."""

from __future__ import annotations

import asyncio
import builtins
import functools
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from llmrouter.constraints import ranked
from llmrouter.decision import RoutingDecision
from llmrouter.encoders import create_encoder
from llmrouter.errors import LLMRouterError, PluginError, RoutingError, describe, text_of
from llmrouter.models.router import Router
from llmrouter.plugin_system import PluginRegistry
from llmrouter.plugin_system.installed import Observer
from llmrouter.plugin_system.isolation import is_interrupt, own_copy, plugin_code
from llmrouter.routing import DecisionEngine, create_router, load_state


class Wordless(Exception):
    def __str__(self) -> str:
        raise SystemExit("no words")

    def __repr__(self) -> str:
        raise ValueError("no words")  # what ends the process would end pytest too


class OurWordless(LLMRouterError):
    def __str__(self) -> str:
        raise SystemExit("no words")


def forever() -> None:
    forever()


def group() -> BaseException:
    kind = vars(builtins).get("BaseExceptionGroup")  # since Python 3.11
    grouped = [SystemExit("first"), ValueError("second")]
    return kind("two", grouped) if kind else ValueError("two")


RAISED: dict[str, Callable[[], BaseException]] = {
    "SystemExit": lambda: SystemExit(0),
    "KeyboardInterrupt": KeyboardInterrupt,
    "GeneratorExit": GeneratorExit,
    "CancelledError": asyncio.CancelledError,
    "MemoryError": MemoryError,
    "StopIteration": StopIteration,
    "BaseException": lambda: BaseException("odd"),
    "group": group,
    "wordless": Wordless,
    "an error of ours without words": OurWordless,
    "surrogates": lambda: ValueError("half \ud83d \0 \x1b[2J"),
    "long": lambda: ValueError("x" * 10**6),
    "import": lambda: ModuleNotFoundError("no", name=3),  # type: ignore[arg-type]
}


def misbehaving() -> Iterator[Any]:
    for name, make in RAISED.items():

        def fail(*_: Any, make: Callable[[], BaseException] = make) -> Any:
            raise make()

        yield pytest.param(fail, id=name)

    def too_deep(*_: Any) -> None:
        forever()

    yield pytest.param(too_deep, id="RecursionError")


class Foreign(Router):
    """A router all of whose methods do what a test wants."""

    def __init__(self, act: Callable[..., Any], batch: Callable[..., Any] | None = None) -> None:
        self.llm_data = {"small": {}, "large": {}}
        super().__init__()
        self.act, self.batch = act, batch

    def route_single(self, query_input: dict[str, Any]) -> Any:
        return self.act(query_input)

    def route_batch(self, batch: list[dict[str, Any]]) -> Any:
        return self.batch(batch) if self.batch else super().route_batch(batch)

    def load_router(self, path: str | os.PathLike[str]) -> None:
        self.act(path)


def small(query: Any) -> dict[str, Any]:
    return {"model_name": "small"}


def assert_sound(error: BaseException) -> None:
    """The message of an error can be shown, logged and stored."""
    text = str(error)
    assert text
    assert "\n" not in text
    assert "\0" not in text
    assert "\x1b" not in text
    assert len(text.encode()) < 4000


@pytest.mark.parametrize("act", list(misbehaving()))
class TestWhateverIsRaised:
    def test_by_a_router(self, act: Callable[..., Any]) -> None:
        with pytest.raises(RoutingError, match="the router failed: ") as caught:
            DecisionEngine(Foreign(act)).decide({"query": "one"})
        assert_sound(caught.value)

    def test_by_a_batch(self, act: Callable[..., Any]) -> None:
        (decided,) = DecisionEngine(Foreign(small, act)).decide_batch([{"query": "one"}])
        assert isinstance(decided, RoutingDecision)
        (decided,) = DecisionEngine(Foreign(act, act)).decide_batch([{"query": "one"}])
        assert isinstance(decided, RoutingError)

    def test_by_an_observer(self, act: Callable[..., Any]) -> None:
        engine = DecisionEngine(Foreign(small), observers=[Observer("bad", act, ("query",))])
        assert engine.decide({"query": "one"}).model_name == "small"

    def test_by_what_loads_a_state(self, act: Callable[..., Any]) -> None:
        from llmrouter.plugin_system import RouterEntry

        with pytest.raises(LLMRouterError) as caught:
            load_state(Foreign(act), RouterEntry("mine", "llmrouter-mine", "1.0"), "state")
        assert_sound(caught.value)

    def test_by_anything_else(self, act: Callable[..., Any]) -> None:
        with (
            pytest.raises(PluginError, match="that of others failed: ") as caught,
            plugin_code("that of others"),
        ):
            act()
        assert_sound(caught.value)


PLUGIN = """
    from llmrouter import EncoderSpec, JudgeSpec, RouterSpec, TrainerSpec, CommandSpec, hookimpl

    @hookimpl
    def llmrouter_register_routers():
        return [RouterSpec("bad", "fake_bad_code:BadRouter")]

    @hookimpl
    def llmrouter_register_trainers():
        return [TrainerSpec("bad", "fake_bad_code:BadTrainer")]

    @hookimpl
    def llmrouter_register_encoders():
        return [EncoderSpec("bad", "fake_bad_code:BadEncoder")]

    @hookimpl
    def llmrouter_register_judges():
        return [JudgeSpec("bad", "fake_bad_code:BadJudge")]

    @hookimpl
    def llmrouter_register_commands():
        return [CommandSpec("bad", "fake_bad_code:bad")]
"""
STATEMENTS = {
    "exit": "raise SystemExit(3)",
    "interrupt": "raise KeyboardInterrupt",
    "odd": "raise BaseException('odd')",
    "recursion": "(lambda f: f(f))(lambda f: f(f))",
}


@pytest.mark.parametrize("statement", list(STATEMENTS.values()), ids=list(STATEMENTS))
def test_whatever_is_raised_by_an_import(install: Callable[..., Path], statement: str) -> None:
    install("llmrouter-bad", {"fake_bad": PLUGIN, "fake_bad_code": statement}, {"bad": "fake_bad"})
    registry = PluginRegistry()
    entry = registry.find("bad")
    declared = (registry.encoders["bad"], registry.judges["bad"], registry.commands["bad"])
    loads: list[Callable[[], object]] = [
        lambda: registry.load_router(entry),
        lambda: registry.load_trainer(entry),
        *(functools.partial(registry.load, one) for one in declared),
    ]
    for load in loads:
        with pytest.raises(PluginError, match="failed: ") as caught:
            load()
        assert_sound(caught.value)


@pytest.mark.parametrize("statement", list(STATEMENTS.values()), ids=list(STATEMENTS))
def test_whatever_is_raised_by_a_constructor(
    install: Callable[..., Path], config: Callable[..., str], statement: str
) -> None:
    source = f"""
        from llmrouter.encoders.base import Encoder
        from llmrouter.models.router import Router

        class BadRouter(Router):
            def __init__(self, yaml_path):
                {statement}

            def route_single(self, query_input): ...

        class BadEncoder(Encoder):
            def __init__(self, argument=None):
                {statement}

            def encode(self, texts): ...
    """
    install("llmrouter-bad", {"fake_bad": PLUGIN, "fake_bad_code": source}, {"bad": "fake_bad"})
    registry = PluginRegistry()
    with pytest.raises(PluginError, match=r"Router 'bad' from llmrouter-bad 1\.0 failed: "):
        create_router(registry, registry.find("bad"), config())
    with pytest.raises(PluginError, match="Encoder 'bad' failed: "):
        create_encoder("bad")


HOOKS = ("routers", "trainers", "encoders", "judges", "commands")


@pytest.mark.parametrize("statement", list(STATEMENTS.values()), ids=list(STATEMENTS))
@pytest.mark.parametrize("hook", HOOKS)
def test_whatever_is_raised_by_a_hook(install: Callable[..., Path], hook: str, statement: str) -> None:
    source = f"""
        from llmrouter import hookimpl

        @hookimpl
        def llmrouter_register_{hook}():
            {statement}
    """
    install("llmrouter-bad", {"fake_bad": source}, {"bad": "fake_bad"})
    (plugin,) = [plugin for plugin in PluginRegistry().plugins if plugin.name == "bad"]
    assert plugin.state == "failed"
    assert plugin.reason


def test_the_users_ctrl_c_passes() -> None:
    with pytest.raises(KeyboardInterrupt), plugin_code("that of others"):
        signal.raise_signal(signal.SIGINT)


def test_the_users_ctrl_c_passes_where_a_function_handles_it() -> None:
    def handle(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, handle)
    try:
        with pytest.raises(KeyboardInterrupt), plugin_code("that of others"):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_ctrl_c_that_code_caught_and_raises_again_is_still_the_users() -> None:
    def catch() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt as error:
            raise error

    with pytest.raises(KeyboardInterrupt), plugin_code("that of others"):
        catch()


def test_in_another_thread_no_interrupt_is_the_users() -> None:
    found: list[bool] = []

    def interrupted() -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            found.append(is_interrupt(error))

    thread = threading.Thread(target=interrupted)
    thread.start()
    thread.join()
    assert found == [False]


class Odd(dict[str, Any]):
    """A dict whose methods raise."""

    def keys(self) -> Any:
        raise SystemExit("keys")

    def __iter__(self) -> Any:
        raise SystemExit("iter")

    def get(self, *_: Any) -> Any:
        raise SystemExit("get")


class OddName(str):
    def __hash__(self) -> int:
        raise SystemExit("hash")

    def __eq__(self, other: object) -> bool:
        raise SystemExit("eq")

    def __repr__(self) -> str:
        raise ValueError("repr")  # what ends the process would end pytest too


class OddScores(Mapping[str, float]):
    def __getitem__(self, name: str) -> float:
        raise SystemExit("getitem")

    def __iter__(self) -> Iterator[str]:
        raise SystemExit("iter")

    def __len__(self) -> int:
        return 1


async def coroutine() -> None: ...


@pytest.mark.parametrize(
    "result",
    [
        None,
        True,
        float("nan"),
        "small",
        [],
        object(),
        Odd(model_name="small"),
        {"model_name": OddName("small")},
        {"model_name": "x" * 10**6},
        {"model_name": "\ud83d"},
        {"model_name": True},
        {"model_name": "small", "scores": OddScores()},
        {"model_name": "small", "predicted_llm": OddName("x")},
    ],
    ids=lambda result: type(result).__name__,
)
def test_whatever_a_router_returns(result: Any) -> None:
    router = Foreign(lambda query: result)
    with pytest.raises(RoutingError) as caught:
        DecisionEngine(router).decide({"query": "one"})
    assert_sound(caught.value)
    router.batch = lambda batch: [result] * len(batch)
    (decided,) = DecisionEngine(router).decide_batch([{"query": "one"}])
    assert isinstance(decided, RoutingError)


def test_a_coroutine_is_no_result() -> None:
    made = coroutine()
    with pytest.raises(RoutingError, match="the router returned coroutine, not a dict"):
        DecisionEngine(Foreign(lambda query: made)).decide({"query": "one"})
    made.close()


@pytest.mark.parametrize("score", [float("nan"), 10**400, "high", None, Wordless(), [], b""])
def test_scores_that_are_no_numbers_come_last(score: Any) -> None:
    decision = RoutingDecision(model_name="small", scores={"medium": score, "large": -5.0})
    assert ranked(decision, ["small", "medium", "large"]) == ["small", "large", "medium"]


def edit(query: Any) -> dict[str, Any]:
    query["query"] = "edited"
    query["messages"][0]["content"] = "edited"
    query["messages"].append("edited")
    query["tags"].clear()
    return {"model_name": "small", "scores": {"small": 1.0}}


def test_what_a_router_edits_is_its_own_copy() -> None:
    query = {"query": "one", "messages": [{"role": "user", "content": "one"}], "tags": {"a"}}
    before = own_copy(query)
    DecisionEngine(Foreign(edit)).decide(query)
    DecisionEngine(Foreign(edit, lambda batch: [edit(one) for one in batch])).decide_batch([query, query])
    assert query == before


def test_what_an_observer_edits_is_its_own_copy() -> None:
    def watch(query: Any, decision: RoutingDecision) -> None:
        edit(query)
        assert decision.scores is not None
        decision.scores.clear()

    watchers = [Observer(name, watch, ("query", "decision")) for name in ("one", "two")]
    query = {"query": "one", "messages": [{"content": "one"}], "tags": {"a"}}
    before = own_copy(query)
    result = {"model_name": "small", "scores": {"small": 1.0}}
    found = DecisionEngine(Foreign(lambda query: result), observers=watchers).decide(query)
    assert (query, found.scores) == (before, {"small": 1.0})


def test_the_current_folder_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = Path.cwd()
    with plugin_code("that of others"):
        os.chdir(tmp_path)
    assert Path.cwd() == before
    assert f"that of others changed the current folder; it is {before} again" in caplog.text

    def leave(batch: Any) -> list[dict[str, Any]]:
        os.chdir(tmp_path)
        return [small(query) for query in batch]

    DecisionEngine(Foreign(small, leave), "mine").decide_batch([{"query": "one"}])
    assert Path.cwd() == before
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_the_current_folder_stays_while_code_runs_in_other_threads(tmp_path: Path) -> None:
    before, left, ended = Path.cwd(), threading.Event(), threading.Event()

    def leave() -> None:
        with plugin_code("the first"):
            os.chdir(tmp_path)
            left.set()
            assert ended.wait(10)

    thread = threading.Thread(target=leave)
    thread.start()
    assert left.wait(10)
    # It begins while the folder is the wrong one, and must not take that for the right one.
    with plugin_code("the second"):
        ended.set()
        thread.join()
    assert Path.cwd() == before


def test_a_text_that_cannot_be_made_is_empty() -> None:
    assert text_of(Wordless()) == text_of(Wordless(), repr) == ""
    assert describe(Wordless()) == "Wordless"
    assert text_of("half \ud83d\n\tend\0") == "half \\ud83d end\N{REPLACEMENT CHARACTER}"
    assert text_of("a\n\tb\0", lines=True) == "a\n\tb\N{REPLACEMENT CHARACTER}"
    assert len(text_of("x" * 10**6)) == 2000
