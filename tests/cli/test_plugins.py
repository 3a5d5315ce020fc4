"""`llmrouter plugins` shows what is plugged in and what failed; `check` proves that it works."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BOUNDS = ("llmrouter-core>=0.1,<0.2",)
EVERYTHING = """
    from llmrouter import CommandSpec, EncoderSpec, JudgeSpec, RouterSpec, TrainerSpec, hookimpl

    @hookimpl
    def llmrouter_register_routers():
        return [RouterSpec("all", "fake_all_code:AllRouter", "Picks the small one.")]

    @hookimpl
    def llmrouter_register_trainers():
        return [TrainerSpec("all", "fake_all_code:AllTrainer")]

    @hookimpl
    def llmrouter_register_encoders():
        return [EncoderSpec("all", "fake_all_code:Encoder")]

    @hookimpl
    def llmrouter_register_judges():
        return [JudgeSpec("all", "fake_all_code:Judge")]

    @hookimpl
    def llmrouter_register_commands():
        return [CommandSpec("all", "fake_all_code:command", "Do all.")]

    @hookimpl
    def llmrouter_after_route(decision):
        pass
"""

CODE = """
    import click
    from llmrouter.models.base_trainer import BaseTrainer
    from llmrouter.models.router import Router

    class AllRouter(Router):
        def route_single(self, query_input):
            return {"model_name": "small"}

    class AllTrainer(BaseTrainer):
        def train(self):
            pass

    class Encoder:
        def __init__(self, argument): ...
        def fit(self, texts): ...
        def encode(self, texts): ...
        def state(self): ...
        def restore(self, arrays, settings): ...

    class Judge:
        def __init__(self, spec): ...
        def score(self, request, response): ...

    command = click.Command("all")
"""


@pytest.fixture
def everything(install: Callable[..., Path]) -> Callable[..., None]:
    """Install a plugin that implements every hook; `code` is the module its targets name."""

    def everything(code: str = CODE, plugin: str = EVERYTHING, requires: tuple[str, ...] = BOUNDS) -> None:
        modules = {"fake_all": plugin, "fake_all_code": code}
        install("llmrouter-all", modules, {"all": "fake_all"}, requires=requires)

    return everything


def shown(done: Any) -> dict[str, dict[str, Any]]:
    assert done.status == 0
    return {row["name"]: row for row in done.json}


def test_a_plugin_with_its_hooks_and_load_time(
    invoke: Callable[..., Any], everything: Callable[[], None]
) -> None:
    everything()
    row = shown(invoke("plugins"))["all"]
    assert (row["distribution"], row["version"], row["module"]) == ("llmrouter-all", "1.0", "fake_all")
    assert (row["state"], row["reason"], row["routers"]) == ("ready", None, ["all"])
    kinds = ("routers", "trainers", "encoders", "judges", "commands")
    assert set(row["hooks"]) == {"after_route", *(f"register_{kind}" for kind in kinds)}
    assert row["load_ms"] > 0


def test_what_failed_and_why(invoke: Callable[..., Any], install: Callable[..., Path]) -> None:
    install("llmrouter-broken", {"fake_broken": "1 / 0"}, {"broken": "fake_broken"})
    install("llmrouter-new", {"fake_new": ""}, {"new": "fake_new"}, requires=("llmrouter-core>=9",))
    done = invoke("plugins")
    rows = shown(done)
    assert rows["broken"]["state"] == "failed"
    assert rows["broken"]["reason"] == "ZeroDivisionError: division by zero (fake_broken.py, line 1)"
    assert rows["new"]["state"] == "incompatible"
    assert rows["randomrouter"]["state"] == "ready"
    assert done.err == ""


@pytest.mark.parametrize("arguments", [("plugins", "--debug"), ("--debug", "plugins")])
def test_debug_shows_the_traceback_of_what_failed(
    invoke: Callable[..., Any], install: Callable[..., Path], arguments: tuple[str, ...]
) -> None:
    install("llmrouter-broken", {"fake_broken": "1 / 0"}, {"broken": "fake_broken"})
    done = invoke(*arguments)
    assert "Traceback" in done.err
    assert "    1 / 0" in done.err
    assert shown(done)


def test_what_is_left_out(invoke: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    row = shown(invoke("--no-plugin", "randomrouter", "plugins"))["randomrouter"]
    assert (row["state"], row["reason"]) == ("blocked", "--no-plugin randomrouter")
    monkeypatch.setenv("LLMROUTER_BLOCK_PLUGINS", "llmrouter-random")
    row = shown(invoke("plugins"))["randomrouter"]
    assert row["reason"] == "LLMROUTER_BLOCK_PLUGINS names 'llmrouter-random'"


def test_a_command_whose_name_is_built_in(invoke: Callable[..., Any], install: Callable[..., Path]) -> None:
    source = """
        from llmrouter import CommandSpec, hookimpl

        @hookimpl
        def llmrouter_register_commands():
            return [CommandSpec("version", "fake_own:version")]
    """
    install("llmrouter-own", {"fake_own": source}, {"own": "fake_own"})
    row = shown(invoke("plugins"))["own"]
    assert (row["state"], row["reason"]) == ("conflict", "command 'version' is built in and stays so")


def test_a_directory_with_its_routers(invoke: Callable[..., Any], router: Callable[..., list[str]]) -> None:
    router()
    router(name="other")
    row = shown(invoke("plugins"))["custom_routers"]
    assert (row["state"], row["reason"], row["from"]) == ("ready", None, "default")
    assert row["routers"] == ["mine", "other"]
    assert row["folder"] == str(Path("custom_routers").absolute())


def test_a_directory_tells_which_of_its_routers_failed(
    invoke: Callable[..., Any], router: Callable[..., list[str]], write: Callable[[str, str], Path]
) -> None:
    router()
    write("custom_routers/broken/router.py", "import (")
    row = shown(invoke("plugins"))["custom_routers"]
    assert row["state"] == "failed"
    assert row["reason"].startswith("broken: SyntaxError: ")
    assert row["routers"] == ["broken", "mine"]


def test_a_directory_that_is_missing(invoke: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMROUTER_PLUGINS", "nowhere")
    row = shown(invoke("plugins"))["nowhere"]
    assert (row["state"], row["reason"], row["from"]) == ("failed", "does not exist", "LLMROUTER_PLUGINS")


@pytest.mark.parametrize("arguments", [("infer", "--query", "hi", "--route-only"), ("train",)])
def test_other_commands_warn_in_one_line_that_something_failed(
    invoke: Callable[..., Any],
    install: Callable[..., Path],
    router: Callable[..., list[str]],
    arguments: tuple[str, ...],
) -> None:
    install("llmrouter-one", {"fake_one": "1 / 0"}, {"one": "fake_one"})
    install("llmrouter-two", {"fake_two": "1 / 0"}, {"two": "fake_two"})
    done = invoke(arguments[0], *router(trainer="pass"), *arguments[1:])
    assert done.status == 0
    assert done.err.count("\n") == 1
    assert done.err.startswith("Warning: plugin ")
    assert done.err.endswith("(and 1 more); see 'llmrouter plugins'\n")


class TestCheck:
    @pytest.mark.processes
    def test_everything_that_is_declared(
        self, invoke: Callable[..., Any], everything: Callable[[], None], router: Callable[..., list[str]]
    ) -> None:
        everything()
        router(trainer="pass")
        done = invoke("plugins", "check")
        assert done.status == 0
        found = {(row["what"], row["name"]) for row in done.json}
        kinds = ("plugin", "router", "trainer", "encoder", "judge", "command")
        assert found == {
            *((kind, "all") for kind in kinds),
            ("router", "mine"),
            ("trainer", "mine"),
            ("plugin", "randomrouter"),
            ("router", "randomrouter"),
        }
        assert all(row["ok"] is True and row["reason"] is None for row in done.json)

    @pytest.mark.processes
    def test_targets_that_cannot_be_imported(
        self, invoke: Callable[..., Any], everything: Callable[[str], None]
    ) -> None:
        everything("1 / 0")
        done = invoke("plugins", "check")
        assert done.status == 1
        failed = {row["what"]: row["reason"] for row in done.json if not row["ok"]}
        assert set(failed) == {"router", "trainer", "encoder", "judge", "command"}
        assert all("ZeroDivisionError" in reason for reason in failed.values())
        assert "Traceback" not in done.err

    @pytest.mark.processes
    @pytest.mark.parametrize("arguments", [("check", "--debug"), ("--debug", "check")])
    def test_debug_shows_their_tracebacks(
        self, invoke: Callable[..., Any], everything: Callable[[str], None], arguments: tuple[str, ...]
    ) -> None:
        everything("1 / 0")
        done = invoke("plugins", *arguments)
        assert "    1 / 0" in done.err
        assert done.json

    @pytest.mark.processes
    @pytest.mark.parametrize(
        ("code", "what"),
        [
            (CODE.replace("(Router)", ""), "router"),
            (CODE.replace("def route_single(self, query_input)", "def route(self)"), "router"),
            (CODE.replace("(self, query_input)", "(self)"), "router"),
            (CODE.replace("class AllTrainer", "class Other"), "trainer"),
            (CODE.replace("def encode(self, texts)", "def encode(self)"), "encoder"),
            (CODE.replace("        def restore(self, arrays, settings): ...\n", ""), "encoder"),
            (CODE.replace("def score(self, request, response)", "def score(self, answer)"), "judge"),
            (CODE.replace("def __init__(self, spec): ...", "def __init__(self): ..."), "judge"),
            (CODE.replace('click.Command("all")', "print"), "command"),
        ],
    )
    def test_classes_that_do_not_fulfil_the_contract(
        self, invoke: Callable[..., Any], everything: Callable[[str], None], code: str, what: str
    ) -> None:
        everything(code)
        done = invoke("plugins", "check")
        assert done.status == 1
        assert [row["what"] for row in done.json if not row["ok"]] == [what]

    @pytest.mark.processes
    def test_a_failed_plugin_and_a_failed_folder(
        self, invoke: Callable[..., Any], install: Callable[..., Path], write: Callable[[str, str], Path]
    ) -> None:
        install("llmrouter-broken", {"fake_broken": "1 / 0"}, {"broken": "fake_broken"})
        write("custom_routers/mine/router.py", "import (")
        done = invoke("plugins", "check")
        assert done.status == 1
        assert {(row["what"], row["name"]) for row in done.json if not row["ok"]} == {
            ("plugin", "broken"),
            ("router", "mine"),
        }

    @pytest.mark.processes
    def test_a_folder_that_only_fails_when_it_runs(
        self, invoke: Callable[..., Any], router: Callable[..., list[str]]
    ) -> None:
        router()
        source = Path("custom_routers/mine/router.py")
        source.write_text("raise SystemExit(0)\n" + source.read_text())
        done = invoke("plugins", "check")
        assert done.status == 1
        (row,) = [row for row in done.json if not row["ok"]]
        assert (row["what"], row["name"]) == ("router", "mine")
        assert "SystemExit: 0" in row["reason"]

    @pytest.mark.processes
    @pytest.mark.parametrize(
        ("found", "instead", "what", "told"),
        [
            (', "Picks the small one."', "", "router", "it has no summary; add the sentence that users"),
            (', "Do all."', ', " "', "command", "it has no summary; add the sentence that users"),
            (
                "from llmrouter import",
                "import asyncio\n    from llmrouter import",
                "plugin",
                "importing fake_all imports asyncio; import what is slow in the modules that the targets",
            ),
            (
                "from llmrouter import",
                "import time; time.sleep(1.1)\n    from llmrouter import",
                "plugin",
                "ms; import what is slow in the modules that the targets name",
            ),
            (
                "from llmrouter import",
                "print('hello')\n    from llmrouter import",
                "plugin",
                "importing it writes to standard output: 'hello'; log what is worth telling",
            ),
        ],
        ids=["router", "command", "heavy", "slow", "printing"],
    )
    def test_what_is_not_declared_well(
        self, invoke: Callable[..., Any], everything: Any, found: str, instead: str, what: str, told: str
    ) -> None:
        everything(plugin=EVERYTHING.replace(found, instead))
        done = invoke("plugins", "check")
        assert done.status == 1
        (row,) = [row for row in done.json if not row["ok"]]
        assert (row["what"], row["name"], row["from"]) == (what, "all", "llmrouter-all 1.0")
        assert told in row["reason"]

    @pytest.mark.processes
    @pytest.mark.parametrize("requires", [(), ("llmrouter-core",), ("llmrouter-core[torch]>=0.1",)])
    def test_versions_of_core_that_are_not_bounded(
        self, invoke: Callable[..., Any], everything: Any, requires: tuple[str, ...]
    ) -> None:
        everything(requires=requires)
        done = invoke("plugins", "check")
        assert done.status == 1
        (row,) = [row for row in done.json if not row["ok"]]
        assert row["what"] == "plugin"
        assert "; require such as 'llmrouter-core>=0.1,<0.2', so that" in row["reason"]

    @pytest.mark.processes
    @pytest.mark.parametrize(
        "requires",
        ["llmrouter-core~=0.1", "llmrouter_core == 0.1.0", "llmrouter-core<0.2,>0.0 ; extra != 'x'"],
    )
    def test_versions_of_core_that_are_bounded(
        self, invoke: Callable[..., Any], everything: Any, requires: str
    ) -> None:
        everything(requires=(requires,))
        assert invoke("plugins", "check").status == 0

    @pytest.mark.processes
    def test_each_finding_is_a_row(self, invoke: Callable[..., Any], everything: Any) -> None:
        everything(plugin=f"    import asyncio\n    print('hello')\n{EVERYTHING}", requires=())
        done = invoke("plugins", "check")
        rows = [row for row in done.json if (row["what"], row["name"]) == ("plugin", "all")]
        assert [row["reason"].partition(";")[0] for row in rows] == [
            "importing fake_all imports asyncio",
            "importing it writes to standard output: 'hello'",
            "llmrouter-all 1.0 does not require llmrouter-core",
        ]

    @pytest.mark.processes
    def test_what_fails_in_a_process_of_its_own_alone(
        self, invoke: Callable[..., Any], everything: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # As where something that the plugin forgets to import is there by chance.
        monkeypatch.setattr("llmrouter.by_chance", 1, raising=False)
        everything(plugin=f"    from llmrouter import by_chance\n{EVERYTHING}")
        (row,) = [row for row in invoke("plugins", "check").json if not row["ok"]]
        assert row["what"] == "plugin"
        assert row["reason"].startswith(
            "in a process of its own: ImportError: cannot import name 'by_chance'"
        )

    @pytest.mark.processes
    def test_two_routers_of_one_class_are_told_apart(
        self, invoke: Callable[..., Any], everything: Any
    ) -> None:
        other = 'RouterSpec("other", "fake_all_code:AllRouter"), RouterSpec("all",'
        everything(plugin=EVERYTHING.replace('RouterSpec("all",', other))
        assert [row["name"] for row in invoke("plugins", "check").json if not row["ok"]] == ["other"]

    @pytest.mark.processes
    def test_the_current_folder_hides_nothing_that_is_imported(
        self, invoke: Callable[..., Any], everything: Any, write: Callable[[str, str], Path]
    ) -> None:
        write("json.py", "raise AssertionError('it was imported')")
        everything()
        assert invoke("plugins", "check").status == 0

    def test_it_does_without_the_testing_package(self, everything: Any) -> None:
        everything()
        blocked = "import sys; sys.modules['llmrouter_testing'] = sys.modules['pytest'] = None; "
        program = f"{blocked}from llmrouter_cli.__main__ import run; sys.exit(run(['plugins', 'check']))"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr

    def test_what_is_left_out_is_no_failure(self, invoke: Callable[..., Any]) -> None:
        assert invoke("--no-plugin", "randomrouter", "plugins", "check").status == 0


class TestOnATerminal:
    def test_it_is_a_table_with_reasons_below(
        self, terminal: Callable[..., Any], install: Callable[..., Path]
    ) -> None:
        install("llmrouter-broken", {"fake_broken": "1 / 0"}, {"broken": "fake_broken"})
        done = terminal("plugins")
        lines = done.out.splitlines()
        assert lines[0].split() == ["Plugin", "State", "From", "Hooks", "Load", "(ms)", "Routers"]
        assert "ready" in done.out
        assert lines[-1] == "broken: ZeroDivisionError: division by zero (fake_broken.py, line 1)"
        assert all(len(line) <= 80 for line in lines)

    def test_check_is_a_table_too(self, terminal: Callable[..., Any]) -> None:
        lines = terminal("plugins", "check").out.splitlines()
        assert lines[0].split() == ["Name", "What", "From", "Works"]
        assert lines[2].split() == ["randomrouter", "plugin", "llmrouter-random", "0.1.0", "yes"]

    def test_check_tells_each_finding_with_what_it_is_about(
        self, terminal: Callable[..., Any], everything: Any
    ) -> None:
        everything(plugin=EVERYTHING.replace(', "Do all."', ""))
        text = " ".join(terminal("plugins", "check").out.split())
        assert text.endswith(
            "command all llmrouter-all 1.0: it has no summary; add the sentence that users see when they "
            "list what is installed"
        )

    @pytest.mark.parametrize("arguments", [("plugins",), ("plugins", "check")])
    def test_json_on_request(self, terminal: Callable[..., Any], arguments: tuple[str, ...]) -> None:
        assert json.loads(terminal(*arguments, "--json").out)[0]["name"] == "randomrouter"
