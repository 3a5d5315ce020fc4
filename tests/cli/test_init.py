"""`llmrouter init` makes a project on which every command of a newcomer works."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmrouter_cli.commands.init import PARTS, TEMPLATE
from llmrouter_testing.upstream import Upstream

MY_ROUTER = ("--router", "my_router", "--config", "custom_routers/my_router/config.yaml")
DATA = Path("data/example_data")


def files(folder: str | Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in Path(folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_writes_the_whole_project(invoke: Callable[..., Any]) -> None:
    done = invoke("init")
    assert (done.status, done.out) == (0, "")
    assert files(".") == files(TEMPLATE)
    for part in PARTS:
        assert f"written  {part}\n" in done.err


def test_the_parts_are_all_there_is_in_the_template() -> None:
    parts = {str(path.relative_to(TEMPLATE)) for path in TEMPLATE.glob("*/*") if path.name != "__pycache__"}
    assert parts == set(PARTS)


@pytest.mark.parametrize("folder", ["project", "a/b", "with space"])
def test_into_a_folder_that_is_made(invoke: Callable[..., Any], folder: str) -> None:
    done = invoke("init", folder)
    assert done.status == 0
    assert files(folder) == files(TEMPLATE)
    assert f"written  {folder}/custom_routers/my_router\n" in done.err
    assert [path.name for path in Path.cwd().iterdir()] == [folder.partition("/")[0]]


def test_what_exists_is_kept(invoke: Callable[..., Any], write: Callable[[str, str], Path]) -> None:
    write("custom_routers/my_router/router.py", "mine\n")
    write("unrelated.txt", "kept\n")
    done = invoke("init")
    assert done.status == 0
    assert "kept     custom_routers/my_router, which exists\n" in done.err
    assert files("custom_routers/my_router") == {"router.py": b"mine\n"}
    assert files("data") == files(TEMPLATE / "data")
    assert Path("unrelated.txt").read_text() == "kept\n"


def test_twice_changes_nothing(invoke: Callable[..., Any]) -> None:
    invoke("init")
    config = Path("custom_routers/my_router/config.yaml")
    config.write_text("changed: 1\n")
    before = files(".")
    done = invoke("init")
    assert done.status == 0
    assert files(".") == before
    assert done.err.count("kept     ") == len(PARTS)
    assert "written" not in done.err


@pytest.mark.parametrize("target", ["file", "file/below"])
def test_where_nothing_can_be_written(
    invoke: Callable[..., Any], write: Callable[[str, str], Path], target: str
) -> None:
    write("file", "kept\n")
    done = invoke("init", target)
    assert (done.status, done.out) == (1, "")
    assert done.err == f"Error: {target}/data/example_data: cannot be written: Not a directory\n"
    assert Path("file").read_text() == "kept\n"


def test_what_cannot_be_written_whole_is_not_written(command: Callable[..., Any]) -> None:
    program = ["sh", "-c", 'ulimit -f 0; exec "$0" init', str(Path(sys.executable).with_name("llmrouter"))]
    done = subprocess.run(program, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: data/example_data: cannot be written: ")
    assert "File too large" in done.stderr
    assert done.stderr.count("\n") == 1
    assert files(".") == {}
    assert command("init").status == 0
    assert files(".") == files(TEMPLATE)


@pytest.mark.parametrize(
    "config", sorted(TEMPLATE.glob("custom_routers/*/config.yaml")), ids=lambda path: path.parent.name
)
def test_the_files_that_the_configurations_name_are_there(invoke: Callable[..., Any], config: Path) -> None:
    invoke("init")
    for path in yaml.safe_load(config.read_text())["data_path"].values():
        assert Path(path).is_file(), path


@pytest.mark.parametrize("name", ["randomrouter", "my_router"])
def test_the_example_configurations_route(invoke: Callable[..., Any], name: str) -> None:
    invoke("init")
    route = ("--router", name, "--config", f"custom_routers/{name}/config.yaml", "--route-only")
    one = invoke("infer", *route, "--query", "What is machine learning?")
    assert (one.status, one.err) == (0, "")
    candidates = json.loads((DATA / "llm_candidates/default_llm.json").read_text())
    assert one.json["model_name"] in candidates
    queries = DATA / "query_data/default_query_test.jsonl"
    many = invoke("infer", *route, "--input", str(queries), "--output", "out.csv")
    assert (many.status, many.out, many.err) == (0, "", "")
    assert len(Path("out.csv").read_text().splitlines()) == len(queries.read_text().splitlines()) + 1


def test_my_router_trains_and_routes_with_what_it_learned(invoke: Callable[..., Any]) -> None:
    invoke("init")
    done = invoke("train", *MY_ROUTER)
    assert done.status == 0
    saved = done.json["saved"]
    assert json.loads(Path(saved).read_text())["max_length"] != 60
    Path(saved).write_text('{"max_length": 0}')
    dear, learned = (
        invoke("infer", *MY_ROUTER, "--query", "hi", "--route-only", *options).json["model_name"]
        for options in ((), ("--load-model-path", saved))
    )
    assert dear != learned
    assert invoke("train", *MY_ROUTER, "--resume").status == 0


def test_the_commands_it_suggests_work(command: Callable[..., Any]) -> None:
    suggested = command("init", "project").err.partition("Try:\n")[2].splitlines()
    assert suggested[0] == "cd project"
    os.chdir("project")
    for line in suggested[1:]:
        program, *arguments = shlex.split(line)
        assert program == "llmrouter"
        done = command(*arguments)
        assert done.status == 0, line
        assert done.json


@pytest.mark.processes
@pytest.mark.parametrize(
    "arguments",
    [
        ("list-routers",),
        ("plugins",),
        ("plugins", "check"),
        ("doctor",),
        ("version",),
        ("train", *MY_ROUTER),
        ("infer", *MY_ROUTER, "--query", "What is AI?", "--route-only"),
        (
            "infer",
            "--router",
            "randomrouter",
            "--config",
            "custom_routers/randomrouter/config.yaml",
            "--query",
            "hi",
            "--route-only",
        ),
    ],
    ids=" ".join,
)
def test_what_a_newcomer_types_works(invoke: Callable[..., Any], arguments: tuple[str, ...]) -> None:
    invoke("init")
    done = invoke(*arguments)
    assert done.status == 0
    assert done.json
    assert "Error" not in done.err


def test_without_a_key_an_answer_is_refused_with_advice(invoke: Callable[..., Any]) -> None:
    invoke("init")
    done = invoke("infer", *MY_ROUTER, "--query", "What is AI?")
    assert (done.status, done.out) == (1, "")
    assert "needs a key; set API_KEYS or NVIDIA_API_KEY" in done.err
    assert "--route-only decides without" in done.err


def test_the_local_example_is_answered_without_a_key(invoke: Callable[..., Any], upstream: Upstream) -> None:
    invoke("init")
    candidates = DATA / "llm_candidates" / "local_llm.json"
    candidates.write_text(candidates.read_text().replace("http://127.0.0.1:8080/v1", upstream.url))
    options = ("--router", "my_router", "--config", "custom_routers/my_router/local.yaml")
    done = invoke("infer", *options, "--query", "What is AI?")
    assert (done.status, done.json["model_name"]) == (0, "smollm2-brief")
    assert (done.json["response"], done.json["cost"]) == ("echo What is AI?", 0)
    assert upstream.requests[0]["max_tokens"] == 16
    assert upstream.keys == [None]


def test_the_folders_of_installed_routers_are_not_taken_for_routers(invoke: Callable[..., Any]) -> None:
    invoke("init")
    assert {row["name"]: row["state"] for row in invoke("list-routers").json if row["version"] is None} == {
        "my_router": "ready"
    }
