"""The registry tells which routers there are, which of one name is used, and why one cannot be."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmrouter.errors import LLMRouterError, PluginError, RouterValidationError, UnknownRouterError
from llmrouter.plugin_system import (
    PluginRegistry,
    RouterEntry,
    discover_and_register_plugins,
    get_plugin_registry,
)

IMPORTS = "from llmrouter import CommandSpec, EncoderSpec, JudgeSpec, RouterSpec, TrainerSpec, hookimpl\n"
CODE = """
    from llmrouter.models.base_trainer import BaseTrainer
    from llmrouter.models.router import Router

    class FirstRouter(Router):
        def route_single(self, query_input):
            return {"model_name": "small"}

    class SecondRouter(FirstRouter):
        pass

    class FirstTrainer(BaseTrainer):
        def train(self):
            pass
"""


def plugin(**declared: str) -> str:
    """Return the source of a plugin; each keyword, such as ``routers``, is what one hook returns."""
    hooks = [
        f"@hookimpl\ndef llmrouter_register_{kind}():\n    return [{spec}]\n"
        for kind, spec in declared.items()
    ]
    return IMPORTS + "\n".join(hooks)


def router(name: str, target: str = "fake_code:FirstRouter") -> str:
    """Return the source of a plugin that declares one router."""
    return plugin(routers=f"RouterSpec({name!r}, {target!r})")


@pytest.fixture
def add(install: Callable[..., Path]) -> Callable[..., None]:
    """Install a distribution with one plugin module for each source, and the code that targets name."""

    def add(distribution: str, *sources: str, **options: Any) -> None:
        short = distribution.removeprefix("llmrouter-").replace("-", "_")
        modules = {f"fake_{short}{number or ''}": source for number, source in enumerate(sources)}
        points = {module.removeprefix("fake_").replace("_", "-"): module for module in modules}
        install(distribution, {**modules, "fake_code": CODE}, points, **options)

    return add


def entries(registry: PluginRegistry, name: str) -> list[RouterEntry]:
    """Return all entries of one name."""
    return [entry for entry in registry.routers if entry.name == name]


def states(registry: PluginRegistry) -> dict[str, str]:
    """Return the state of each plugin by its entry point's name."""
    return {plugin.name: plugin.state for plugin in registry.plugins}


def test_an_entry_tells_where_a_router_is_from() -> None:
    registry = PluginRegistry()
    (entry,) = entries(registry, "randomrouter")
    assert (entry.origin, entry.distribution, entry.version) == ("llmrouter-random",) * 2 + ("0.1.0",)
    assert (entry.label, entry.qualified_name) == ("llmrouter-random 0.1.0", "llmrouter-random:randomrouter")
    assert (entry.state, entry.reason) == ("ready", None)
    assert registry.find("randomrouter") is entry
    assert registry.problems() == []


@pytest.mark.parametrize(
    "name",
    [
        *["randomrouter", "RandomRouter", " randomrouter\n"],
        *["llmrouter-random:randomrouter", "LLMRouter_Random:RANDOMROUTER"],
    ],
)
def test_names_are_taken_as_users_write_them(name: str) -> None:
    assert PluginRegistry().find(name).name == "randomrouter"


def test_routers_are_sorted_by_name(add: Callable[..., None]) -> None:
    add("llmrouter-a", plugin(routers="RouterSpec('z', 'm:N'), RouterSpec('a', 'm:N')"))
    add("llmrouter-b", router("m"))
    registry = PluginRegistry()
    assert registry.get_router_names() == ["a", "m", "randomrouter", "z"]
    assert [entry.name for entry in registry.routers] == ["a", "m", "randomrouter", "z"]


class TestTwoDistributionsWithOneRouterName:
    @pytest.fixture(autouse=True)
    def both(self, add: Callable[..., None]) -> None:
        add("llmrouter-one", router("same"))
        add("LLMRouter_Two", router("same", "fake_code:SecondRouter"), version="2.0")

    def test_both_are_in_conflict(self) -> None:
        registry = PluginRegistry()
        one, two = entries(registry, "same")
        assert (one.state, two.state) == ("conflict", "conflict")
        choices = "choose with llmrouter-one:same or LLMRouter_Two:same"
        assert one.reason == f"LLMRouter_Two 2.0 provides it too; {choices}"
        assert two.reason == f"llmrouter-one 1.0 provides it too; {choices}"
        assert registry.get_router_names() == ["randomrouter"]

    def test_the_name_alone_is_an_error_that_names_both(self) -> None:
        with pytest.raises(PluginError) as caught:
            PluginRegistry().find("same")
        assert str(caught.value) == (
            "Router 'same' from llmrouter-one 1.0 cannot be used, conflict: "
            "LLMRouter_Two 2.0 provides it too; choose with llmrouter-one:same or LLMRouter_Two:same"
        )

    @pytest.mark.parametrize(
        ("name", "chosen"),
        [
            ("llmrouter-one:same", "FirstRouter"),
            ("LLMRouter.One:Same", "FirstRouter"),
            ("LLMRouter_Two:same", "SecondRouter"),
            ("llmrouter-two:same", "SecondRouter"),
        ],
    )
    def test_the_distribution_chooses(self, name: str, chosen: str) -> None:
        registry = PluginRegistry()
        assert registry.load_router(registry.find(name)).__name__ == chosen

    def test_the_conflict_is_a_problem_of_both_plugins(self) -> None:
        registry = PluginRegistry()
        assert {name: state for name, state in states(registry).items() if state != "ready"} == {
            "one": "conflict",
            "LLMRouter-Two": "conflict",
        }
        one, two = registry.problems()
        assert "llmrouter-one 1.0, conflict: router 'same': LLMRouter_Two 2.0 provides it too" in one
        assert "LLMRouter_Two 2.0, conflict: router 'same': llmrouter-one 1.0 provides it too" in two

    @pytest.mark.parametrize(
        ("blocked", "left"), [("one", "LLMRouter_Two"), ("llmrouter-two", "llmrouter-one")]
    )
    def test_blocking_one_frees_the_other(self, blocked: str, left: str) -> None:
        registry = PluginRegistry(block=[blocked])
        assert registry.find("same").origin == left
        assert registry.problems() == []

    def test_a_distribution_that_lacks_it_is_told_of_those_that_have_it(self) -> None:
        with pytest.raises(UnknownRouterError) as caught:
            PluginRegistry().find("llmrouter-random:same")
        assert str(caught.value) == (
            "Unknown router: llmrouter-random:same; there is llmrouter-one:same or LLMRouter_Two:same"
        )


def test_a_third_distribution_is_named_too(add: Callable[..., None]) -> None:
    for name in ("llmrouter-a", "llmrouter-b", "llmrouter-c"):
        add(name, router("same"))
    first = entries(PluginRegistry(), "same")[0]
    assert first.reason == (
        "llmrouter-b 1.0 and llmrouter-c 1.0 provide it too; "
        "choose with llmrouter-a:same or llmrouter-b:same or llmrouter-c:same"
    )


@pytest.mark.parametrize("name", ["same", "llmrouter-one:same"])
def test_one_distribution_that_declares_a_router_in_two_modules(add: Callable[..., None], name: str) -> None:
    add("llmrouter-one", router("same"), router("same", "fake_code:SecondRouter"))
    registry = PluginRegistry()
    assert [entry.state for entry in entries(registry, "same")] == ["conflict", "conflict"]
    with pytest.raises(PluginError, match=r"llmrouter-one 1\.0") as caught:
        registry.find(name)
    assert "choose with" not in str(caught.value)
    assert "fake_one1" in str(caught.value)
    assert registry.get_router_names() == ["randomrouter"]


def test_a_plugin_keeps_its_other_routers_in_a_conflict(add: Callable[..., None]) -> None:
    add("llmrouter-one", plugin(routers="RouterSpec('same', 'm:N'), RouterSpec('own', 'm:N')"))
    add("llmrouter-two", router("same"))
    assert PluginRegistry().find("own").state == "ready"


def test_what_is_built_in_stays_so(add: Callable[..., None]) -> None:
    add("llmrouter-one", plugin(encoders="EncoderSpec('hashing', 'fake_code:CODE')"))
    registry = PluginRegistry()
    assert registry.encoders["hashing"].plugin.name == "core"
    assert registry.encoders["hashing"].reason is None
    (claimant,) = [found for found in registry.plugins if found.name == "one"]
    assert (claimant.state, claimant.reason) == ("conflict", "encoder 'hashing' is built in and stays so")


@pytest.mark.parametrize("kind", ["encoder", "judge", "command"])
def test_what_two_distributions_declare_cannot_be_used(add: Callable[..., None], kind: str) -> None:
    spec = f"{kind.capitalize()}Spec"
    declared = {f"{kind}s": f"{spec}('same', 'fake_code:FirstRouter')"}
    add("llmrouter-one", plugin(**declared))
    add("llmrouter-two", plugin(**{f"{kind}s": f"{declared[f'{kind}s']}, {spec}('own', 'fake_code:CODE')"}))
    registry = PluginRegistry()
    found = getattr(registry, f"{kind}s")
    assert [name for name, declared in found.items() if declared.plugin.name != "core"] == ["own", "same"]
    told = (
        "'same' is declared by llmrouter-one 1.0 and llmrouter-two 1.0; "
        "leave one out with LLMROUTER_BLOCK_PLUGINS"
    )
    assert (found["same"].reason, found["own"].reason) == (told, None)
    with pytest.raises(PluginError, match="is declared by llmrouter-one"):
        registry.load(found["same"])
    assert states(registry) == {"one": "conflict", "two": "conflict", "randomrouter": "ready"}
    assert registry.problems() == [
        f"plugin '{name}' of llmrouter-{name} 1.0, conflict: {kind} {told}" for name in ("one", "two")
    ]
    freed = PluginRegistry(block=["two"])
    assert freed.load(getattr(freed, f"{kind}s")["same"]).__name__ == "FirstRouter"


def test_one_name_may_be_a_router_an_encoder_a_judge_and_a_command(add: Callable[..., None]) -> None:
    kinds = ("Router", "Encoder", "Judge", "Command")
    add("llmrouter-one", plugin(**{f"{kind.lower()}s": f"{kind}Spec('same', 'm:N')" for kind in kinds}))
    assert PluginRegistry().problems() == []


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("fake_missing:Encoder", "ModuleNotFoundError: No module named 'fake_missing'"),
        ("fake_code:Encoder", "AttributeError: module 'fake_code' has no attribute 'Encoder'"),
        ("fake_exits:Encoder", "SystemExit: 5"),
    ],
)
def test_a_declaration_whose_code_fails(
    add: Callable[..., None], install: Any, target: str, told: str
) -> None:
    install("exits", {"fake_exits": "raise SystemExit(5)"}, {})
    add("llmrouter-one", plugin(encoders=f"EncoderSpec('letters', {target!r})"))
    registry = PluginRegistry()
    with pytest.raises(PluginError) as caught:
        registry.load(registry.encoders["letters"])
    assert str(caught.value).startswith(f"'letters' from llmrouter-one 1.0 failed: {told}")


TRAINER = "TrainerSpec('mine', 'fake_code:FirstTrainer')"


def test_a_trainer_comes_from_its_routers_distribution(add: Callable[..., None]) -> None:
    add("llmrouter-one", router("mine"))
    add("llmrouter-two", plugin(trainers=TRAINER))
    registry = PluginRegistry()
    entry = registry.find("mine")
    assert (entry.state, entry.reason, entry.trainable, entry.trainers) == ("ready", None, False, ())
    assert registry.load_router(entry).__name__ == "FirstRouter"
    assert states(registry) == {"one": "ready", "two": "conflict", "randomrouter": "ready"}
    assert registry.problems() == [
        "plugin 'two' of llmrouter-two 1.0, conflict: declares a trainer for 'mine', which llmrouter-two 1.0 "
        "does not declare; a trainer comes from its router's distribution"
    ]


def test_a_trainer_from_elsewhere_does_not_displace_the_routers_own(add: Callable[..., None]) -> None:
    add("llmrouter-one", plugin(routers="RouterSpec('mine', 'fake_code:FirstRouter')", trainers=TRAINER))
    add("llmrouter-two", plugin(trainers="TrainerSpec('mine', 'fake_missing:Trainer')"))
    registry = PluginRegistry()
    entry = registry.find("mine")
    assert entry.trainable
    assert registry.load_trainer(entry).__name__ == "FirstTrainer"


def test_a_trainer_may_be_in_another_module_of_the_distribution(add: Callable[..., None]) -> None:
    add("llmrouter-one", plugin(trainers=TRAINER), router("mine"))
    registry = PluginRegistry()
    assert registry.load_trainer(registry.find("mine")).__name__ == "FirstTrainer"
    assert registry.problems() == []


@pytest.mark.parametrize("modules", [1, 2])
def test_two_trainers_for_one_router(add: Callable[..., None], modules: int) -> None:
    other = "TrainerSpec('mine', 'fake_code:Other')"
    routers = "RouterSpec('mine', 'fake_code:FirstRouter')"
    if modules == 1:
        add("llmrouter-one", plugin(routers=routers, trainers=f"{TRAINER}, {other}"))
    else:
        add("llmrouter-one", plugin(routers=routers, trainers=TRAINER), plugin(trainers=other))
    registry = PluginRegistry()
    entry = registry.find("mine")
    told = (
        "it has two trainers, fake_code:FirstTrainer and fake_code:Other; llmrouter-one 1.0 must declare one"
    )
    assert (entry.state, entry.reason, entry.trainable) == ("ready", told, False)
    assert registry.load_router(entry).__name__ == "FirstRouter"
    with pytest.raises(PluginError) as caught:
        registry.load_trainer(entry)
    assert str(caught.value) == f"Router 'mine' from llmrouter-one 1.0 cannot be trained: {told}"
    assert registry.problems() == [f"plugin 'one' of llmrouter-one 1.0, conflict: router 'mine': {told}"]


@pytest.mark.parametrize("name", ["randomrouter", "other"])
@pytest.mark.parametrize("why", ["failed", "incompatible", "blocked"])
def test_a_plugin_that_is_not_ready_takes_no_routers_name(
    install: Callable[..., Path], add: Callable[..., None], name: str, why: str
) -> None:
    add("llmrouter-other", router("other"))
    source = "raise ValueError" if why == "failed" else router(name)
    requires = ("llmrouter-core>=9",) if why == "incompatible" else ()
    install("llmrouter-bad", {"fake_bad": source}, {name.upper(): "fake_bad"}, requires=requires)
    registry = PluginRegistry(block=["llmrouter-bad"] if why == "blocked" else [])
    assert registry.find(name).state == "ready"
    assert registry.find(name).reason is None
    assert {entry.state for entry in entries(registry, name)} == {"ready", why}
    with pytest.raises(PluginError, match=f"from llmrouter-bad 1.0 cannot be used, {why}: "):
        registry.find(f"llmrouter-bad:{name}")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("randomruter", ("randomrouter",)),
        ("RANDOM-ROUTER", ("randomrouter",)),
        ("alpah", ("alpha", "alpha2")),
    ],
)
def test_an_unknown_router_is_told_its_nearest(
    add: Callable[..., None], name: str, nearest: tuple[str, ...]
) -> None:
    add("llmrouter-one", plugin(routers="RouterSpec('alpha', 'm:N'), RouterSpec('alpha2', 'm:N')"))
    with pytest.raises(UnknownRouterError) as caught:
        PluginRegistry().find(name)
    assert (caught.value.name, caught.value.nearest) == (name, nearest)
    assert str(caught.value) == f"Unknown router: {name}; did you mean {' or '.join(nearest)}?"


@pytest.mark.parametrize("name", ["knn", "", ":", "dir:", "no-such-distribution:knn", "dir:knn"])
def test_an_unknown_router_like_no_other(name: str, tmp_path: Path) -> None:
    with pytest.raises(UnknownRouterError) as caught:
        PluginRegistry().find(name)
    assert caught.value.nearest == ()
    assert str(caught.value).startswith(
        f"Unknown router: {name}; there are randomrouter. Install the package"
    )
    assert f"{tmp_path / 'work' / 'custom_routers'}, {tmp_path / 'home' / '.llmrouter'}" in str(caught.value)


def test_an_unknown_router_where_there_is_none_at_all() -> None:
    with pytest.raises(UnknownRouterError, match=r"; none is installed\. .* put its folder in no directory"):
        PluginRegistry(plugin_dirs=[], block=["randomrouter"]).find("knn")


def test_an_unknown_router_may_be_that_of_a_plugin_left_out(add: Callable[..., None]) -> None:
    add("llmrouter-one", plugin(routers="RouterSpec('knn', 'm:N')"))
    with pytest.raises(UnknownRouterError, match=r"these plugins are left out: one$"):
        PluginRegistry(block=["llmrouter-one"]).find("knn")


def test_failures_are_problems_and_conflicts_are_no_failures(add: Callable[..., None]) -> None:
    add("llmrouter-one", plugin(routers="RouterSpec('same', 'm:N')"))
    add("llmrouter-two", plugin(routers="RouterSpec('same', 'm:N')"))
    add("llmrouter-three", "import no_such_thing")
    registry = PluginRegistry(block=["nobody"])
    (failure,) = registry.failures()
    assert "llmrouter-three" in failure
    told = registry.problems()
    assert failure in told
    assert [name for name in ("llmrouter-one", "llmrouter-two", "'nobody'") if name in " ".join(told)] == [
        "llmrouter-one",
        "llmrouter-two",
        "'nobody'",
    ]


@pytest.mark.parametrize("origin", ["llmrouter-random", "llmrouter-nowhere"])
def test_a_misspelt_name_is_recognised_after_its_distribution(origin: str) -> None:
    with pytest.raises(UnknownRouterError) as caught:
        PluginRegistry().find(f"{origin}:randomruter")
    assert caught.value.nearest == ("randomrouter",)


FAILING_TARGETS = {
    "fake_missing:FooRouter": "ModuleNotFoundError: No module named 'fake_missing'",
    "fake_lacks:FooRouter": "ModuleNotFoundError: No module named 'no_such_thing' (fake_lacks.py, line 1)",
    "fake_exits:FooRouter": "SystemExit: 5 (fake_exits.py, line 1)",
    "fake_odd:FooRouter": "Odd: I am (fake_odd.py, line 2)",
    "fake_syntax:FooRouter": "SyntaxError: ",
    "fake_code:FooRouter": "AttributeError: module 'fake_code' has no attribute 'FooRouter'",
    "fake_code:FirstRouter.Inner": "AttributeError: type object 'FirstRouter' has no attribute 'Inner'",
}
BROKEN_MODULES = {
    "fake_lacks": "import no_such_thing.part",
    "fake_exits": "raise SystemExit(5)",
    "fake_odd": "class Odd(BaseException): ...\nraise Odd('I am')",
    "fake_syntax": "def (",
}


@pytest.mark.parametrize(("target", "told"), FAILING_TARGETS.items())
def test_a_router_whose_code_fails_says_so_when_it_is_used(
    add: Callable[..., None], install: Callable[..., Path], target: str, told: str
) -> None:
    install("broken-code", BROKEN_MODULES, {})
    add("llmrouter-foo", router("foo", target))
    registry = PluginRegistry()
    entry = registry.find("foo")
    assert (entry.state, registry.problems()) == ("ready", [])
    with pytest.raises(PluginError) as caught:
        registry.load_router(entry)
    assert str(caught.value).startswith(f"Router 'foo' from llmrouter-foo 1.0 failed: {told}")
    assert caught.value.__cause__ is not None


def test_a_missing_dependency_is_told_what_to_do(
    add: Callable[..., None], install: Callable[..., Path]
) -> None:
    install("broken-code", BROKEN_MODULES, {})
    add("llmrouter-foo", router("foo", "fake_lacks:FooRouter"))
    registry = PluginRegistry()
    with pytest.raises(PluginError, match=r"; install what provides 'no_such_thing', or mend the import$"):
        registry.load_router(registry.find("foo"))


def test_ctrl_c_while_a_router_loads_passes(add: Callable[..., None], install: Callable[..., Path]) -> None:
    install("broken-code", {"fake_stop": "__import__('signal').raise_signal(2)"}, {})
    add("llmrouter-foo", router("foo", "fake_stop:FooRouter"))
    registry = PluginRegistry()
    with pytest.raises(KeyboardInterrupt):
        registry.load_router(registry.find("foo"))


INVALID = """
    import json
    from llmrouter.models.base_trainer import BaseTrainer
    from llmrouter.models.router import Router

    a_router = "a router"

    def function(): ...

    class Plain: ...

    class Abstract(Router): ...

    class NeedsMore(Router):
        def __init__(self, yaml_path, model):
            super().__init__(yaml_path)

        def route_single(self, query_input): ...

    class TakesNothing(Router):
        def __init__(self): ...

        def route_single(self, query_input): ...

    class NoQuery(Router):
        def route_single(self): ...

    class TwoQueries(Router):
        def route_single(self, query_input, batch): ...

    class NoBatch(Router):
        def route_single(self, query_input): ...

        def route_batch(self): ...

    class AbstractTrainer(BaseTrainer): ...

    class NeedsMoreTrainer(BaseTrainer):
        def train(self, epochs): ...

    class TakesNothingTrainer(BaseTrainer):
        def __init__(self, router): ...

        def train(self): ...
"""


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("a_router", "'a router' is not a subclass of llmrouter.models.router.Router"),
        ("function", "is not a subclass of llmrouter.models.router.Router"),
        ("json", "is not a subclass of llmrouter.models.router.Router"),
        ("Plain", "is not a subclass of llmrouter.models.router.Router"),
        ("AbstractTrainer", "is not a subclass of llmrouter.models.router.Router"),
        ("Abstract", "Abstract in fake_invalid:Abstract does not implement route_single"),
        ("Router", "Router in fake_invalid:Router does not implement route_single"),
        ("NeedsMore", "__init__(self, yaml_path, model) cannot be called as __init__(self, yaml_path=None"),
        ("TakesNothing", "__init__(self) cannot be called as __init__(self, yaml_path=None"),
        ("NoQuery", "route_single(self) cannot be called as route_single(self, query_input): "),
        ("TwoQueries", "missing a required argument: 'batch'"),
        ("NoBatch", "route_batch(self) cannot be called as route_batch(self, batch): "),
    ],
)
def test_a_class_that_is_no_router(
    add: Callable[..., None], install: Callable[..., Path], name: str, told: str
) -> None:
    install("invalid-code", {"fake_invalid": INVALID}, {})
    add("llmrouter-foo", router("foo", f"fake_invalid:{name}"))
    registry = PluginRegistry()
    with pytest.raises(RouterValidationError) as caught:
        registry.load_router(registry.find("foo"))
    assert str(caught.value).startswith("Router class validation failed: ")
    assert told in str(caught.value)
    assert caught.value.kind == "Router"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Plain", "is not a subclass of llmrouter.models.base_trainer.BaseTrainer"),
        ("Abstract", "is not a subclass of llmrouter.models.base_trainer.BaseTrainer"),
        ("AbstractTrainer", "AbstractTrainer in fake_invalid:AbstractTrainer does not implement train"),
        ("NeedsMoreTrainer", "train(self, epochs) cannot be called as train(self)"),
        ("TakesNothingTrainer", "__init__(self, router) cannot be called as __init__(self, router, config"),
    ],
)
def test_a_class_that_is_no_trainer(
    add: Callable[..., None], install: Callable[..., Path], name: str, told: str
) -> None:
    install("invalid-code", {"fake_invalid": INVALID}, {})
    trainers = f"TrainerSpec('foo', 'fake_invalid:{name}')"
    add("llmrouter-foo", plugin(routers="RouterSpec('foo', 'fake_code:FirstRouter')", trainers=trainers))
    registry = PluginRegistry()
    with pytest.raises(RouterValidationError) as caught:
        registry.load_trainer(registry.find("foo"))
    assert str(caught.value).startswith("Trainer class validation failed: ")
    assert told in str(caught.value)
    assert caught.value.kind == "Trainer"


def test_the_first_registry_is_kept() -> None:
    assert get_plugin_registry() is get_plugin_registry()


def test_discovering_anew_replaces_it(add: Callable[..., None]) -> None:
    before = get_plugin_registry()
    add("llmrouter-foo", router("foo"))
    assert get_plugin_registry() is before
    assert before.get_router_names() == ["randomrouter"]
    after = discover_and_register_plugins()
    assert get_plugin_registry() is after
    assert after.get_router_names() == ["foo", "randomrouter"]


def test_problems_are_logged_as_warnings(
    add: Callable[..., None], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    add("llmrouter-bad", "raise ValueError('no luck')")
    monkeypatch.setenv("LLMROUTER_BLOCK_PLUGINS", "nobody")
    registry = discover_and_register_plugins(plugin_dirs=["nowhere"])
    assert [record.getMessage() for record in caplog.records] == registry.problems()
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    bad, directory, unused = registry.problems()
    assert bad == "plugin 'bad' of llmrouter-bad 1.0, failed: ValueError: no luck (fake_bad.py, line 1)"
    assert directory == f"plugin directory {Path('nowhere').absolute()} does not exist"
    assert unused == "no installed plugin or distribution is named 'nobody', nothing to load or block"


def test_without_problems_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    discover_and_register_plugins()
    assert caplog.records == []


def test_verbose_imports_every_router(add: Callable[..., None], caplog: pytest.LogCaptureFixture) -> None:
    add("llmrouter-bad", router("bad", "fake_missing:BadRouter"))
    add("llmrouter-good", router("good"))
    quiet = discover_and_register_plugins()
    assert (quiet.find("bad").state, "fake_code" in sys.modules) == ("ready", False)
    registry = discover_and_register_plugins(verbose=True)
    assert "fake_code" in sys.modules
    (entry,) = entries(registry, "bad")
    assert entry.state == "failed"
    assert "No module named 'fake_missing'" in (entry.reason or "")
    assert registry.get_router_names() == ["good", "randomrouter"]
    with pytest.raises(LLMRouterError, match=r"cannot be used, failed: .*No module named 'fake_missing'"):
        registry.find("bad")
    told = [record.getMessage() for record in caplog.records]
    assert "Router 'good' from llmrouter-good 1.0" in told
    assert f"Router 'bad' from llmrouter-bad 1.0 is not used, failed: {entry.reason}" in told


def run(source: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own, where logging is as Python makes it."""
    return subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, timeout=300, check=True
    )


DISCOVER = "from llmrouter.plugin_system import discover_and_register_plugins as discover\n"


def test_verbose_shows_what_it_finds_where_logging_is_not_configured(add: Callable[..., None]) -> None:
    add("llmrouter-bad", "raise ValueError('no luck')")
    add("llmrouter-good", router("good"))
    done = run(
        f"{DISCOVER}import json, logging\nlog = logging.getLogger('llmrouter')\n"
        "discover(verbose=True)\nprint(json.dumps([log.level, log.handlers]))"
    )
    assert json.loads(done.stdout) == [logging.NOTSET, []]
    assert "Router 'good' from llmrouter-good 1.0\n" in done.stderr
    assert "Router 'bad' from llmrouter-bad 1.0 is not used, failed: ValueError: no luck" in done.stderr
    assert done.stderr.count("plugin 'bad' of llmrouter-bad 1.0, failed: ") == 1


def test_verbose_leaves_the_showing_to_a_configured_log(add: Callable[..., None]) -> None:
    add("llmrouter-good", router("good"))
    done = run(
        f"{DISCOVER}import logging, sys\n"
        "logging.basicConfig(stream=sys.stdout, format='LOG %(message)s', level='INFO')\n"
        "discover(verbose=True)"
    )
    assert done.stdout.count("LOG Router 'good' from llmrouter-good 1.0\n") == 1
    assert done.stderr == ""


def test_quiet_shows_only_what_failed(add: Callable[..., None]) -> None:
    add("llmrouter-bad", "raise ValueError('no luck')")
    done = run(f"{DISCOVER}discover()")
    assert done.stdout == ""
    assert done.stderr == (
        "plugin 'bad' of llmrouter-bad 1.0, failed: ValueError: no luck (fake_bad.py, line 1)\n"
    )
