"""Routers in folders: where they are looked for, which of them counts, and when their code runs."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmrouter.errors import PluginError, RouterValidationError, UnknownRouterError
from llmrouter.plugin_system import PluginRegistry, discover_and_register_plugins, get_plugin_registry
from llmrouter.plugin_system.directories import VARIABLE, scan, search_path

Write = Callable[[str, str], Path]
Invoke = Callable[..., Any]

ROUTER = """
from llmrouter.models.router import Router

class MyRouter(Router):
    '''Picks the first.'''

    def route_single(self, query_input):
        return {"model_name": next(iter(self.llm_data))}
"""
TRACE = "\nwith open('it_ran', 'a') as trace:\n    trace.write(__name__ + '\\n')\n"
TRAINER = """
from llmrouter.models.base_trainer import BaseTrainer

class MyTrainer(BaseTrainer):
    def train(self): ...
"""
INSTALLED = """
from llmrouter import RouterSpec, hookimpl

@hookimpl
def llmrouter_register_routers():
    return [RouterSpec("my_router", "fake_router:FakeRouter", "From a distribution.")]
"""
INSTALLED_ROUTER = ROUTER.replace("MyRouter", "FakeRouter")


def searched(**environ: str) -> list[tuple[Path, str]]:
    return search_path(environ=environ)


def default_path() -> list[tuple[Path, str]]:
    return [
        (Path.cwd() / "custom_routers", "default"),
        (Path.home() / ".llmrouter" / "plugins", "default"),
    ]


def states(registry: PluginRegistry, name: str = "my_router") -> list[tuple[str, str, str | None]]:
    """Origin, as a path from here where it is one, state and reason of all routers of one name."""
    return [
        (os.path.relpath(entry.origin) if entry.directory else entry.origin, entry.state, entry.reason)
        for entry in registry.routers
        if entry.name == name
    ]


def origins(registry: PluginRegistry) -> list[str]:
    return [os.path.relpath(entry.origin) for entry in registry.routers if entry.directory]


def problems_of(*plugin_dirs: str | Path) -> list[str]:
    return PluginRegistry(plugin_dirs).problems()


class TestSearchPath:
    def test_is_the_current_folder_then_home(self) -> None:
        assert searched() == default_path()

    def test_goes_on_with_the_variable(self, tmp_path: Path) -> None:
        value = os.pathsep.join(["", "one", " ", str(tmp_path / "two"), "~/three", ""])
        assert searched(LLMROUTER_PLUGINS=value) == [
            *default_path(),
            (Path.cwd() / "one", VARIABLE),
            (tmp_path / "two", VARIABLE),
            (Path.home() / "three", VARIABLE),
        ]

    @pytest.mark.parametrize("value", ["", os.pathsep, f" {os.pathsep} "])
    def test_a_variable_without_paths_adds_none(self, value: str) -> None:
        assert searched(LLMROUTER_PLUGINS=value) == default_path()

    def test_is_read_from_the_environment_of_the_process(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(VARIABLE, "one")
        assert search_path()[2:] == [(Path.cwd() / "one", VARIABLE)]

    def test_has_each_directory_once(self, write: Write) -> None:
        write("one/my_router/router.py", ROUTER)
        Path("link").symlink_to("one")
        value = os.pathsep.join(["./one", "one/", "one/../one", str(Path("one").absolute()), "link"])
        assert searched(LLMROUTER_PLUGINS=value) == [*default_path(), (Path.cwd() / "one", VARIABLE)]

    def test_of_a_directory_and_a_link_to_it_keeps_the_first(self) -> None:
        Path("one").mkdir()
        Path("link").symlink_to("one")
        assert searched(LLMROUTER_PLUGINS=os.pathsep.join(["link", "one"]))[2:] == [
            (Path.cwd() / "link", VARIABLE)
        ]

    def test_is_replaced_by_the_callers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(VARIABLE, "one")
        assert search_path(["mine", Path("~/yours")]) == [
            (Path.cwd() / "mine", "caller"),
            (Path.home() / "yours", "caller"),
        ]
        assert search_path([]) == []

    def test_two_links_to_one_directory_give_no_router_twice(
        self, write: Write, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write("custom_routers/my_router/router.py", ROUTER)
        Path.home().joinpath(".llmrouter").mkdir()
        Path.home().joinpath(".llmrouter", "plugins").symlink_to(Path("custom_routers").absolute())
        monkeypatch.setenv(VARIABLE, "custom_routers")
        assert states(PluginRegistry()) == [("custom_routers/my_router", "ready", None)]

    def test_holds_routers_in_its_order(self, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(VARIABLE, os.pathsep.join(["z", "a"]))
        for place in ("custom_routers", str(Path.home() / ".llmrouter" / "plugins"), "z", "a"):
            write(f"{place}/my_router/router.py", ROUTER)
        assert origins(PluginRegistry()) == [
            "custom_routers/my_router",
            "../home/.llmrouter/plugins/my_router",
            "z/my_router",
            "a/my_router",
        ]


class TestWhatCannotBeSearched:
    def test_a_default_directory_need_not_exist(self) -> None:
        assert PluginRegistry().problems() == []

    @pytest.mark.parametrize("path", ["nowhere", "custom_routers"])
    def test_one_that_the_variable_names_is_missed(self, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(VARIABLE, path)
        assert PluginRegistry().problems() == [f"plugin directory {Path.cwd() / path} does not exist"]

    def test_one_that_the_caller_names_is_missed(self) -> None:
        assert problems_of("nowhere") == [f"plugin directory {Path.cwd() / 'nowhere'} does not exist"]

    def test_a_file_is_no_directory(self, write: Write) -> None:
        write("routers.txt", "")
        assert problems_of("routers.txt") == [
            f"plugin directory {Path.cwd() / 'routers.txt'} is not a folder"
        ]

    def test_a_default_that_is_a_file_is_reported(self, write: Write) -> None:
        write("custom_routers", "")
        assert PluginRegistry().problems() == [
            f"plugin directory {Path.cwd() / 'custom_routers'} is not a folder"
        ]

    @pytest.mark.parametrize("name", ["x" * 300, "round"])
    def test_what_the_system_refuses_stops_nothing_else(
        self, name: str, write: Write, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Path("round").symlink_to("round")
        write("custom_routers/my_router/router.py", ROUTER)
        monkeypatch.setenv(VARIABLE, name)
        registry = PluginRegistry()
        assert states(registry) == [("custom_routers/my_router", "ready", None)]
        assert [problem.partition(" cannot be read: ")[0] for problem in registry.problems()] == [
            f"plugin directory {Path.cwd() / name}"
        ]

    @pytest.mark.parametrize("file", ["router.py", "model.py"])
    def test_a_router_folder_in_place_of_the_folder_above_gets_a_hint(self, file: str, write: Write) -> None:
        write(f"custom_routers/my_router/{file}", ROUTER)
        assert problems_of("custom_routers/my_router") == [
            f"plugin directory {Path.cwd() / 'custom_routers/my_router'} is itself a router folder; "
            f"name the folder above it, {Path.cwd() / 'custom_routers'}"
        ]

    def test_a_subfolder_that_cannot_be_read_stops_nothing_else(
        self, write: Write, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from llmrouter.plugin_system import source

        def is_candidate(folder: Path) -> bool:
            if folder.name == "closed":
                raise PermissionError(13, "Permission denied")
            return True

        write("custom_routers/closed/router.py", ROUTER)
        write("custom_routers/my_router/router.py", ROUTER)
        monkeypatch.setattr(source, "is_candidate", is_candidate)
        registry = PluginRegistry()
        assert states(registry) == [("custom_routers/my_router", "ready", None)]
        assert states(registry, "closed") == [
            ("custom_routers/closed", "failed", "cannot be read: Permission denied")
        ]

    def test_a_link_that_leads_nowhere_is_passed_over(self, write: Write) -> None:
        write("custom_routers/my_router/router.py", ROUTER)
        Path("custom_routers/round").symlink_to("round")
        Path("custom_routers/away").symlink_to("nowhere")
        registry = PluginRegistry()
        assert origins(registry) == ["custom_routers/my_router"]
        assert registry.problems() == []

    def test_discovering_warns_of_it(self, caplog: pytest.LogCaptureFixture) -> None:
        discover_and_register_plugins(["nowhere"])
        assert caplog.messages == [f"plugin directory {Path.cwd() / 'nowhere'} does not exist"]

    def test_the_command_line_warns_of_it(self, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(VARIABLE, "nowhere")
        (place,) = [row for row in invoke("plugins").json if row.get("folder")]
        assert (place["state"], place["reason"], place["from"]) == ("failed", "does not exist", VARIABLE)


class TestCandidates:
    @pytest.mark.parametrize(
        "path",
        [
            "_my_router/router.py",
            "__pycache__/router.py",
            ".my_router/router.py",
            "helpers/text.py",
            "helpers/__init__.py",
            "my_router.py",
            "router.py",
            "outer/my_router/router.py",
        ],
    )
    def test_that_is_none(self, path: str, write: Write) -> None:
        write(f"custom_routers/{path}", ROUTER if path.endswith("router.py") else "")
        assert origins(PluginRegistry()) == []

    @pytest.mark.parametrize("file", ["router.py", "model.py", "__init__.py"])
    def test_that_is_one(self, file: str, write: Write) -> None:
        write(f"custom_routers/my_router/{file}", ROUTER)
        (entry,) = [entry for entry in PluginRegistry().routers if entry.directory]
        assert (entry.name, entry.state, entry.target, entry.summary, entry.trainable, entry.version) == (
            "my_router",
            "ready",
            "MyRouter",
            "Picks the first.",
            False,
            None,
        )
        assert entry.label == entry.origin == str(Path.cwd() / "custom_routers/my_router")

    @pytest.mark.parametrize("asked", ["my_router", "My_Router", "MY_ROUTER", " my_router "])
    def test_is_named_by_its_folder_in_lower_case(self, asked: str, write: Write) -> None:
        write("custom_routers/My_Router/router.py", ROUTER)
        registry = PluginRegistry()
        assert registry.find(asked).name == "my_router"
        assert registry.load_router(registry.find(asked)).__name__ == "MyRouter"

    def test_two_folders_that_differ_in_case_alone_are_one_name(self, write: Write) -> None:
        write("custom_routers/my_router/router.py", ROUTER)
        write("custom_routers/My_Router/router.py", ROUTER)
        assert [(place, state) for place, state, _ in states(PluginRegistry())] == [
            ("custom_routers/My_Router", "ready"),
            ("custom_routers/my_router", "shadowed"),
        ]

    def test_with_a_dot_in_its_name_cannot_be_imported_and_says_so(self, write: Write) -> None:
        write("custom_routers/router.v2/router.py", ROUTER)
        registry = PluginRegistry()
        (reason,) = [reason for _, _, reason in states(registry, "router.v2")]
        assert reason == "a folder with a dot in its name cannot be imported; rename it"
        with pytest.raises(PluginError, match="rename it"):
            registry.find("router.v2")

    def test_may_be_a_link(self, write: Write) -> None:
        write("elsewhere/router.py", ROUTER)
        Path("custom_routers").mkdir()
        Path("custom_routers/my_router").symlink_to(Path("elsewhere").absolute())
        registry = PluginRegistry()
        assert origins(registry) == ["custom_routers/my_router"]
        assert registry.load_router(registry.find("my_router")).__name__ == "MyRouter"

    def test_has_a_trainer_or_says_why_not(self, write: Write) -> None:
        for name, trainer in (("good", TRAINER), ("bad", "def (")):
            write(f"custom_routers/{name}/router.py", ROUTER)
            write(f"custom_routers/{name}/trainer.py", trainer)
        registry = PluginRegistry()
        good, bad = registry.find("good"), registry.find("bad")
        assert (good.trainable, good.reason) == (True, None)
        assert (bad.trainable, bad.state) == (False, "ready")
        assert bad.reason == "cannot be trained: SyntaxError: invalid syntax (trainer.py, line 1)"
        assert registry.load_router(bad).__name__ == "MyRouter"
        with pytest.raises(PluginError, match=r"'bad' from .* cannot be trained: .* \(trainer.py, line 1\)$"):
            registry.load_trainer(bad)

    def test_without_a_trainer_cannot_be_trained(self, write: Write) -> None:
        write("custom_routers/my_router/router.py", ROUTER)
        registry = PluginRegistry()
        with pytest.raises(PluginError, match="cannot be trained; a trainer makes it trainable"):
            registry.load_trainer(registry.find("my_router"))


class TestFailures:
    @pytest.mark.parametrize(
        ("source", "told"),
        [
            ("def (", "SyntaxError: invalid syntax (router.py, line 1)"),
            ("# coding: nonsense\n", "unknown encoding: nonsense"),
            ("x = 1\0", "null bytes (router.py)"),
            ("x = " + "(" * 5000, "(router.py"),
            (ROUTER + ROUTER.replace("MyRouter", "HisRouter"), "several classes, HisRouter, MyRouter"),
        ],
        ids=["syntax", "encoding", "null", "deep", "several"],
    )
    def test_show_in_the_list_and_when_named_and_stop_nothing_else(
        self, source: str, told: str, write: Write
    ) -> None:
        write("custom_routers/bad/router.py", source)
        write("custom_routers/my_router/router.py", ROUTER)
        registry = PluginRegistry()
        assert "bad" not in registry.get_router_names()
        assert "my_router" in registry.get_router_names()
        ((_, state, reason),) = states(registry, "bad")
        assert state == "failed"
        assert told in str(reason)
        (problem,) = registry.problems()
        place = Path.cwd() / "custom_routers/bad"
        assert problem == f"router 'bad' in {place}, failed: {reason}"
        with pytest.raises(PluginError) as caught:
            registry.find("bad")
        assert str(caught.value) == f"Router 'bad' from {place} cannot be used, failed: {reason}"

    @pytest.mark.parametrize(
        ("folder", "class_name"),
        [("my_router", "MyRouter"), ("My-Router", "MyRouter"), ("my", "MyRouter"), ("myrouter", "MyRouter")],
    )
    def test_a_misnamed_class_makes_the_router_unknown_and_says_how_to_name_it(
        self, folder: str, class_name: str, write: Write
    ) -> None:
        write(f"custom_routers/{folder}/router.py", ROUTER.replace("MyRouter", "Chooser"))
        with pytest.raises(UnknownRouterError) as caught:
            PluginRegistry().find(folder)
        assert str(caught.value) == (
            f"Unknown router: {folder}: {Path.cwd() / 'custom_routers' / folder}: "
            f"no class whose name ends in 'Router' in router.py; name it {class_name}"
        )

    def test_a_class_that_is_no_router_fails_validation(self, write: Write) -> None:
        write("custom_routers/my_router/router.py", "class MyRouter: ...")
        with pytest.raises(
            RouterValidationError,
            match=r"^Router class validation failed: .*my_router: MyRouter in router\.py",
        ):
            PluginRegistry().find("my_router")


LISTING = [
    ["list-routers"],
    ["list-routers", "--json"],
    ["plugins"],
    ["doctor"],
    ["version"],
    ["--help"],
    ["--version"],
    ["infer", "--help"],
    ["infer", "--router", "other", "--config", "config.yaml", "--query", "Hi", "--route-only"],
    ["infer", "--router", "randomrouter", "--config", "config.yaml", "--query", "Hi", "--route-only"],
]


class TestWhenCodeRuns:
    @pytest.fixture(autouse=True)
    def routers_that_leave_a_trace(self, write: Write, config: Callable[..., str]) -> None:
        config()
        write("custom_routers/__init__.py", TRACE)
        write("custom_routers/my_router/__init__.py", TRACE + "from .router import MyRouter")
        write("custom_routers/my_router/router.py", ROUTER + TRACE)
        write("custom_routers/my_router/trainer.py", TRAINER + TRACE)
        write("custom_routers/second/router.py", TRACE + ROUTER + "\nodd = '\\d'\n")
        write("custom_routers/broken/router.py", TRACE + "def (")

    @pytest.mark.parametrize("arguments", LISTING, ids=" ".join)
    def test_not_before_the_router_is_named(self, arguments: list[str], invoke: Invoke) -> None:
        outcome = invoke(*arguments)
        assert not Path("it_ran").exists()
        assert "SyntaxWarning" not in outcome.err
        assert "Running router" not in outcome.err

    def test_not_for_the_registry(self) -> None:
        registry = get_plugin_registry()
        assert {"my_router", "second"} < set(registry.get_router_names())
        assert registry.find("my_router").trainable
        assert discover_and_register_plugins() is get_plugin_registry()
        assert not Path("it_ran").exists()
        assert not [name for name in sys.modules if name.startswith("llmrouter.plugin_dirs.")]

    def test_once_it_is_named_and_one_line_says_from_where(self, command: Callable[..., Any]) -> None:
        outcome = command(
            "infer", "--router", "my_router", "--config", "config.yaml", "--query", "Hi", "--route-only"
        )
        assert outcome.json["model_name"] == "small"
        place = Path.cwd() / "custom_routers/my_router"
        assert [line for line in outcome.err.splitlines() if "Warning:" not in line] == [
            f"Running router 'my_router' from {place}"
        ]
        modules = Path("it_ran").read_text().split()
        assert [name.rpartition("routers")[2] for name in modules] == ["", ".my_router", ".my_router.router"]

    def test_training_says_so_once(self, command: Callable[..., Any]) -> None:
        outcome = command("train", "--router", "my_router", "--config", "config.yaml")
        assert outcome.status == 0
        assert outcome.err.count("Running router 'my_router'") == 1
        assert len(Path("it_ran").read_text().split()) == 4

    def test_a_listing_in_a_process_of_its_own_shows_no_warning_of_the_source(
        self, command: Callable[..., Any]
    ) -> None:
        outcome = command("list-routers", PYTHONWARNINGS="always")
        assert (outcome.status, outcome.err) == (0, "")
        assert not Path("it_ran").exists()

    def test_only_that_of_the_router_that_is_named(self, caplog: pytest.LogCaptureFixture) -> None:
        registry = PluginRegistry()
        for _ in range(2):
            registry.load_router(registry.find("my_router"))
        assert ".second" not in Path("it_ran").read_text()
        assert caplog.messages == [
            f"Running router 'my_router' from {Path.cwd() / 'custom_routers/my_router'}"
        ]

    @pytest.mark.processes
    def test_all_of_it_for_a_check_and_it_says_so(
        self, invoke: Invoke, caplog: pytest.LogCaptureFixture
    ) -> None:
        Path("custom_routers/second/router.py").write_text(ROUTER)
        outcome = invoke("plugins", "check")
        rows = {(row["what"], row["name"]): row for row in outcome.json}
        assert outcome.status == 1
        assert rows["router", "my_router"]["ok"]
        assert rows["trainer", "my_router"]["ok"]
        assert rows["router", "second"]["ok"]
        assert rows["router", "broken"]["reason"] == "SyntaxError: invalid syntax (router.py, line 3)"
        assert len([message for message in caplog.messages if message.startswith("Running router")]) == 2

    def test_all_of_it_where_the_caller_asks_to_see_more(self, caplog: pytest.LogCaptureFixture) -> None:
        Path("custom_routers/second/router.py").write_text(TRACE + "raise RuntimeError('no')\n" + ROUTER)
        registry = discover_and_register_plugins(verbose=True)
        assert "my_router" in registry.get_router_names()
        assert "second" not in registry.get_router_names()
        assert registry.find("my_router").state == "ready"
        with pytest.raises(PluginError, match=r"RuntimeError: no \(router.py, line 4\)"):
            registry.find("second")
        place = Path.cwd() / "custom_routers"
        assert f"Router 'my_router' from {place}/my_router" in caplog.messages
        assert any(
            message.startswith(f"Router 'second' from {place}/second is not used, failed: ")
            for message in caplog.messages
        )
        assert logging.getLogger("llmrouter").level == logging.NOTSET

    def test_never_with_directories_left_out(self, invoke: Invoke) -> None:
        names = [row["name"] for row in invoke("--no-plugin-dirs", "list-routers").json]
        assert "my_router" not in names
        outcome = invoke(
            *["--no-plugin-dirs", "infer", "--router", "my_router"],
            *["--config", "config.yaml", "--query", "Hi", "--route-only"],
        )
        assert (outcome.status, outcome.out) == (1, "")
        assert outcome.err.startswith("Error: Unknown router: my_router")
        assert not Path("it_ran").exists()


class TestTurnedOff:
    ADVICE = "ask for them"

    @pytest.fixture(autouse=True)
    def folder(self, write: Write) -> Path:
        return write("custom_routers/my_router/router.py", ROUTER).parent

    @pytest.fixture
    def registry(self) -> PluginRegistry:
        return PluginRegistry(directories=False, advice=self.ADVICE)

    @pytest.mark.parametrize("name", ["my_router", "dir:my_router", "My_Router"])
    def test_who_asks_for_a_router_there_is_told_where_it_is_and_what_to_do(
        self, registry: PluginRegistry, folder: Path, name: str
    ) -> None:
        assert registry.directories == []
        with pytest.raises(UnknownRouterError) as caught:
            registry.find(name)
        assert str(caught.value) == (
            f"Unknown router: {name}; it is the folder {folder.absolute()}, and plugin directories are off; "
            "ask for them"
        )

    @pytest.mark.parametrize("settings", ["", '[routers]\nmy_router = "dir"\n'])
    def test_an_installed_one_is_not_taken_in_its_place(
        self, install: Callable[..., Path], write: Write, settings: str
    ) -> None:
        write("llmrouter.toml", settings)
        modules = {"fake_plugin": INSTALLED, "fake_router": INSTALLED_ROUTER}
        install("llmrouter-fake", modules, {"x": "fake_plugin"})
        registry = PluginRegistry(directories=False, advice=self.ADVICE)
        with pytest.raises(UnknownRouterError, match="plugin directories are off; ask for them"):
            registry.find("my_router" if settings else "dir:my_router")
        assert registry.find("llmrouter-fake:my_router").distribution == "llmrouter-fake"

    def test_one_that_is_nowhere_is_said_to_be_nowhere(self, registry: PluginRegistry) -> None:
        with pytest.raises(UnknownRouterError, match=r"; there are randomrouter.* off; ask for them$"):
            registry.find("nowhere")

    @pytest.mark.parametrize(("directories", "found"), [(None, False), (True, True), (False, False)])
    def test_who_decides_goes_before_the_settings(
        self, write: Write, directories: bool | None, found: bool
    ) -> None:
        write("llmrouter.toml", "[plugins]\ndirectories = false\n")
        names = PluginRegistry(directories=directories).get_router_names()
        assert ("my_router" in names) == found

    def test_named_ones_are_searched_all_the_same(self) -> None:
        names = PluginRegistry(["custom_routers"], directories=False).get_router_names()
        assert "my_router" in names


class TestShadowing:
    @pytest.fixture(autouse=True)
    def two_directories(self, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(VARIABLE, "later")
        write("custom_routers/my_router/router.py", ROUTER)
        write("later/my_router/router.py", ROUTER)

    def loaded(self, name: str) -> str:
        registry = PluginRegistry()
        return registry.load_router(registry.find(name)).__module__

    def test_an_earlier_directory_beats_a_later_one_and_both_say_so(self) -> None:
        first, later = Path.cwd() / "custom_routers/my_router", Path.cwd() / "later/my_router"
        registry = PluginRegistry()
        assert states(registry) == [
            ("custom_routers/my_router", "ready", f"hides {later}"),
            ("later/my_router", "shadowed", f"hidden by {first}"),
        ]
        assert registry.problems() == []
        assert registry.get_router_names().count("my_router") == 1
        assert registry.find("my_router").origin == registry.find("dir:my_router").origin == str(first)

    def test_an_installed_router_beats_a_directorys_and_both_say_so(
        self, install: Callable[..., Path]
    ) -> None:
        install(
            "llmrouter-fake",
            {"fake_plugin": INSTALLED, "fake_router": INSTALLED_ROUTER},
            {"x": "fake_plugin"},
        )
        hidden = [Path.cwd() / place / "my_router" for place in ("custom_routers", "later")]
        assert states(PluginRegistry()) == [
            ("llmrouter-fake", "ready", f"hides {hidden[0]}, {hidden[1]}"),
            (
                "custom_routers/my_router",
                "shadowed",
                "hidden by llmrouter-fake 1.0; dir:my_router chooses it",
            ),
            ("later/my_router", "shadowed", "hidden by llmrouter-fake 1.0"),
        ]
        assert self.loaded("my_router") == "fake_router"
        assert self.loaded("llmrouter-fake:my_router") == "fake_router"
        assert self.loaded("LLMRouter_Fake:my_router") == "fake_router"
        assert self.loaded("dir:my_router").endswith("custom_5frouters.my_router.router")

    def test_leaving_the_installed_one_out_lets_the_directorys_in(
        self, install: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        install(
            "llmrouter-fake",
            {"fake_plugin": INSTALLED, "fake_router": INSTALLED_ROUTER},
            {"my_router": "fake_plugin"},
        )
        monkeypatch.setenv("LLMROUTER_BLOCK_PLUGINS", "llmrouter-fake")
        assert self.loaded("my_router").endswith("custom_5frouters.my_router.router")

    def test_an_installed_one_that_failed_keeps_its_place(self, install: Callable[..., Path]) -> None:
        install("llmrouter-fake", {"fake_plugin": "raise RuntimeError('no')"}, {"my_router": "fake_plugin"})
        registry = PluginRegistry()
        assert [(place, state) for place, state, _ in states(registry)] == [
            ("llmrouter-fake", "failed"),
            ("custom_routers/my_router", "shadowed"),
            ("later/my_router", "shadowed"),
        ]
        with pytest.raises(PluginError, match=r"'my_router' from llmrouter-fake 1\.0 cannot be used, failed"):
            registry.find("my_router")
        assert self.loaded("dir:my_router").endswith("custom_5frouters.my_router.router")

    def test_a_directorys_that_failed_keeps_its_place(self, write: Write) -> None:
        write("custom_routers/my_router/router.py", "def (")
        registry = PluginRegistry()
        assert [(place, state) for place, state, _ in states(registry)] == [
            ("custom_routers/my_router", "failed"),
            ("later/my_router", "shadowed"),
        ]
        for name in ("my_router", "dir:my_router"):
            with pytest.raises(
                PluginError, match="custom_routers/my_router cannot be used, failed: SyntaxError"
            ):
                registry.find(name)

    def test_a_prefix_that_names_nothing_says_what_there_is(self) -> None:
        with pytest.raises(
            UnknownRouterError, match=r"^Unknown router: nobody:my_router; there is dir:my_router"
        ):
            PluginRegistry().find("nobody:my_router")

    def test_shows_on_the_command_line(self, invoke: Invoke) -> None:
        rows = [row for row in invoke("list-routers").json if row["name"] == "my_router"]
        assert [(row["state"], row["from"]) for row in rows] == [
            ("ready", "custom_routers/my_router"),
            ("shadowed", "later/my_router"),
        ]


def test_scanning_reads_only_the_directory_given(write: Write) -> None:
    write("custom_routers/my_router/router.py", ROUTER)
    found = scan(Path("custom_routers"), "caller")
    assert [(router.name, router.reading.class_name) for router in found.routers] == [
        ("my_router", "MyRouter")
    ]
    assert (found.path, found.asked_by, found.problem) == (Path("custom_routers"), "caller", None)
