"""Plugins that no package here knows: built, installed, used, upgraded and removed with pip."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

Command = Callable[..., Any]
Wheel = Callable[..., Path]

PLUGIN = """
    from llmrouter import CommandSpec, EncoderSpec, JudgeSpec, RouterSpec, TrainerSpec, hookimpl

    @hookimpl
    def llmrouter_register_routers():
        return [RouterSpec("shortest", "llmrouter_shortest.router:ShortestRouter", "Picks a short name.")]

    @hookimpl
    def llmrouter_register_trainers():
        return [TrainerSpec("shortest", "llmrouter_shortest.router:ShortestTrainer")]

    @hookimpl
    def llmrouter_register_encoders():
        return [EncoderSpec("letters", "llmrouter_shortest.features:LetterEncoder", dim=26)]

    @hookimpl
    def llmrouter_register_judges():
        return [JudgeSpec("brevity", "llmrouter_shortest.features:BrevityJudge")]

    @hookimpl
    def llmrouter_register_commands():
        return [CommandSpec("shortest", "llmrouter_shortest.command:shortest", "Print the shortest name.")]
"""
ROUTER = """
    from pathlib import Path

    from llmrouter.models.base_trainer import BaseTrainer
    from llmrouter.models.router import Router

    class ShortestRouter(Router):
        def __init__(self, yaml_path):
            super().__init__(yaml_path)
            self.choice = min(self.llm_data, key=len)

        def route_single(self, query_input):
            return {"model_name": self.choice}

        def save_router(self, path):
            Path(path).write_text(self.choice)

        def load_router(self, path):
            self.choice = Path(path).read_text()

    class ShortestTrainer(BaseTrainer):
        def train(self):
            print("training")
            self.router.choice = max(self.router.llm_data, key=len)
            self.router.save_router(self.config["model_path"]["save_model_path"])
"""
FEATURES = """
    from llmrouter.models.judge import Judge, Judgement

    class LetterEncoder:
        dim = 26

        def __init__(self, argument=None):
            self.name = "letters"

        def fit(self, texts):
            pass

        def encode(self, texts):
            return [[text.count(chr(letter)) for letter in range(97, 123)] for text in texts]

        def state(self):
            return {}, {}

        def restore(self, arrays, settings):
            pass

    class BrevityJudge(Judge):
        def score(self, request, response):
            return Judgement(1 / (1 + len(response["content"])))
"""
COMMAND = """
    import click

    @click.command()
    @click.argument("names", nargs=-1)
    def shortest(names):
        click.echo(min(names, key=len))
"""
FILES = {
    "llmrouter_shortest/__init__.py": "",
    "llmrouter_shortest/plugin.py": PLUGIN,
    "llmrouter_shortest/router.py": ROUTER,
    "llmrouter_shortest/features.py": FEATURES,
    "llmrouter_shortest/command.py": COMMAND,
}
SHORTEST = ("llmrouter-shortest", FILES, {"shortest": "llmrouter_shortest.plugin"})
ONE_QUERY = ["--query", "hello", "--route-only"]


def declaring(name: str, target: str) -> str:
    """Source of a plugin module that declares one router."""
    return f"""
    from llmrouter import RouterSpec, hookimpl

    @hookimpl
    def llmrouter_register_routers():
        return [RouterSpec("{name}", "{target}")]
    """


def listed(llmrouter: Command) -> dict[str, Any]:
    return {row["name"]: row for row in json.loads(llmrouter("list-routers", "--json").stdout)}


def infer(llmrouter: Command, config: str, router: str, status: int = 0) -> Any:
    return llmrouter("infer", "--router", router, "--config", config, *ONE_QUERY, status=status)


@pytest.fixture(scope="module")
def shortest_wheel(wheel: Wheel) -> Path:
    return wheel(*SHORTEST)


@pytest.fixture
def shortest(bare: Any, shortest_wheel: Path) -> None:
    """Install llmrouter-shortest as its users would."""
    bare.pip("install", shortest_wheel)


@pytest.mark.usefixtures("shortest")
def test_an_installed_plugin_is_listed_with_where_it_is_from(llmrouter: Command) -> None:
    row = listed(llmrouter)["shortest"]
    assert (row["state"], row["trainable"]) == ("ready", True)
    assert (row["origin"], row["version"]) == ("llmrouter-shortest", "1.0")
    assert row["summary"] == "Picks a short name."


@pytest.mark.usefixtures("shortest")
def test_its_router_decides(llmrouter: Command, config: Callable[..., str]) -> None:
    decision = json.loads(infer(llmrouter, config(), "shortest").stdout)
    assert (decision["model_name"], decision["router"]) == ("small", "shortest")
    assert decision["router_version"] == "1.0"


@pytest.mark.usefixtures("shortest")
def test_what_its_trainer_learned_is_used(llmrouter: Command, config: Callable[..., str]) -> None:
    path = config({"a": {}, "abc": {}}, model_path={"save_model_path": "saved"})
    trained = llmrouter("train", "--router", "shortest", "--config", path)
    assert json.loads(trained.stdout)["saved"] == "saved"
    assert "training" in trained.stderr
    using = ["--router", "shortest", "--config", path, "--load-model-path", "saved", *ONE_QUERY]
    assert json.loads(llmrouter("infer", *using).stdout)["model_name"] == "abc"


@pytest.mark.usefixtures("shortest")
def test_its_command_is_one_of_ours(llmrouter: Command) -> None:
    assert "Print the shortest name." in llmrouter("--help").stdout
    assert llmrouter("shortest", "abc", "ab").stdout == "ab\n"


@pytest.mark.usefixtures("shortest")
def test_check_imports_all_that_it_declares(llmrouter: Command) -> None:
    rows = json.loads(llmrouter("plugins", "check", "--json").stdout)
    assert [row["ok"] for row in rows] == [True] * len(rows)
    assert {(row["what"], row["name"]) for row in rows if row["from"] == "llmrouter-shortest 1.0"} == {
        ("plugin", "shortest"),
        ("router", "shortest"),
        ("trainer", "shortest"),
        ("encoder", "letters"),
        ("judge", "brevity"),
        ("command", "shortest"),
    }


@pytest.mark.usefixtures("shortest")
def test_uninstalled_it_is_gone(bare: Any, llmrouter: Command, config: Callable[..., str]) -> None:
    bare.pip("uninstall", "--yes", "llmrouter-shortest")
    assert set(listed(llmrouter)) == {"randomrouter"}
    done = infer(llmrouter, config(), "shortest", status=1)
    assert done.stderr.startswith("Error: Unknown router: shortest")
    assert "shortest" not in llmrouter("--help").stdout
    assert "No such command 'shortest'" in llmrouter("shortest", "abc", status=2).stderr


@pytest.mark.usefixtures("shortest")
def test_an_upgrade_takes_the_place_of_the_old_version(
    bare: Any, wheel: Wheel, llmrouter: Command, config: Callable[..., str]
) -> None:
    longest = FILES | {"llmrouter_shortest/router.py": ROUTER.replace("min(", "max(")}
    bare.pip("install", wheel("llmrouter-shortest", longest, SHORTEST[2], version="2.0"))
    assert listed(llmrouter)["shortest"]["version"] == "2.0"
    decision = json.loads(infer(llmrouter, config({"a": {}, "abc": {}}), "shortest").stdout)
    assert (decision["model_name"], decision["router_version"]) == ("abc", "2.0")


def test_an_editable_install_follows_its_sources(
    bare: Any, project: Wheel, llmrouter: Command, config: Callable[..., str]
) -> None:
    folder = project(*SHORTEST)
    bare.pip("install", "--editable", folder)
    assert listed(llmrouter)["shortest"]["origin"] == "llmrouter-shortest"
    path = config({"a": {}, "abc": {}})
    assert json.loads(infer(llmrouter, path, "shortest").stdout)["model_name"] == "a"
    router = folder / "llmrouter_shortest" / "router.py"
    router.write_text(router.read_text().replace("min(", "max("))
    assert json.loads(infer(llmrouter, path, "shortest").stdout)["model_name"] == "abc"
    bare.pip("uninstall", "--yes", "llmrouter-shortest")
    assert set(listed(llmrouter)) == {"randomrouter"}


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import llmrouter_missing", "No module named 'llmrouter_missing'"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
    ],
)
def test_a_broken_plugin_is_shown_and_stops_no_other(
    source: str, reason: str, bare: Any, wheel: Wheel, llmrouter: Command, config: Callable[..., str]
) -> None:
    files = {"llmrouter_broken/__init__.py": "", "llmrouter_broken/plugin.py": source}
    bare.pip("install", wheel("llmrouter-broken", files, {"broken": "llmrouter_broken.plugin"}))
    rows = listed(llmrouter)
    assert (rows["broken"]["state"], rows["randomrouter"]["state"]) == ("failed", "ready")
    assert reason in rows["broken"]["reason"]
    done = infer(llmrouter, config(), "randomrouter")
    assert json.loads(done.stdout)["router"] == "randomrouter"
    assert "plugin 'broken' of llmrouter-broken 1.0, failed" in done.stderr
    assert reason in infer(llmrouter, config(), "broken", status=1).stderr
    checked = json.loads(llmrouter("plugins", "check", "--json", status=1).stdout)
    assert [row["name"] for row in checked if not row["ok"]] == ["broken"]


def test_a_plugin_for_another_core_is_refused_before_it_is_imported(
    bare: Any, wheel: Wheel, llmrouter: Command, config: Callable[..., str]
) -> None:
    files = {"llmrouter_later/__init__.py": "raise AssertionError('it was imported')"}
    late = wheel("llmrouter-later", files, {"later": "llmrouter_later"}, requires="llmrouter-core>=99")
    bare.pip("install", "--no-deps", late)
    row = listed(llmrouter)["later"]
    assert row["state"] == "incompatible"
    assert row["reason"].startswith("requires llmrouter-core>=99, and ")
    assert "requires llmrouter-core>=99" in infer(llmrouter, config(), "later", status=1).stderr


@pytest.mark.usefixtures("shortest")
def test_two_distributions_with_one_router_name_are_told_apart(
    bare: Any, wheel: Wheel, llmrouter: Command, config: Callable[..., str]
) -> None:
    source = declaring("shortest", "llmrouter_twin.router:TwinRouter")
    router = ROUTER.replace("ShortestRouter", "TwinRouter").replace("min(", "max(")
    files = {"llmrouter_twin/__init__.py": source, "llmrouter_twin/router.py": router}
    bare.pip("install", wheel("LLMrouter_Twin", files, {"twin": "llmrouter_twin"}))
    path = config({"a": {}, "abc": {}})

    error = infer(llmrouter, path, "shortest", status=1).stderr
    assert "conflict" in error
    assert "choose with llmrouter-shortest:shortest or LLMrouter_Twin:shortest" in error
    ours = json.loads(infer(llmrouter, path, "llmrouter-shortest:shortest").stdout)
    theirs = json.loads(infer(llmrouter, path, "llmrouter-twin:shortest").stdout)
    assert (ours["model_name"], theirs["model_name"]) == ("a", "abc")

    bare.pip("uninstall", "--yes", "llmrouter-shortest")
    assert json.loads(infer(llmrouter, path, "shortest").stdout)["model_name"] == "abc"


@pytest.mark.usefixtures("shortest")
def test_a_plugin_leaves_no_dependency_unmet(bare: Any) -> None:
    assert "No broken requirements" in bare.pip("check")
