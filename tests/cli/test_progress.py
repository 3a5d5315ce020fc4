"""Progress is shown on standard error, to somebody who looks at it and sees nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmrouter.data.queries import QueryFile
from llmrouter_cli.progress import reading_progress


@pytest.fixture
def long_input(config: Callable[..., str]) -> tuple[str, ...]:
    Path("in.jsonl").write_text('{"query": "a"}\n' * 2500)
    return ("--router", "randomrouter", "--config", config(), "--route-only", "--input", "in.jsonl")


def test_a_bar_where_the_rows_go_to_a_file(terminal: Callable[..., Any], long_input: tuple[str, ...]) -> None:
    done = terminal("infer", *long_input, "--output", "out.jsonl", out=False, err=True)
    assert (done.status, done.out) == (0, "")
    assert done.err.lstrip().startswith("Routing ")
    assert "2,500 queries" in done.err
    assert "━" in done.err
    assert len(Path("out.jsonl").read_text().splitlines()) == 2500


def test_a_bar_where_the_rows_go_into_a_pipe(
    terminal: Callable[..., Any], long_input: tuple[str, ...]
) -> None:
    done = terminal("infer", *long_input, out=False, err=True)
    assert "2,500 queries" in done.err
    assert [json.loads(line)["query"] for line in done.out.splitlines()] == ["a"] * 2500


@pytest.mark.parametrize(
    ("output", "out", "err"),
    [
        (("--output", "out.jsonl"), False, False),
        ((), False, False),
        (("--output", "out.jsonl"), True, False),
        (("--output", "/dev/stdout", "--output-format", "jsonl"), True, True),
        (("--json",), True, True),
    ],
)
def test_no_bar_where_nobody_looks_or_the_rows_are_on_the_terminal(
    terminal: Callable[..., Any], long_input: tuple[str, ...], output: tuple[str, ...], out: bool, err: bool
) -> None:
    done = terminal("infer", *long_input, *output, out=out, err=err)
    assert (done.status, done.err) == (0, "")


def test_no_bar_for_one_query(terminal: Callable[..., Any], long_input: tuple[str, ...]) -> None:
    done = terminal("infer", *long_input[:-2], "--query", "hi", "--output", "out.json", out=False, err=True)
    assert (done.status, done.err) == (0, "")


def test_error_rows_are_told_after_the_bar(terminal: Callable[..., Any], long_input: tuple[str, ...]) -> None:
    Path("in.jsonl").write_text("x\n")
    done = terminal("infer", *long_input, "--output", "out.jsonl", out=False, err=True)
    assert done.status == 1
    assert done.err.splitlines()[-1].startswith("Error: 1 of 1 rows failed")


def test_standard_input_has_a_bar_without_an_end(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with reading_progress(QueryFile("-"), quiet=False) as advance:
        advance(3)
    assert "3 queries" in capfd.readouterr().err


@pytest.mark.parametrize("quiet", [True, False])
def test_advancing_is_harmless_where_nothing_is_shown(quiet: bool, capfd: pytest.CaptureFixture[str]) -> None:
    with reading_progress(QueryFile("-"), quiet) as advance:
        advance(3)
    assert capfd.readouterr() == ("", "")
