"""Rules, and routers that are asked by them."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmrouter.errors import ConfigError, LLMRouterError, MissingExtraError
from llmrouter.routing import DecisionEngine
from llmrouter_rules.router import RulesRouter

CANDIDATES = {"small": {"cost": 1}, "large": {"cost": 9}, "polyglot": {"cost": 3}}
Made = Callable[..., RulesRouter]


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., Path]:
    """Write a configuration and return its path."""
    (tmp_path / "llms.json").write_text(json.dumps(CANDIDATES))

    def config(name: str = "config.yaml", **hparam: Any) -> Path:
        path = tmp_path / name
        # Indented, so that errors can name lines.
        path.write_text(json.dumps({"data_path": {"llm_data": "llms.json"}, "hparam": hparam}, indent=1))
        return path

    return config


@pytest.fixture
def made(config: Callable[..., Path]) -> Made:
    """Make a router of its rules."""

    def made(*rules: Any, otherwise: Any = "small", **hparam: Any) -> RulesRouter:
        return RulesRouter(str(config(rules=list(rules), otherwise=otherwise, **hparam)))

    return made


def holds(made: Made, when: Any, query: str, **fields: Any) -> bool:
    told = made({"name": "the one", "when": when, "then": "large"}).route_single({"query": query, **fields})
    assert told["rule"] == ("the one" if told["model_name"] == "large" else None)
    return bool(told["model_name"] == "large")


@pytest.mark.parametrize(
    ("when", "yes", "no"),
    [
        ({"contains": "stack trace"}, "a STACK TRACE of mine", "a stack of traces"),
        ({"contains": ["x", "y"]}, "why", "how"),
        ({"contains": "STRASSE"}, "straße", "strand"),
        ({"keywords": "c"}, "write C, please", "chess"),
        ({"keywords": ["c++", "new york"]}, "learn C++ now", "c+ + in new yorkshire"),
        ({"regex": r"\d{3}"}, "call 123", "call 12"),
        ({"regex": ["^a", "z$"]}, "jazz", "blues"),
        ({"min_length": 5}, "12345", "1234"),
        ({"max_length": 4}, "1234", "12345"),
        ({"min_words": 3}, "one two\tthree", "one two"),
        ({"max_words": 0}, "  ", "x"),
        ({"not": {"contains": "a"}}, "b", "a"),
        ({"any": [{"contains": "a"}, {"min_words": 2, "contains": "b"}]}, "b c", "b"),
        ({"contains": "a", "max_length": 3}, "cat", "carpet"),
    ],
)
def test_a_condition_holds_where_it_should(made: Made, when: Any, yes: str, no: str) -> None:
    assert holds(made, when, yes)
    assert not holds(made, when, no)


def test_conditions_may_be_about_other_fields(made: Made) -> None:
    assert holds(made, {"task": ["mmlu", "gsm8k"]}, "?", task_name="gsm8k")
    assert not holds(made, {"task": "mmlu"}, "?")
    assert holds(made, {"fields": {"tier": ["gold", 1], "beta": True}}, "?", tier=1, beta=True)
    assert not holds(made, {"fields": {"tier": ["gold", 1], "beta": True}}, "?", tier=1)


def test_the_language_is_the_querys_own_or_that_of_its_text(made: Made) -> None:
    pytest.importorskip("py3langid", reason="py3langid is not installed")
    german = {"language": ["DE", "fr"]}
    assert holds(made, german, "Wie spät ist es jetzt in Berlin, und wie wird das Wetter?")
    assert not holds(made, german, "What time is it in Berlin now, and what will the weather be?")
    assert holds(made, german, "What time is it in Berlin now?", language="fr")


def test_a_language_without_its_package_says_what_to_install(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"llmrouter-rules\[language\]"):
        made({"when": {"language": "de"}, "then": "large"})


def test_the_first_rule_that_holds_decides(made: Made) -> None:
    router = made(
        {"when": {"contains": "a"}, "then": "large"},
        {"when": {"contains": "b"}, "then": "polyglot"},
    )
    told = router.route_batch([{"query": text} for text in ("a b", "b", "c")])
    assert [(one["model_name"], one["rule"]) for one in told] == [
        ("large", "rule 1"),
        ("polyglot", "rule 2"),
        ("small", None),
    ]


def test_a_rule_is_passed_over_whose_llm_is_not_allowed(made: Made) -> None:
    router = made(
        {"when": {"contains": "a"}, "then": "large"}, {"when": {"contains": "a"}, "then": "polyglot"}
    )
    query = {"query": "a", "allowed_llms": ["polyglot", "small"]}
    assert router.route_single(query)["model_name"] == "polyglot"
    decision = DecisionEngine(router, "rulesrouter").decide({"query": "a", "allowed_llms": ["large"]})
    assert decision.model_name == "large"
    # Where not even the last resort is allowed, core takes one that is.
    decision = DecisionEngine(router, "rulesrouter").decide({"query": "b", "allowed_llms": ["large"]})
    assert (decision.model_name, decision.fallback) == ("large", True)


def test_a_slow_regular_expression_is_given_up_and_told(made: Made, caplog: pytest.LogCaptureFixture) -> None:
    router = made({"name": "evil", "when": {"regex": "(a|aa)+$"}, "then": "large"}, regex_timeout=0.05)
    started = time.perf_counter()
    told = router.route_single({"query": "a" * 80 + "b"})
    assert time.perf_counter() - started < 5
    assert (told["model_name"], told["rules_given_up"]) == ("small", ["evil"])
    assert "'evil' does not hold" in caplog.text
    assert "rules_given_up" not in router.route_single({"query": "b"})


def test_another_router_is_asked_with_its_own_configuration(made: Made, config: Callable[..., Path]) -> None:
    config(
        "inner.yaml", rules=[{"name": "deep", "when": {"contains": "x"}, "then": "large"}], otherwise="small"
    )
    router = made(
        {"when": {"min_words": 2}, "then": {"router": "rulesrouter", "config": "inner.yaml"}},
        otherwise="polyglot",
    )
    told = router.route_single({"query": "x y"})
    assert (told["model_name"], told["asked"], told["rule"]) == ("large", "rulesrouter", "rule 1")
    assert router.route_single({"query": "x"})["model_name"] == "polyglot"


def test_a_router_may_share_the_configuration_and_keeps_to_what_is_allowed(made: Made) -> None:
    router = made(otherwise={"router": "randomrouter"}, weights={"large": 1, "small": 1})
    found = {router.route_single({"query": "x"})["model_name"] for _ in range(60)}
    assert found == {"large", "small"}
    told = router.route_single({"query": "x", "allowed_llms": ["polyglot"]})
    assert (told["model_name"], told["fallback"]) == ("polyglot", True)


def test_a_router_that_is_not_there_is_told_when_it_is_asked(made: Made) -> None:
    router = made({"when": {"contains": "a"}, "then": "large"}, otherwise={"router": "nosuchrouter"})
    assert router.route_single({"query": "a"})["model_name"] == "large"
    with pytest.raises(LLMRouterError, match="nosuchrouter"):
        router.route_single({"query": "b"})


@pytest.mark.parametrize(
    ("rules", "otherwise", "where", "problem"),
    [
        ([], None, "hparam.otherwise", "is missing"),
        ([], "huge", "hparam.otherwise", "no candidate is named 'huge'; there are small, large, polyglot"),
        ({}, "small", "hparam.rules", "expected a list of rules"),
        ([{"when": {"contains": "a"}}], "small", "hparam.rules.0", "expected name, when and then"),
        ([{"when": {}, "then": "small"}], "small", "hparam.rules.0.when", "expected conditions"),
        (
            [{"when": {"length": 3}, "then": "small"}],
            "small",
            "hparam.rules.0.when.length",
            "did you mean 'min_length'",
        ),
        (
            [{"when": {"regex": "("}, "then": "small"}],
            "small",
            "hparam.rules.0.when.regex",
            "regular expression",
        ),
        ([{"when": {"min_words": -1}, "then": "small"}], "small", "hparam.rules.0.when.min_words", "from 0"),
        (
            [{"when": {"keywords": []}, "then": "small"}],
            "small",
            "hparam.rules.0.when.keywords",
            "list of texts",
        ),
        ([{"when": {"fields": 3}, "then": "small"}], "small", "hparam.rules.0.when.fields", "their values"),
        (
            [{"when": {"any": [{"min_words": 1}, {"x": 1}]}, "then": "small"}],
            "small",
            "hparam.rules.0.when.any.1.x",
            "",
        ),
        ([{"when": {"not": {"x": 1}}, "then": "small"}], "small", "hparam.rules.0.when.not.x", ""),
        ([{"when": {"any": {}}, "then": "small"}], "small", "hparam.rules.0.when.any", "list of sets"),
        ([{"when": {"min_words": 1}, "then": 3}], "small", "hparam.rules.0.then", "expected a candidate, or"),
        (
            [{"name": 3, "when": {"min_words": 1}, "then": "small"}],
            "small",
            "hparam.rules.0.name",
            "expected text",
        ),
        ([], {"router": "r", "cfg": "x"}, "hparam.otherwise", "'cfg' is unknown; did you mean 'config'"),
        ([], {"router": "r", "config": 3}, "hparam.otherwise", "config: expected text"),
        ([], {"router": "r", "config": "none.yaml"}, "hparam.otherwise", "there is no"),
        ([], {"router": "rulesrouter"}, "hparam.otherwise", "cannot ask itself"),
    ],
)
def test_what_cannot_be_understood_is_told_with_its_place(
    config: Callable[..., Path], rules: Any, otherwise: Any, where: str, problem: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        RulesRouter(str(config(rules=rules, otherwise=otherwise)))
    assert problem in str(caught.value)
    assert f"{where}:" in str(caught.value)
    assert caught.value.line is not None


@pytest.mark.parametrize("timeout", [0, -1, "1", True])
def test_a_time_limit_is_a_number_above_zero(made: Made, timeout: Any) -> None:
    with pytest.raises(ConfigError, match="a number above 0"):
        made(regex_timeout=timeout)


def test_the_plugin_is_light_and_the_command_routes(config: Callable[..., Path]) -> None:
    light = "import llmrouter_rules.plugin, sys; assert not {'regex', 'numpy', 'yaml'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", light], check=True)
    path = config(rules=[{"when": {"contains": "why"}, "then": "large"}], otherwise="small")
    program = [sys.executable, "-m", "llmrouter_cli", "infer", "--router", "rulesrouter", "--route-only"]
    done = subprocess.run(
        [*program, "--config", str(path), "--query", "Why?"], check=True, capture_output=True, text=True
    )
    told = json.loads(done.stdout)
    assert (told["model_name"], told["extra"]["rule"]) == ("large", "rule 1")
