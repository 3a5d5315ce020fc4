"""The wheels hold what they should, and a user who installs them can work with them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

import llmrouter as core

pytestmark = pytest.mark.slow

PACKAGES = Path(__file__).parents[2] / "packages"
NAMES = sorted(project.name for project in PACKAGES.iterdir())
# Those that are installed into the bare environment.
TORCH_FREE = ["llmrouter-cli", "llmrouter-core", "llmrouter-random"]
QUERIES = Path("data/example_data/query_data/default_query_test.jsonl")


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def contents(wheel: Path) -> set[str]:
    with ZipFile(wheel) as archive:
        return set(archive.namelist())


def info(wheel: Path, file: str) -> str:
    with ZipFile(wheel) as archive:
        (path,) = [path for path in archive.namelist() if path.endswith(f".dist-info/{file}")]
        return archive.read(path).decode()


def headers(wheel: Path) -> Message:
    return Parser().parsestr(info(wheel, "METADATA"), headersonly=True)


def required(wheel: Path) -> list[str]:
    return [text for text in headers(wheel).get_all("Requires-Dist", []) if "extra ==" not in text]


def test_a_wheel_holds_the_sources_of_its_package_and_no_more(name: str, wheels: Mapping[str, Path]) -> None:
    source = PACKAGES / name / "src"
    files = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    expected = {file for file in files if "__pycache__" not in file.split("/")}
    assert {file for file in contents(wheels[name]) if ".dist-info/" not in file} == expected


def test_a_wheel_is_typed_and_licensed(name: str, wheels: Mapping[str, Path]) -> None:
    files = contents(wheels[name])
    assert any(file.count("/") == 1 and file.endswith("/py.typed") for file in files)
    assert info(wheels[name], "licenses/LICENSE") == (PACKAGES / name / "LICENSE").read_text()


def test_metadata_say_whose_what_and_for_whom(name: str, wheels: Mapping[str, Path]) -> None:
    found = headers(wheels[name])
    assert (found["Name"], found["Version"]) == (name, core.__version__)
    assert (found["Requires-Python"], found["License-Expression"]) == (">=3.10", "MIT")
    assert found["Summary"]
    assert f"pip install {name}" in str(found.get_payload())


def test_what_each_wheel_requires(wheels: Mapping[str, Path]) -> None:
    assert {text.partition(">=")[0] for text in required(wheels["llmrouter-core"])} == {
        "importlib-metadata",
        "msgspec",
        "packaging",
        "pluggy",
        "pyyaml",
        "tomli",
    }
    assert required(wheels["llmrouter-random"]) == ["llmrouter-core<0.2,>=0.1"]
    assert {text.partition(">=")[0] for text in required(wheels["llmrouter-cli"])} == {
        "click",
        "llmrouter-core[openai]<0.2,",
        "msgspec",
        "rich",
        "tomlkit",
    }


def test_torch_comes_with_extras_only(wheels: Mapping[str, Path]) -> None:
    asked = headers(wheels["llmrouter-core"]).get_all("Requires-Dist", [])
    torch = [text for text in asked if text.startswith("torch>=")]
    assert torch
    assert [text for text in torch if "extra == " not in text] == []


def test_entry_points_of_each_wheel(wheels: Mapping[str, Path]) -> None:
    assert info(wheels["llmrouter-random"], "entry_points.txt").split("\n")[:2] == [
        "[llmrouter]",
        "randomrouter = llmrouter_random.plugin",
    ]
    assert info(wheels["llmrouter-cli"], "entry_points.txt").split("\n")[:2] == [
        "[console_scripts]",
        "llmrouter = llmrouter_cli.__main__:main",
    ]
    assert not any(path.endswith("entry_points.txt") for path in contents(wheels["llmrouter-core"]))


def test_the_example_project_comes_with_the_command(wheels: Mapping[str, Path]) -> None:
    files = contents(wheels["llmrouter-cli"])
    inside = {file.removeprefix("llmrouter_cli/project/") for file in files}
    assert inside >= {
        "custom_routers/my_router/config.yaml",
        "custom_routers/my_router/local.yaml",
        "custom_routers/my_router/router.py",
        "custom_routers/my_router/trainer.py",
        "custom_routers/randomrouter/config.yaml",
        "data/example_data/llm_candidates/default_llm.json",
        QUERIES.as_posix(),
    }


def test_pip_installs_what_the_wheels_require_and_nothing_heavy(bare: Any) -> None:
    assert "No broken requirements" in bare.pip("check")
    assert set(bare.installed()) >= {*TORCH_FREE, "click", "openai", "pluggy", "rich"}
    assert not set(bare.installed()) & {"torch", "numpy", "transformers", "pandas"}


def test_the_command_tells_versions(llmrouter: Callable[..., Any], bare: Any) -> None:
    told = {row["name"]: row["version"] for row in json.loads(llmrouter("version", "--json").stdout)}
    assert told["llmrouter-core"] == told["llmrouter-random"] == core.__version__
    assert core.__version__ in llmrouter("--version").stdout
    assert core.__version__ in bare.run("python", "-m", "llmrouter_cli", "--version").stdout


def test_the_command_lists_the_installed_router(llmrouter: Callable[..., Any]) -> None:
    done = llmrouter("list-routers", "--json")
    (row,) = json.loads(done.stdout)
    assert (row["name"], row["state"], row["trainable"]) == ("randomrouter", "ready", False)
    assert (row["origin"], row["version"]) == ("llmrouter-random", core.__version__)
    assert done.stderr == ""


def test_a_newcomer_routes_the_example_queries(
    llmrouter: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    llmrouter("init", "demo")
    monkeypatch.chdir("demo")
    using = ["--router", "randomrouter", "--config", "custom_routers/randomrouter/config.yaml"]
    decisions = llmrouter("infer", *using, "--input", str(QUERIES), "--route-only").stdout.splitlines()
    told = [(row["id"], row["query"]) for row in map(json.loads, decisions)]
    asked = [(row["id"], row["query"]) for row in map(json.loads, QUERIES.read_text().splitlines())]
    assert told == asked
    candidates = json.loads(Path("data/example_data/llm_candidates/default_llm.json").read_text())
    assert {json.loads(line)["model_name"] for line in decisions} == set(candidates)


def test_a_newcomer_trains_and_uses_a_router_of_their_own(
    llmrouter: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    llmrouter("init", "demo")
    monkeypatch.chdir("demo")
    using = ["--router", "my_router", "--config", "custom_routers/my_router/config.yaml"]
    saved = json.loads(llmrouter("train", *using).stdout)["saved"]
    done = llmrouter("infer", *using, "--load-model-path", saved, "--query", "What is AI?", "--route-only")
    assert json.loads(done.stdout)["router"] == "my_router"
    assert done.stderr.startswith("Running router 'my_router' from ")


def test_without_torch_the_base_class_that_needs_it_names_the_extra(bare: Any) -> None:
    for statement in ("import llmrouter.models.meta_router", "from llmrouter.models import MetaRouter"):
        done = bare.run("python", "-c", statement)
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].endswith(
            "llmrouter.models.meta_router needs a package that is not installed; "
            "run: pip install 'llmrouter-core[torch]'"
        )


def test_without_torch_the_rest_is_of_use(bare: Any) -> None:
    done = bare.run(
        "python", "-c", "from llmrouter.models import BaseTrainer, Router; print(Router.__name__)"
    )
    assert (done.stdout, done.stderr) == ("Router\n", "")


def test_a_healthy_installation_gives_the_doctor_no_work(llmrouter: Callable[..., Any]) -> None:
    statuses = {row["status"] for row in json.loads(llmrouter("doctor", "--json").stdout)}
    assert statuses == {"ok", "note"}
