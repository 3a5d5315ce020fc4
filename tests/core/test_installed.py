"""Each plugin fails alone, with its reason, whatever it does."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmrouter.errors import PluginError
from llmrouter.plugin_system import PluginRegistry
from llmrouter.plugin_system.installed import Plugin, load_target

IMPORTS = "from llmrouter import EncoderSpec, JudgeSpec, RouterSpec, TrainerSpec, hookimpl\n"


def declaring(answer: str, hook: str = "routers") -> str:
    """Return the source of a plugin whose hook has the body `answer`, or returns it."""
    body = answer if answer.startswith(("raise ", "yield ", "import ")) else f"return {answer}"
    return f"{IMPORTS}\n@hookimpl\ndef llmrouter_register_{hook}():\n    {body}\n"


def sound(name: str) -> str:
    """Return the source of a plugin that works: a router and an observer."""
    return (
        declaring(f"[RouterSpec({name!r}, 'fake_code:Router')]")
        + "\n@hookimpl\ndef llmrouter_after_route(decision):\n    pass\n"
    )


@pytest.fixture
def loaded(install: Callable[..., Path]) -> Callable[[str], tuple[PluginRegistry, Plugin]]:
    """Load a plugin with the given source, between two sound ones that must not suffer."""

    def loaded(source: str) -> tuple[PluginRegistry, Plugin]:
        install("llmrouter-after", {"fake_after": sound("after")}, {"after": "fake_after"})
        install("llmrouter-between", {"fake_between": source}, {"between": "fake_between"})
        install("llmrouter-zuletzt", {"fake_last": sound("last")}, {"last": "fake_last"})
        registry = PluginRegistry()
        assert {"after", "last", "randomrouter"} <= set(registry.get_router_names())
        assert {"llmrouter-after:after", "llmrouter-zuletzt:last"} <= {
            observer.plugin for observer in registry.observers
        }
        (plugin,) = [plugin for plugin in registry.plugins if plugin.name == "between"]
        return registry, plugin

    return loaded


AT_IMPORT = {
    "import sys\nsys.exit(3)": "SystemExit: 3 (fake_between.py, line 2)",
    "raise SystemExit": "SystemExit (fake_between.py, line 1)",
    "class Odd(BaseException): ...\nraise Odd('I am')": "Odd: I am (fake_between.py, line 2)",
    "raise GeneratorExit('no generator')": "GeneratorExit: no generator (fake_between.py, line 1)",
    "raise ValueError('two\\nlines')": "ValueError: two lines (fake_between.py, line 1)",
    "def forever(): return forever()\nforever()": "RecursionError: maximum recursion depth exceeded",
    "x = 1\ndef (": "SyntaxError: ",
    "x = 1\n  y = 2": "IndentationError: unexpected indent (fake_between.py, line 2)",
    "import no_such_thing": "ModuleNotFoundError: No module named 'no_such_thing' (fake_between.py, line 1)",
    "from llmrouter import NoSuchThing": "ImportError: cannot import name 'NoSuchThing' from 'llmrouter'",
    "class Odd(Exception):\n    def __str__(self): raise ValueError\nraise Odd": (
        "Odd (fake_between.py, line 3)"
    ),
    "from llmrouter.errors import PluginError\nraise PluginError('needs a key')": "needs a key",
    f"{IMPORTS}RouterSpec('My Router', 'm:N')": "ValueError: RouterSpec: 'My Router' is not a name; use",
}

IN_A_HOOK = {
    declaring("raise SystemExit('bye')"): "SystemExit: bye (fake_between.py, line 5)",
    declaring("raise BaseException('bye')"): "BaseException: bye (fake_between.py, line 5)",
    declaring("import no_such_thing"): "ModuleNotFoundError: No module named 'no_such_thing'",
    declaring("[RouterSpec('A', 'm:N')]"): "ValueError: RouterSpec: 'A' is not a name; use lower-case",
    declaring("[RouterSpec('a', 'm')]"): "ValueError: RouterSpec 'a': target 'm' is not of the form",
    declaring("[JudgeSpec('a', 'm/n:N')]", "judges"): "ValueError: JudgeSpec 'a': target 'm/n:N' is not of",
    declaring("'myrouter'"): "llmrouter_register_routers returned str 'myrouter', not a list of RouterSpec",
    declaring("b'myrouter'"): "llmrouter_register_routers returned bytes b'myrouter', not a list of",
    declaring("{'myrouter': 1}"): "returned dict {'myrouter': 1}, not a list of RouterSpec",
    declaring("''"): "llmrouter_register_routers returned str '', not a list of RouterSpec",
    declaring("{}"): "llmrouter_register_routers returned dict {}, not a list of RouterSpec",
    declaring("False"): "llmrouter_register_routers returned bool False, not a list of RouterSpec",
    declaring("3"): "llmrouter_register_routers returned int 3, not a list of RouterSpec",
    declaring("RouterSpec('a', 'm:N')"): "returned RouterSpec RouterSpec(name='a', target='m:N'",
    declaring("RouterSpec"): "returned type <class 'llmrouter.specs.RouterSpec'>, not a list of RouterSpec",
    declaring("['a']"): "llmrouter_register_routers returned str 'a' in its list, not a RouterSpec",
    declaring("['a' * 99]"): f"returned str '{'a' * 58}… in its list, not a RouterSpec",
    declaring("[('a', 'm:N')]"): "returned tuple ('a', 'm:N') in its list, not a RouterSpec",
    declaring("[None]"): "returned NoneType None in its list, not a RouterSpec",
    declaring(
        "[RouterSpec('a', 'm:N'), RouterSpec]"
    ): "returned type <class 'llmrouter.specs.RouterSpec'> in",
    declaring("[EncoderSpec('a', 'm:N')]"): "in its list, not a RouterSpec",
    declaring("[RouterSpec('a', 'm:N')]", "trainers"): "in its list, not a TrainerSpec",
    declaring("[type('Odd', (), {'__repr__': lambda self: 1 / 0})()]"): "returned Odd in its list, not a",
    declaring("(RouterSpec('ab'[i], 'm:N') for i in range(3))"): "IndexError: string index out of range",
    declaring("[RouterSpec('a', 'm:N'), RouterSpec('a', 'm:O')]"): (
        "llmrouter_register_routers declares 'a' twice"
    ),
    declaring("[EncoderSpec('a', 'm:N')] * 2", "encoders"): "llmrouter_register_encoders declares 'a' twice",
    declaring("[JudgeSpec('a', 'm:N')] * 2", "judges"): "llmrouter_register_judges declares 'a' twice",
}

WRONG_HOOKS = {
    declaring("[]", "routes"): (
        "implements an unknown hook, llmrouter_register_routes; there are llmrouter_register_routers, "
        "llmrouter_register_trainers, llmrouter_register_encoders, llmrouter_register_judges, "
        "llmrouter_register_commands, llmrouter_after_route"
    ),
    f"{IMPORTS}def llmrouter_register_routers():\n    return []": (
        "defines llmrouter_register_routers without @hookimpl before it"
    ),
    f"{IMPORTS}@hookimpl\ndef anything():\n    pass": "implements an unknown hook, anything; there are",
    f"{IMPORTS}@hookimpl\ndef llmrouter_register_routers(registry):\n    pass": "'registry'",
    f"{IMPORTS}@hookimpl\ndef llmrouter_after_route(query, answer):\n    pass": "'answer'",
    f"{IMPORTS}@hookimpl(hookwrapper=True)\ndef llmrouter_register_routers():\n    yield": (
        "implements llmrouter_register_routers as a hook wrapper, which is not called"
    ),
    f"{IMPORTS}@hookimpl(wrapper=True)\ndef llmrouter_after_route():\n    return (yield)": (
        "implements llmrouter_after_route as a hook wrapper, which is not called"
    ),
    f"{declaring('[]')}\n@hookimpl(specname='llmrouter_register_routers')\ndef more():\n    return []": (
        "implements llmrouter_register_routers twice"
    ),
}


@pytest.mark.parametrize(
    ("source", "told"), [*AT_IMPORT.items(), *IN_A_HOOK.items(), *WRONG_HOOKS.items()], ids=repr
)
def test_a_plugin_that_fails_is_listed_with_its_reason(
    loaded: Callable[[str], tuple[PluginRegistry, Plugin]], source: str, told: str
) -> None:
    registry, plugin = loaded(source)
    assert plugin.state == "failed"
    assert plugin.reason is not None
    assert told in plugin.reason
    assert "\n" not in plugin.reason
    assert plugin.cause is not None
    assert plugin.declared == []
    (entry,) = [entry for entry in registry.routers if entry.plugin is plugin]
    assert (entry.name, entry.state, entry.reason) == ("between", "failed", plugin.reason)
    assert registry.problems() == [f"plugin 'between' of llmrouter-between 1.0, failed: {plugin.reason}"]
    with pytest.raises(PluginError) as caught:
        registry.find("between")
    assert str(caught.value) == (
        f"Router 'between' from llmrouter-between 1.0 cannot be used, failed: {plugin.reason}"
    )


@pytest.mark.parametrize(
    "source",
    [
        "__import__('signal').raise_signal(2)",
        declaring("__import__('signal').raise_signal(2)"),
        declaring("yield __import__('fake_stop')"),
    ],
)
def test_ctrl_c_while_plugins_load_passes(install: Callable[..., Path], source: str) -> None:
    install(
        "llmrouter-stop",
        {"fake_plugin": source, "fake_stop": "__import__('signal').raise_signal(2)"},
        {"stop": "fake_plugin"},
    )
    with pytest.raises(KeyboardInterrupt):
        PluginRegistry()


def test_a_syntax_error_tells_its_line(loaded: Callable[[str], tuple[PluginRegistry, Plugin]]) -> None:
    _, plugin = loaded("x = 1\ndef (")
    assert (plugin.reason or "").endswith("(fake_between.py, line 2)")


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        ("None", []),
        ("[]", []),
        ("()", []),
        ("(RouterSpec('a', 'm:N'),)", ["a"]),
        ("[RouterSpec(name, 'm:N') for name in 'cab']", ["c", "a", "b"]),
        ("(RouterSpec(name, 'm:N') for name in 'cab')", ["c", "a", "b"]),
        ("yield RouterSpec('a', 'm:N')", ["a"]),
        ("{RouterSpec('a', 'm:N')}", ["a"]),
        ("{1: RouterSpec('a', 'm:N')}.values()", ["a"]),
        ("[type('Special', (RouterSpec,), {})('a', 'm:N')]", ["a"]),
    ],
)
def test_what_a_hook_may_answer(
    loaded: Callable[[str], tuple[PluginRegistry, Plugin]], answer: str, names: list[str]
) -> None:
    registry, plugin = loaded(declaring(answer))
    assert (plugin.state, plugin.reason, plugin.cause) == ("ready", None, None)
    assert [spec.name for spec in plugin.declared if not hasattr(spec, "router")] == names
    assert [entry.name for entry in registry.routers if entry.plugin is plugin] == sorted(names)
    assert registry.problems() == []


@pytest.mark.parametrize(
    ("source", "hooks"),
    [
        ("", ()),
        (
            f"{IMPORTS}@hookimpl(optionalhook=True)\ndef llmrouter_later(anything):\n    1 / 0",
            ("llmrouter_later",),
        ),
        (
            f"{IMPORTS}@hookimpl(tryfirst=True)\ndef llmrouter_register_judges():\n    pass",
            ("llmrouter_register_judges",),
        ),
        (
            f"{IMPORTS}@hookimpl(specname='llmrouter_register_judges')\ndef judges():\n    pass",
            ("llmrouter_register_judges",),
        ),
    ],
)
def test_what_hooks_a_plugin_may_have(
    loaded: Callable[[str], tuple[PluginRegistry, Plugin]], source: str, hooks: tuple[str, ...]
) -> None:
    _, plugin = loaded(source)
    assert (plugin.state, plugin.hooks) == ("ready", hooks)


@pytest.mark.parametrize(
    "rest",
    [
        "@hookimpl\ndef llmrouter_register_trainers():\n    raise ValueError",
        "@hookimpl\ndef llmrouter_register_judges():\n    return 'judges'",
        "@hookimpl\ndef llmrouter_register_nothing():\n    return []",
    ],
)
def test_nothing_of_a_failed_plugin_is_used(
    loaded: Callable[[str], tuple[PluginRegistry, Plugin]], rest: str
) -> None:
    source = f"{sound('of-failed')}\n@hookimpl\ndef llmrouter_register_encoders():\n"
    source += f"    return [EncoderSpec('of-failed', 'm:N')]\n\n{rest}\n"
    registry, plugin = loaded(source)
    assert plugin.state == "failed"
    assert "of-failed" not in {entry.name for entry in registry.routers}
    assert {declaration.plugin.name for declaration in registry.encoders.values()} == {"core"}
    assert len(registry.observers) == 2


def test_two_entry_points_to_one_module_register_it_once(install: Callable[..., Path]) -> None:
    install("llmrouter-one", {"fake_one": sound("one")}, {"first": "fake_one", "second": "fake_one"})
    registry = PluginRegistry()
    assert [plugin.name for plugin in registry.plugins if plugin.module == "fake_one"] == ["first"]
    assert registry.find("one").state == "ready"
    assert [observer.plugin for observer in registry.observers] == ["llmrouter-one:first"]
    assert registry.problems() == []


def test_two_distributions_may_name_one_module(install: Callable[..., Path]) -> None:
    install("llmrouter-old", {"fake_one": sound("one")}, {"one": "fake_one"})
    install("llmrouter-renamed", {"fake_one": sound("one")}, {"one": "fake_one"})
    registry = PluginRegistry()
    assert registry.find("one").state == "ready"
    assert registry.problems() == []


def test_two_entry_points_of_one_name_are_both_loaded(install: Callable[..., Path]) -> None:
    site = install("llmrouter-two", {"fake_one": sound("one"), "fake_two": sound("two")}, {})
    (points,) = site.glob("*.dist-info/entry_points.txt")
    points.write_text("[llmrouter]\nsame = fake_one\nsame = fake_two\n")
    registry = PluginRegistry()
    assert {"one", "two"} <= set(registry.get_router_names())
    assert len(registry.observers) == 2
    assert registry.problems() == []


def test_an_entry_point_may_declare_several_routers(install: Callable[..., Path]) -> None:
    source = declaring("[RouterSpec('one', 'm:N'), RouterSpec('two', 'm:O', 'Second.')]")
    install("llmrouter-several", {"fake_several": source}, {"several": "fake_several"})
    registry = PluginRegistry()
    assert {"one", "two", "randomrouter"} == set(registry.get_router_names())
    assert (registry.find("two").target, registry.find("two").summary) == ("m:O", "Second.")
    assert [plugin.name for plugin in registry.plugins] == ["randomrouter", "several"]


def test_a_module_that_was_loaded_before_is_asked_again(install: Callable[..., Path]) -> None:
    install("llmrouter-one", {"fake_one": sound("one")}, {"one": "fake_one"})
    module = importlib.import_module("fake_one")
    assert PluginRegistry().find("one").state == PluginRegistry().find("one").state == "ready"
    assert importlib.import_module("fake_one") is module


@pytest.mark.parametrize("rest", ["", "raise ValueError"])
def test_a_plugin_that_imports_torch_is_noted(
    loaded: Callable[[str], tuple[PluginRegistry, Plugin]], monkeypatch: pytest.MonkeyPatch, rest: str
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # so that it is restored
    del sys.modules["torch"]
    registry, plugin = loaded(f"import sys\nsys.modules['torch'] = sys\n{rest}")
    assert [other.name for other in registry.plugins if other.imported_torch] == [plugin.name]


def test_the_time_to_load_is_measured(loaded: Callable[[str], tuple[PluginRegistry, Plugin]]) -> None:
    _, plugin = loaded(f"import time\ntime.sleep(0.06)\n{declaring('[]')}    time.sleep(0.06)\n")
    assert plugin.load_ms >= 60


def test_a_failure_shows_on_the_command_line(
    loaded: Callable[[str], tuple[PluginRegistry, Plugin]], invoke: Callable[..., Any]
) -> None:
    loaded("raise ValueError('no luck')")
    done = invoke("plugins", "--json")
    assert done.status == 0
    (row,) = [row for row in done.json if row["name"] == "between"]
    assert (row["state"], row["reason"]) == ("failed", "ValueError: no luck (fake_between.py, line 1)")
    assert "Traceback" not in done.err
    assert "raise ValueError('no luck')" in invoke("plugins", "--debug").err


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("fake_code", "fake_code"),
        ("fake_code:Outer", "Outer"),
        ("fake_code:Outer.Inner", "Inner"),
        ("fake_package.part:Name", "Name"),
    ],
)
def test_what_a_target_names(install: Callable[..., Path], target: str, found: str) -> None:
    modules = {
        "fake_code": "class Outer:\n    class Inner: ...",
        "fake_package.part": "class Name: ...",
    }
    install("llmrouter-code", modules, {})
    assert load_target(target).__name__ == found
