"""Hooks come and go without breaking plugins: what goes is told before, and what is new is passed over."""

from __future__ import annotations

import dataclasses
import inspect
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import llmrouter
from llmrouter import hookspecs
from llmrouter.decision import RoutingDecision
from llmrouter.hookspecs import API_VERSION, hookspec
from llmrouter.models.judge import Judgement
from llmrouter.plugin_system import PluginRegistry
from llmrouter.plugin_system.installed import Plugin

DOCS = Path(__file__).parents[2] / "docs"
HOOK = "llmrouter_register_routers is deprecated and goes with 0.3; use llmrouter_declare_routers"
ARGUMENT = "the argument 'query' of llmrouter_after_route goes with 0.3; use decision.query"
SOURCE = """
    from llmrouter import RouterSpec, hookimpl

    SEEN = []

    @hookimpl
    def llmrouter_register_routers():
        return [RouterSpec("old", "fake_old:Old", "Is old.")]

    @hookimpl
    def llmrouter_after_route({wants}):
        SEEN.append({wants})
"""


@pytest.fixture
def deprecating(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a hook, and an argument of another one, be on their way out."""

    @hookspec(warn_on_impl=DeprecationWarning(HOOK))
    def llmrouter_register_routers() -> Any:
        """Declare routers."""

    @hookspec(warn_on_impl_args={"query": DeprecationWarning(ARGUMENT)})
    def llmrouter_after_route(query: Any, decision: Any) -> None:
        """Observe a decision."""

    monkeypatch.setattr(hookspecs, "llmrouter_register_routers", llmrouter_register_routers)
    monkeypatch.setattr(hookspecs, "llmrouter_after_route", llmrouter_after_route)


@pytest.fixture
def old(install: Callable[..., Path]) -> Callable[..., Plugin]:
    """Install a plugin that implements both, and look for it."""

    def old(wants: str = "query") -> Plugin:
        modules, bounds = {"fake_old": SOURCE.format(wants=wants)}, ("llmrouter-core>=0.1,<0.2",)
        install("llmrouter-old", modules, {"old": "fake_old"}, requires=bounds)
        return plugin_of("old")

    return old


def plugin_of(name: str) -> Plugin:
    (plugin,) = [plugin for plugin in PluginRegistry().plugins if plugin.name == name]
    return plugin


@pytest.mark.usefixtures("deprecating")
class TestDeprecated:
    @pytest.fixture(params=["error", "always", "ignore"], autouse=True)
    def filters(self, request: pytest.FixtureRequest) -> Iterator[None]:
        with warnings.catch_warnings():
            warnings.simplefilter(request.param)
            yield

    def test_it_is_noted_for_the_plugin_that_implements_it(self, old: Callable[..., Plugin]) -> None:
        plugin = old()
        assert (plugin.state, plugin.reason) == ("ready", None)
        assert plugin.deprecated == (ARGUMENT, HOOK)
        assert plugin_of("randomrouter").deprecated == (HOOK,)

    def test_an_argument_that_is_not_taken_is_not_told(self, old: Callable[..., Plugin]) -> None:
        assert old("decision").deprecated == (HOOK,)

    def test_it_goes_on_working(self, old: Callable[..., Plugin]) -> None:
        old()
        registry = PluginRegistry()
        assert registry.find("old").summary == "Is old."
        assert [observer.plugin for observer in registry.observers] == ["llmrouter-old:old"]

    def test_ordinary_commands_do_not_tell(
        self, old: Callable[..., Plugin], invoke: Callable[..., Any]
    ) -> None:
        old()
        assert "deprecated" not in "".join(map(str, invoke("list-routers")))

    @pytest.mark.processes
    def test_plugins_check_tells_and_does_not_fail(
        self, old: Callable[..., Plugin], invoke: Callable[..., Any]
    ) -> None:
        old()
        done = invoke("--no-plugin", "llmrouter-random", "plugins", "check")
        told = [row for row in done.json if row["reason"] in (HOOK, ARGUMENT)]
        assert [(row["what"], row["name"], row["ok"]) for row in told] == [("plugin", "old", True)] * 2
        # Its router is made up.
        assert [row["what"] for row in done.json if not row["ok"]] == ["router"]

    def test_doctor_warns(self, old: Callable[..., Plugin], invoke: Callable[..., Any]) -> None:
        old()
        done = invoke("doctor")
        found = [row["detail"] for row in done.json if row["status"] == "warning"]
        assert f"llmrouter-old 1.0: {HOOK}" in found
        assert f"llmrouter-old 1.0: {ARGUMENT}" in found
        assert done.status == 0

    def test_show_tells(self, old: Callable[..., Plugin], invoke: Callable[..., Any]) -> None:
        old()
        (row,) = invoke("plugins", "show", "old").json
        assert row["deprecated"] == [ARGUMENT, HOOK]


def test_nothing_is_deprecated_that_our_own_plugins_implement() -> None:
    assert {plugin.name: plugin.deprecated for plugin in PluginRegistry().plugins} == {"randomrouter": ()}


def of_a_newer_core(marker: str) -> str:
    return f"from llmrouter import hookimpl\n{marker}\ndef llmrouter_something_new():\n    return []\n"


class TestNewer:
    @pytest.mark.processes
    def test_a_hook_that_is_not_known_is_told(
        self, install: Callable[..., Path], invoke: Callable[..., Any]
    ) -> None:
        install("llmrouter-newer", {"fake_newer": of_a_newer_core("@hookimpl")}, {"newer": "fake_newer"})
        plugin = plugin_of("newer")
        assert plugin.state == "failed"
        version = re.escape(llmrouter.__version__)
        assert re.search(
            rf"unknown hook, llmrouter_something_new; .* newer llmrouter-core than {version}, upgrade that; "
            r"with @hookimpl\(optionalhook=True\)",
            plugin.reason or "",
        )
        assert invoke("plugins", "check").status == 1

    def test_an_optional_one_is_passed_over(self, install: Callable[..., Path]) -> None:
        source = of_a_newer_core("@hookimpl(optionalhook=True)")
        install("llmrouter-newer", {"fake_newer": source}, {"newer": "fake_newer"})
        assert plugin_of("newer").state == "ready"

    def test_an_argument_that_is_not_known_is_told(self, old: Callable[..., Plugin]) -> None:
        plugin = old("query, decision, user")
        assert plugin.state == "failed"
        assert "Argument(s) {'user'} are declared in the hookimpl" in (plugin.reason or "")

    def test_a_release_that_is_required_and_not_there(self, install: Callable[..., Path]) -> None:
        bounds = ("llmrouter-core>=0.7,<0.8",)
        install("llmrouter-newer", {"fake_newer": "1 / 0"}, {"newer": "fake_newer"}, requires=bounds)
        plugin = plugin_of("newer")
        assert plugin.state == "incompatible"
        assert (plugin.reason or "").startswith(
            f"requires llmrouter-core>=0.7,<0.8, and {llmrouter.__version__} is installed; upgrade "
        )


def test_a_plugin_may_ask_which_version_there_is() -> None:
    assert llmrouter.hookspecs.API_VERSION >= (1, 0)
    assert [type(number) for number in API_VERSION] == [int, int]


REQUIRED = object()
# What version 1.0 has. Whoever changes it raises API_VERSION, by the rules of docs/compatibility.md, and says
# here what the new one has; what is taken away breaks plugins that were published.
HOOKS = {
    "llmrouter_register_routers": (),
    "llmrouter_register_trainers": (),
    "llmrouter_register_encoders": (),
    "llmrouter_register_judges": (),
    "llmrouter_register_commands": (),
    "llmrouter_after_route": ("query", "decision"),
}
SPECS: dict[str, dict[str, object]] = {
    "RouterSpec": {"name": REQUIRED, "target": REQUIRED, "summary": ""},
    "TrainerSpec": {"router": REQUIRED, "target": REQUIRED},
    "EncoderSpec": {"name": REQUIRED, "target": REQUIRED, "dim": None},
    "JudgeSpec": {"name": REQUIRED, "target": REQUIRED},
    "CommandSpec": {"name": REQUIRED, "target": REQUIRED, "summary": ""},
}
DECISION = (
    *("model_name", "predicted_llm", "query", "id", "scores", "confidence", "expected_cost", "constraint"),
    *("fallback", "fallback_reason", "router", "router_version", "latency_ms", "extra"),
)
JUDGEMENT = {"score": REQUIRED, "reason": "", "cost": 0.0}


class TestVersion:
    """What the version stands for is what it was."""

    def test_it_is_the_one_that_is_written_down_here(self) -> None:
        assert API_VERSION == (1, 0)

    def test_hooks(self) -> None:
        found = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("llmrouter_")}
        assert {name: tuple(inspect.signature(hook).parameters) for name, hook in found.items()} == HOOKS

    @pytest.mark.parametrize("name", SPECS)
    def test_declarations(self, name: str) -> None:
        assert fields_of(getattr(llmrouter, name)) == SPECS[name]

    def test_decisions_and_judgements(self) -> None:
        assert tuple(field.name for field in msgspec.structs.fields(RoutingDecision)) == DECISION
        assert fields_of(Judgement) == JUDGEMENT

    def test_it_is_documented_with_the_release_that_brought_it(self) -> None:
        text = (DOCS / "compatibility.md").read_text("utf-8")
        row = re.search(rf"^\| {API_VERSION[0]}\.{API_VERSION[1]} \| (\d+\.\d+)\.\d+ \|", text, re.MULTILINE)
        assert row
        assert tuple(map(int, row[1].split("."))) <= tuple(map(int, llmrouter.__version__.split(".")[:2]))


def fields_of(kind: Any) -> dict[str, object]:
    return {
        field.name: REQUIRED if field.default is dataclasses.MISSING else field.default
        for field in dataclasses.fields(kind)
    }
