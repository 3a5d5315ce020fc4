"""`llmrouter new` writes a whole plugin or nothing, and overwrites nothing."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmrouter_cli.scaffold import KINDS, TEMPLATES, Names

COMMON = {
    ".github/workflows/test.yml",
    ".gitignore",
    "LICENSE",
    "README.md",
    "pyproject.toml",
    "src/llmrouter_word_count/__init__.py",
    "src/llmrouter_word_count/plugin.py",
    "src/llmrouter_word_count/py.typed",
}
MODULE = "src/llmrouter_word_count"
OWN = {
    "router": {f"{MODULE}/router.py", "tests/test_router.py", "example/config.yaml", "example/llm.json"},
    "trainable": {
        *(f"{MODULE}/router.py", f"{MODULE}/trainer.py", "tests/test_router.py"),
        *("example/config.yaml", "example/llm.json", "example/routing.jsonl"),
    },
    "encoder": {f"{MODULE}/encoder.py", "tests/test_encoder.py"},
    "judge": {f"{MODULE}/judge.py", "tests/test_judge.py"},
    "command": {f"{MODULE}/command.py", "tests/test_command.py"},
}
SHORT = ("--query", "What is AI?", "--route-only")


def toml(path: str) -> Any:
    reader = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    return reader.loads(Path(path).read_text())


def files(folder: str | Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in Path(folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def options(kind: str) -> tuple[str, ...]:
    return () if kind == "router" else (f"--{kind}",)


@pytest.mark.parametrize("kind", KINDS)
class TestDistribution:
    def test_it_is_complete(self, invoke: Callable[..., Any], kind: str) -> None:
        done = invoke("new", "word-count", *options(kind))
        assert (done.status, done.out) == (0, "")
        assert files("llmrouter-word-count") == COMMON | OWN[kind]
        assert "written  llmrouter-word-count\nTry:\ncd llmrouter-word-count\n" in done.err
        assert os.listdir() == ["llmrouter-word-count"]

    def test_no_placeholder_is_left(self, invoke: Callable[..., Any], kind: str) -> None:
        invoke("new", "word-count", *options(kind))
        for name in files("llmrouter-word-count"):
            text = Path("llmrouter-word-count", name).read_text()
            assert "$" not in text.replace("${{ matrix.python }}", ""), name

    def test_its_metadata(self, invoke: Callable[..., Any], kind: str) -> None:
        invoke("new", "word-count", *options(kind))
        project = toml("llmrouter-word-count/pyproject.toml")["project"]
        assert project["name"] == "llmrouter-word-count"
        assert project["entry-points"]["llmrouter"] == {"word-count": "llmrouter_word_count.plugin"}
        (core,) = [text for text in project["dependencies"] if text.startswith("llmrouter-core")]
        assert core.endswith(">=0.1,<0.2")
        assert ("[torch]" in core) == (kind == "trainable")

    def test_its_name_is_free(self, invoke: Callable[..., Any], install: Any, kind: str) -> None:
        what = KINDS[kind].what
        spec = f'{what.capitalize()}Spec("word-count", "fake_x:X")'
        source = f"""
            from llmrouter import *
            @hookimpl
            def llmrouter_register_{what}s():
                return [{spec}]
        """
        install("llmrouter-other", {"fake_other": source}, {"other": "fake_other"})
        done = invoke("new", "word-count", *options(kind))
        assert done.status == 1
        assert (
            f"a {what} named 'word-count' is installed, from llmrouter-other 1.0; choose another" in done.err
        )
        assert os.listdir() == []


class TestNames:
    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("knn", Names("knn", "llmrouter-knn", "llmrouter_knn", "Knn")),
            ("my_router", Names("my_router", "llmrouter-my-router", "llmrouter_my_router", "My")),
            ("router", Names("router", "llmrouter-router", "llmrouter_router", "Router")),
            ("llmrouter-a-2b", Names("a-2b", "llmrouter-a-2b", "llmrouter_a_2b", "A2b")),
        ],
    )
    def test_what_is_derived(self, name: str, expected: Names) -> None:
        assert Names.of(name) == expected

    @pytest.mark.parametrize("name", ["", "Upper", "2fast", "a b", "a/b", "..", "a-", "ä", "a--b", "-"])
    def test_what_is_none(self, invoke: Callable[..., Any], name: str) -> None:
        done = invoke("new", "--", name)
        assert done.status == 1
        assert f"Error: {name!r} cannot be a plugin's name; use lower-case letters" in done.err
        assert os.listdir() == []

    def test_a_command_that_is_built_in(self, invoke: Callable[..., Any]) -> None:
        done = invoke("new", "infer", "--command")
        assert done.status == 1
        assert "a command named 'infer' is installed, from llmrouter-cli" in done.err

    @pytest.mark.parametrize("name", ["random", "llmrouter-random"])
    def test_a_distribution_that_is_installed(self, invoke: Callable[..., Any], name: str) -> None:
        done = invoke("new", name)
        assert done.status == 1
        assert "llmrouter-random 0.1.0 is installed; choose another name" in done.err

    def test_an_installed_router(self, invoke: Callable[..., Any]) -> None:
        for more in ((), ("--directory",)):
            done = invoke("new", "randomrouter", *more)
            assert done.status == 1
            assert "a router named 'randomrouter' is installed, from llmrouter-random" in done.err
        assert os.listdir() == []


class TestTargets:
    @pytest.mark.parametrize("there", ["file", "folder", "link"])
    @pytest.mark.parametrize(
        ("target", "more"), [("llmrouter-mine", ()), ("custom_routers/mine", ("--directory",))]
    )
    def test_what_exists_is_not_overwritten(
        self, invoke: Callable[..., Any], there: str, target: str, more: tuple[str, ...]
    ) -> None:
        path = Path(target)
        path.parent.mkdir(exist_ok=True)
        if there == "folder":
            path.mkdir()
        elif there == "file":
            path.write_text("mine")
        else:
            path.symlink_to("nowhere")
        done = invoke("new", "mine", *more)
        assert done.status == 1
        assert f"Error: {target}: exists already; nothing was written" in done.err
        assert [entry.name for entry in path.parent.iterdir()] == [path.name]
        assert files(path) == set()

    def test_where_nothing_can_be_written(self, invoke: Callable[..., Any], write: Any) -> None:
        write("custom_routers", "a file\n")
        done = invoke("new", "mine", "--directory")
        assert done.status == 1
        assert "Error: custom_routers/mine: cannot be written: " in done.err
        assert os.listdir() == ["custom_routers"]

    def test_a_failure_leaves_nothing(
        self, invoke: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        written: list[Path] = []

        def full(self: Path, *arguments: Any) -> None:
            written.append(self)
            if len(written) == 5:
                raise OSError(28, "No space left on device")

        monkeypatch.setattr(Path, "write_text", full)
        done = invoke("new", "mine")
        assert done.status == 1
        assert "Error: llmrouter-mine: cannot be written: No space left on device" in done.err
        assert os.listdir() == []


class TestUsage:
    def test_kinds_exclude_each_other(self, invoke: Callable[..., Any]) -> None:
        done = invoke("new", "mine", "--judge", "--encoder")
        assert done.status == 2
        assert "--judge and --encoder are different kinds; name one" in done.err

    @pytest.mark.parametrize("kind", ["encoder", "judge", "command"])
    def test_a_directory_holds_a_router(self, invoke: Callable[..., Any], kind: str) -> None:
        done = invoke("new", "mine", "--directory", f"--{kind}")
        assert done.status == 2
        assert f"--directory makes a router, and --{kind} is none" in done.err


class TestDirectory:
    def test_it_is_listed_and_routes(self, invoke: Callable[..., Any]) -> None:
        done = invoke("new", "word-count", "--directory")
        assert done.status == 0
        assert files(".") == {
            f"custom_routers/word-count/{n}" for n in ("config.yaml", "llm.json", "router.py")
        }
        rows = {row["name"]: row for row in invoke("list-routers").json}
        assert (rows["word-count"]["state"], rows["word-count"]["trainable"]) == ("ready", False)
        config = ("--config", "custom_routers/word-count/config.yaml")
        assert invoke("infer", "--router", "word-count", *config, *SHORT).json["model_name"] == "small"

    @pytest.mark.torch
    def test_a_trainable_one_learns(self, invoke: Callable[..., Any]) -> None:
        invoke("new", "mine", "--directory", "--trainable")
        using = ("--router", "mine", "--config", "custom_routers/mine/config.yaml")
        assert invoke("train", *using).json["saved"] == "model.safetensors"
        loaded = ("--load-model-path", "model.safetensors")
        assert invoke("infer", *using, *loaded, *SHORT).json["model_name"] == "small"
        query = json.loads(Path("custom_routers/mine/routing.jsonl").read_text().splitlines()[-1])["query"]
        done = invoke("infer", *using, *loaded, "--query", query, "--route-only")
        assert done.json["model_name"] == "large"

    @pytest.mark.parametrize(
        ("options", "right", "wrong"),
        [
            ((), "max_length", "max_lenght"),
            pytest.param(("--trainable",), "learning_rate", "learning_rat", marks=pytest.mark.torch),
        ],
    )
    def test_a_misspelt_hyperparameter_is_an_error(
        self, invoke: Callable[..., Any], options: tuple[str, ...], right: str, wrong: str
    ) -> None:
        invoke("new", "mine", "--directory", *options)
        path = Path("custom_routers/mine/config.yaml")
        path.write_text(path.read_text().replace(f"{right}:", f"{wrong}:"))
        done = invoke("infer", "--router", "mine", "--config", str(path), *SHORT)
        assert done.status == 1
        assert f"hparam.{wrong}: is unknown; did you mean {right!r}?" in done.err


def test_every_template_belongs_to_a_kind() -> None:
    assert {path.name for path in TEMPLATES.iterdir()} == {"common", "packaged", *KINDS}
