"""Users say which plugins are loaded, by the name of a distribution or of an entry point."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmrouter.errors import PluginError
from llmrouter.plugin_system import PluginRegistry
from llmrouter.plugin_system.metadata import Distribution, EntryPoint
from llmrouter.plugin_system.selection import Selection

PLUGIN = """
    from pathlib import Path

    from llmrouter import RouterSpec, hookimpl

    Path("imported-{name}").touch()

    @hookimpl
    def llmrouter_register_routers():
        return [RouterSpec("{name}", "fake_code:Router")]
"""
ALL = {"alpha", "beta", "randomrouter"}


@pytest.fixture(autouse=True)
def two_plugins(install: Callable[..., Path]) -> None:
    """Install the routers alpha and beta."""
    install("llmrouter-alpha", {"fake_alpha": PLUGIN.format(name="alpha")}, {"alpha": "fake_alpha"})
    install("LLMRouter_The.Beta", {"fake_beta": PLUGIN.format(name="beta")}, {"beta": "fake_beta"})


def ready(registry: PluginRegistry | None = None) -> set[str]:
    """Return the routers that can be used, and check that no other made-up plugin was imported."""
    names = set((registry or PluginRegistry()).get_router_names())
    imported = {path.name.removeprefix("imported-") for path in Path().glob("imported-*")}
    assert imported == names - {"randomrouter"}
    return names


@pytest.mark.parametrize(
    ("value", "loaded"),
    [
        ("alpha", {"alpha"}),
        ("llmrouter-alpha", {"alpha"}),
        ("LLMRouter.Alpha", {"alpha"}),
        (" ALPHA , llmrouter_the_beta ,", {"alpha", "beta"}),
        ("llmrouter-the-beta", {"beta"}),
        ("beta,randomrouter", {"beta", "randomrouter"}),
        ("", set()),
        (" , ", set()),
        ("nobody", set()),
    ],
)
def test_only_what_is_named_is_loaded(monkeypatch: pytest.MonkeyPatch, value: str, loaded: set[str]) -> None:
    monkeypatch.setenv("LLMROUTER_LOAD_PLUGINS", value)
    registry = PluginRegistry()
    assert ready(registry) == loaded
    left_out = [plugin for plugin in registry.plugins if plugin.state != "ready"]
    assert len(left_out) == 3 - len(loaded)
    for plugin in left_out:
        assert (plugin.state, plugin.reason) == ("blocked", "LLMROUTER_LOAD_PLUGINS does not name it")


BLOCKED = [
    ("alpha", {"alpha"}),
    ("llmrouter-alpha", {"alpha"}),
    ("LLMRouter.Alpha", {"alpha"}),
    (" ALPHA , llmrouter_the_beta ,", {"alpha", "beta"}),
    ("llmrouter-random", {"randomrouter"}),
    ("", set()),
    (" , ", set()),
    ("nobody", set()),
]


@pytest.mark.parametrize(("value", "blocked"), BLOCKED)
def test_what_the_environment_names_is_left_out(
    monkeypatch: pytest.MonkeyPatch, value: str, blocked: set[str]
) -> None:
    monkeypatch.setenv("LLMROUTER_BLOCK_PLUGINS", value)
    assert ready() == ALL - blocked


@pytest.mark.parametrize(
    ("names", "blocked"), [(value.split(","), blocked) for value, blocked in BLOCKED if "," not in value]
)
def test_what_the_caller_names_is_left_out(names: list[str], blocked: set[str]) -> None:
    assert ready(PluginRegistry(block=names)) == ALL - blocked


@pytest.mark.parametrize("name", ["alpha", "ALPHA", "llmrouter-alpha", "LLMRouter_Alpha"])
def test_no_plugin_leaves_out(invoke: Callable[..., Any], name: str) -> None:
    rows = invoke("--no-plugin", name, "list-routers", "--json").json
    assert {row["name"]: row["state"] for row in rows} == {
        "alpha": "blocked",
        "beta": "ready",
        "randomrouter": "ready",
    }
    assert not Path("imported-alpha").exists()


def test_no_plugin_may_be_given_several_times(
    invoke: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMROUTER_BLOCK_PLUGINS", "llmrouter-random")
    rows = invoke("--no-plugin", "alpha", "--no-plugin", "beta", "list-routers", "--json").json
    assert {row["name"]: row["reason"] for row in rows} == {
        "alpha": "--no-plugin alpha",
        "beta": "--no-plugin beta",
        "randomrouter": "LLMROUTER_BLOCK_PLUGINS names 'llmrouter-random'",
    }


def test_blocking_beats_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMROUTER_LOAD_PLUGINS", "alpha,beta")
    monkeypatch.setenv("LLMROUTER_BLOCK_PLUGINS", "llmrouter-alpha")
    assert ready() == {"beta"}


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("LLMROUTER_BLOCK_PLUGINS", "alpha", "LLMROUTER_BLOCK_PLUGINS names 'alpha'"),
        ("LLMROUTER_BLOCK_PLUGINS", "LLMRouter_Alpha", "LLMROUTER_BLOCK_PLUGINS names 'llmrouter-alpha'"),
        ("LLMROUTER_LOAD_PLUGINS", "beta", "LLMROUTER_LOAD_PLUGINS does not name it"),
        ("LLMROUTER_LOAD_PLUGINS", "", "LLMROUTER_LOAD_PLUGINS does not name it"),
    ],
)
def test_naming_a_blocked_router_tells_who_blocked_it(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(PluginError) as caught:
        PluginRegistry().find("alpha")
    assert str(caught.value) == f"Router 'alpha' from llmrouter-alpha 1.0 cannot be used, blocked: {told}"


def test_naming_a_router_that_no_plugin_blocks(
    invoke: Callable[..., Any], config: Callable[..., str]
) -> None:
    done = invoke("--no-plugin", "alpha", "infer", "--router", "alpha", "--config", config(), "--query", "Hi")
    assert (done.status, done.out) == (1, "")
    assert "cannot be used, blocked: --no-plugin alpha\n" in done.err


@pytest.mark.parametrize("variable", ["LLMROUTER_LOAD_PLUGINS", "LLMROUTER_BLOCK_PLUGINS"])
def test_names_that_nothing_bears_are_told(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "alpha, llmrouter_the.beta, Alfa, randomrouter, zeta")
    registry = PluginRegistry()
    assert registry.unused == ["alfa", "zeta"]
    assert registry.problems() == [
        f"no installed plugin or distribution is named {name!r}, nothing to load or block"
        for name in ("alfa", "zeta")
    ]


def test_the_command_line_tells_them_too(invoke: Callable[..., Any]) -> None:
    done = invoke("--no-plugin", "alfa", "plugins", "--json")
    assert done.status == 0
    assert "no installed plugin or distribution is named 'alfa'" in done.err


def test_what_is_blocked_is_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMROUTER_BLOCK_PLUGINS", "alpha")
    assert PluginRegistry().problems() == []


@pytest.mark.parametrize("name", ["first", "second", "llmrouter-twice"])
def test_a_module_with_two_entry_points_goes_by_both_names(
    install: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    source = PLUGIN.format(name="twice")
    install("llmrouter-twice", {"fake_twice": source}, {"first": "fake_twice", "second": "fake_twice"})
    monkeypatch.setenv("LLMROUTER_LOAD_PLUGINS", name)
    assert ready() == {"twice"}
    Path("imported-twice").unlink()
    monkeypatch.setenv("LLMROUTER_LOAD_PLUGINS", f"{name},alpha")
    monkeypatch.setenv("LLMROUTER_BLOCK_PLUGINS", name)
    assert ready() == {"alpha"}


def test_a_selection_reads_the_environment_that_it_is_given() -> None:
    point = EntryPoint("a", "fake_a", Distribution("llmrouter-a", "1.0"))
    assert Selection.from_environ({}).refusal([point]) is None
    assert Selection.from_environ({"LLMROUTER_LOAD_PLUGINS": ""}).refusal([point])
    assert Selection.from_environ({"LLMROUTER_BLOCK_PLUGINS": "a"}).refusal([point])
    assert Selection.from_environ({}, block=["A"]).refusal([point]) == "--no-plugin A"
