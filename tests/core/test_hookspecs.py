"""Each hook does what its docstring shows: the example there is installed as a plugin and used."""

from __future__ import annotations

import importlib
import inspect
import logging
import textwrap
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmrouter import EncoderSpec, JudgeSpec, RouterSpec, TrainerSpec, hookspecs
from llmrouter.errors import LLMRouterError, RoutingError
from llmrouter.plugin_system import PluginRegistry
from llmrouter.routing import DecisionEngine, open_engine

HOOKS = [name for name in vars(hookspecs) if name.startswith("llmrouter_")]

# What the targets in the examples name.
CODE = {
    "fake_my.router": """
        from llmrouter.models.router import Router

        class MyRouter(Router):
            def route_single(self, query_input):
                if "fail" in query_input["query"]:
                    raise ValueError("told to fail")
                return {"model_name": "small"}
    """,
    "fake_my.trainer": """
        from llmrouter.models.base_trainer import BaseTrainer

        class MyTrainer(BaseTrainer):
            def train(self):
                pass
    """,
    "fake_my.encoder": "class LetterEncoder: pass",
    "fake_my.judge": "class WordCountJudge: pass",
    "fake_my.command": """
        import click

        @click.command()
        def greet():
            click.echo("Hello.")
    """,
}
IMPORTS = "from llmrouter import CommandSpec, EncoderSpec, JudgeSpec, RouterSpec, TrainerSpec, hookimpl\n"


def example(hook: str) -> str:
    """Return the example in a hook's docstring, its package renamed to what fixtures clean up."""
    text = inspect.getdoc(getattr(hookspecs, hook)) or ""
    return textwrap.dedent(text.partition("Example::\n")[2]).replace("llmrouter_my", "fake_my")


def observing(body: str, wants: str = "query, decision") -> str:
    """Return the source of a plugin that observes decisions."""
    return (
        f"from llmrouter import hookimpl\nSEEN = []\n@hookimpl\n"
        f"def llmrouter_after_route({wants}):\n    {body}\n"
    )


def seen(name: str) -> Any:
    """Return what the observer of one plugin kept."""
    return importlib.import_module(f"fake_{name}").SEEN


@pytest.fixture
def documented(install: Callable[..., Path]) -> Callable[..., PluginRegistry]:
    """Install the examples of some hooks as one plugin, and look for plugins."""

    def documented(*hooks: str, first: str = "") -> PluginRegistry:
        source = IMPORTS + first + "\n".join(map(example, hooks))
        install("llmrouter-my", {**CODE, "fake_plugin": source}, {"my": "fake_plugin"}, version="2.0")
        registry = PluginRegistry()
        (plugin,) = [plugin for plugin in registry.plugins if plugin.name == "my"]
        assert plugin.state == "ready", plugin.reason
        assert set(plugin.hooks) == set(hooks)
        return registry

    return documented


@pytest.fixture
def engine(
    install: Callable[..., Path], config: Callable[..., str]
) -> Callable[[dict[str, str]], DecisionEngine]:
    """Open myrouter among the plugins given by entry point name and source."""

    def engine(plugins: dict[str, str]) -> DecisionEngine:
        install(
            "llmrouter-my",
            {**CODE, "fake_plugin": IMPORTS + example("llmrouter_register_routers")},
            {"my": "fake_plugin"},
        )
        for name, source in plugins.items():
            install(f"llmrouter-{name}", {f"fake_{name}": source}, {name: f"fake_{name}"})
        return open_engine(PluginRegistry(), "myrouter", config())

    return engine


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_an_example_and_a_test(hook: str) -> None:
    assert f"def {hook}(" in example(hook)
    assert f"test_{hook.removeprefix('llmrouter_')}" in globals()


@pytest.mark.parametrize("hook", HOOKS)
def test_an_example_takes_the_arguments_of_its_hook(hook: str) -> None:
    arguments = ", ".join(inspect.signature(getattr(hookspecs, hook)).parameters)
    assert f"def {hook}({arguments}):" in example(hook)


def test_there_are_six_hooks() -> None:
    assert len(HOOKS) == 6


def test_register_routers(documented: Callable[..., PluginRegistry]) -> None:
    registry = documented("llmrouter_register_routers")
    entry = registry.find("myrouter")
    assert (entry.name, entry.origin, entry.version) == ("myrouter", "llmrouter-my", "2.0")
    assert (entry.summary, entry.target) == ("Picks by length.", "fake_my.router:MyRouter")
    assert (entry.state, entry.reason, entry.trainable) == ("ready", None, False)
    assert entry.plugin is not None
    assert entry.plugin.specs(RouterSpec)[0].name == "myrouter"
    assert registry.load_router(entry).__name__ == "MyRouter"
    with pytest.raises(LLMRouterError, match="cannot be trained; a trainer makes it trainable"):
        registry.load_trainer(entry)


def test_register_trainers(documented: Callable[..., PluginRegistry]) -> None:
    registry = documented("llmrouter_register_routers", "llmrouter_register_trainers")
    entry = registry.find("myrouter")
    assert entry.trainable
    assert entry.trainers == (TrainerSpec("myrouter", "fake_my.trainer:MyTrainer"),)
    assert registry.load_trainer(entry).__name__ == "MyTrainer"


def test_register_encoders(documented: Callable[..., PluginRegistry]) -> None:
    registry = documented("llmrouter_register_encoders")
    declaration = registry.encoders["letters"]
    assert declaration.spec == EncoderSpec("letters", "fake_my.encoder:LetterEncoder", dim=26)
    assert str(declaration.plugin.distribution) == "llmrouter-my 2.0"
    assert registry.load(declaration).__name__ == "LetterEncoder"


def test_register_judges(documented: Callable[..., PluginRegistry]) -> None:
    registry = documented("llmrouter_register_judges")
    declaration = registry.judges["wordcount"]
    assert declaration.spec == JudgeSpec("wordcount", "fake_my.judge:WordCountJudge")
    assert registry.load(declaration).__name__ == "WordCountJudge"


def test_register_commands(documented: Callable[..., PluginRegistry], invoke: Callable[..., Any]) -> None:
    registry = documented("llmrouter_register_commands")
    assert registry.commands["greet"].spec.summary == "Say hello."
    assert invoke("greet") == (0, "Hello.\n", "")
    assert "greet         Say hello.\n" in invoke("--help").out


def test_after_route(documented: Callable[..., PluginRegistry], config: Callable[..., str]) -> None:
    registry = documented(
        "llmrouter_register_routers",
        "llmrouter_after_route",
        first="import collections\nCOUNTS = collections.Counter()\n",
    )
    engine = open_engine(registry, "myrouter", config())
    engine.decide({"query": "one"})
    engine.decide_batch([{"query": "two"}, {"query": "three"}])
    counts = importlib.import_module("fake_plugin").COUNTS
    assert counts == Counter(small=3)


def test_an_observer_is_given_the_query_and_the_decision(
    engine: Callable[[dict[str, str]], DecisionEngine],
) -> None:
    router = engine({"observer": observing("SEEN.append((query, decision))")})
    query = {"query": "one", "id": 7, "language": "en"}
    decision = router.decide(query)
    ((seen_query, seen_decision),) = seen("observer")
    assert seen_query == query
    assert seen_decision == decision
    assert (decision.router, decision.router_version, decision.id) == ("myrouter", "1.0", 7)


@pytest.mark.parametrize(
    ("wants", "body", "expected"),
    [
        ("decision", "SEEN.append(decision.model_name)", "small"),
        ("query", "SEEN.append(query['query'])", "one"),
        ("decision, query", "SEEN.append((decision.model_name, query['query']))", ("small", "one")),
        ("", "SEEN.append(None)", None),
    ],
)
def test_an_observer_takes_the_arguments_that_it_wants(
    engine: Callable[[dict[str, str]], DecisionEngine], wants: str, body: str, expected: object
) -> None:
    engine({"observer": observing(body, wants)}).decide({"query": "one"})
    assert seen("observer") == [expected]


def test_an_entry_point_may_name_an_object_with_the_hooks(
    engine: Callable[[dict[str, str]], DecisionEngine], install: Callable[..., Path]
) -> None:
    source = """
        from llmrouter import hookimpl

        class Observer:
            seen = []

            @hookimpl
            def llmrouter_after_route(self, decision):
                self.seen.append(decision.model_name)

        observer = Observer()
    """
    install("llmrouter-observer", {"fake_observer": source}, {"observer": "fake_observer:observer"})
    engine({}).decide({"query": "one"})
    assert importlib.import_module("fake_observer").observer.seen == ["small"]


def test_a_query_that_fails_is_not_observed(engine: Callable[[dict[str, str]], DecisionEngine]) -> None:
    router = engine({"observer": observing("SEEN.append(query['query'])")})
    with pytest.raises(RoutingError, match="told to fail"):
        router.decide({"query": "fail"})
    answers = router.decide_batch([{"query": "one"}, {"query": "fail"}, {"query": "two"}])
    assert [isinstance(answer, RoutingError) for answer in answers] == [False, True, False]
    assert seen("observer") == ["one", "two"]


@pytest.mark.parametrize("raises", ["ValueError('full')", "SystemExit('full')", "BaseException('full')"])
def test_an_observer_that_fails_is_logged_once_and_changes_nothing(
    engine: Callable[[dict[str, str]], DecisionEngine], caplog: pytest.LogCaptureFixture, raises: str
) -> None:
    router = engine(
        {
            "broken": observing(f"raise {raises}"),
            "broken2": observing("nothing"),
            "sound": observing("SEEN.append(query['query'])"),
        }
    )
    assert [router.decide({"query": query}).model_name for query in ("one", "two")] == ["small", "small"]
    assert len(router.decide_batch([{"query": "three"}])) == 1
    assert seen("sound") == ["one", "two", "three"]
    logged = {record.getMessage() for record in caplog.records}
    assert len(logged) == len(caplog.records) == 2
    (told,) = [text for text in logged if "llmrouter-broken:broken " in text]
    assert told.startswith("llmrouter_after_route of llmrouter-broken:broken failed: ")
    assert told.endswith(": full (fake_broken.py, line 5)")
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_an_observer_cannot_change_the_decision(
    engine: Callable[[dict[str, str]], DecisionEngine], caplog: pytest.LogCaptureFixture
) -> None:
    router = engine({"observer": observing("decision.model_name = 'large'")})
    assert router.decide({"query": "one"}).model_name == "small"
    assert "immutable" in caplog.text


def test_ctrl_c_within_an_observer_passes(engine: Callable[[dict[str, str]], DecisionEngine]) -> None:
    router = engine({"observer": observing("__import__('signal').raise_signal(2)")})
    with pytest.raises(KeyboardInterrupt):
        router.decide({"query": "one"})


def test_without_observers_none_is_called(
    engine: Callable[[dict[str, str]], DecisionEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    router = engine({})
    assert PluginRegistry().observers == []
    monkeypatch.delattr(DecisionEngine, "notify")
    assert router.decide({"query": "one"}).model_name == "small"


@pytest.mark.parametrize("why", ["blocked", "failed", "incompatible"])
def test_a_plugin_that_is_not_ready_observes_nothing(
    install: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    why: str,
) -> None:
    source = observing("raise AssertionError")
    if why == "blocked":
        monkeypatch.setenv("LLMROUTER_BLOCK_PLUGINS", "observer")
    if why == "failed":
        source += "\n@hookimpl\ndef llmrouter_register_routers():\n    raise ValueError\n"
    requires = ("llmrouter-core>=9",) if why == "incompatible" else ()
    install("llmrouter-observer", {"fake_observer": source}, {"observer": "fake_observer"}, requires=requires)
    registry = PluginRegistry()
    assert {plugin.name: plugin.state for plugin in registry.plugins}["observer"] == why
    assert registry.observers == []
