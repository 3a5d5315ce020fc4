"""Standard output is the result alone: JSON where it is piped, a table on a terminal."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from llmrouter_cli.results import result_stream, shorten, show, write_table

NOISES = {
    "print": "print('noise')",
    "descriptor": "import os; os.write(1, b'noise\\n')",
    "original": "import sys; sys.__stdout__.write('noise\\n')",
    "child": "import subprocess; subprocess.run(['echo', 'noise'])",
    "library": "import ctypes; ctypes.CDLL(None).puts(b'noise')",
    "at exit": "import atexit; atexit.register(print, 'noise')",
}

PLUGIN = """
    {noise}
    from llmrouter import RouterSpec, TrainerSpec, hookimpl

    @hookimpl
    def llmrouter_register_routers():
        {noise}
        return [RouterSpec("loud", "fake_loud_router:LoudRouter")]

    @hookimpl
    def llmrouter_register_trainers():
        return [TrainerSpec("loud", "fake_loud_router:LoudTrainer")]

    @hookimpl
    def llmrouter_after_route(query, decision):
        {noise}
"""

ROUTER = """
    {noise}
    from llmrouter.models.base_trainer import BaseTrainer
    from llmrouter.models.router import Router

    class LoudRouter(Router):
        def __init__(self, yaml_path):
            {noise}
            super().__init__(yaml_path)

        def route_single(self, query_input):
            {noise}
            return {{"model_name": "small"}}

    class LoudTrainer(BaseTrainer):
        def train(self):
            {noise}
"""

ROUTE = ("--router", "loud", "--config", "config.yaml")
INFER = ("infer", *ROUTE, "--route-only")
JSON_LINES = (*INFER, "--input", "in.txt")
COMMANDS = [
    ("list-routers",),
    ("plugins",),
    ("doctor",),
    (*INFER, "--query", "hi"),
    JSON_LINES,
    (*JSON_LINES, "--output", "/dev/stdout", "--output-format", "jsonl"),
    ("train", *ROUTE),
]
# Each noise once, and each command with what no setting of Python's keeps quiet.
LOUD = [*(("library", arguments) for arguments in COMMANDS), *((noise, JSON_LINES) for noise in NOISES)]


@pytest.fixture(params=NOISES)
def loud(request: pytest.FixtureRequest, install: Callable[..., Path], config: Callable[..., str]) -> None:
    noise = NOISES[request.param]
    if "CDLL" in noise and os.name != "posix":
        pytest.skip("no C library to load by None")
    modules = {"fake_loud": PLUGIN.format(noise=noise), "fake_loud_router": ROUTER.format(noise=noise)}
    install("llmrouter-loud", modules, {"loud": "fake_loud"})
    config()
    Path("in.txt").write_text("a\nb\n")


@pytest.mark.usefixtures("loud")
@pytest.mark.parametrize(("loud", "arguments"), dict.fromkeys(LOUD), indirect=["loud"])
def test_whatever_plugins_print_goes_to_standard_error(
    command: Callable[..., Any], arguments: tuple[str, ...]
) -> None:
    done = command(*arguments)
    assert done.status == 0
    assert "noise" not in done.out
    assert "noise" in done.err
    assert done.lines if arguments[:6] == JSON_LINES[:6] else done.json


@pytest.mark.usefixtures("loud")
@pytest.mark.parametrize("loud", ["library", "at exit"], indirect=True)
def test_plugins_check_finds_whatever_prints(command: Callable[..., Any]) -> None:
    done = command("plugins", "check")
    assert done.status == 1
    found = [row["reason"] for row in done.json if row["name"] == "loud" and not row["ok"]]
    assert "importing it writes to standard output: 'noise'; log what is worth telling" in found
    assert "noise" in done.err


@pytest.mark.usefixtures("loud")
def test_help_is_not_mixed_with_what_plugins_print(command: Callable[..., Any]) -> None:
    done = command("--help")
    assert done.out.startswith("Usage: llmrouter")
    assert "noise" not in done.out
    assert "noise" in done.err


@pytest.mark.usefixtures("loud")
def test_completion_is_not_mixed_with_what_plugins_print(command: Callable[..., Any]) -> None:
    done = command(
        _LLMROUTER_COMPLETE="bash_complete", COMP_WORDS="llmrouter infer --router lo", COMP_CWORD="3"
    )
    assert done.out == "plain,loud\n"


def test_result_stream_gives_standard_output_back(capfd: pytest.CaptureFixture[str]) -> None:
    with result_stream() as stream:
        print("inside")
        stream.write(b"result\n")
    print("after")
    assert capfd.readouterr() == ("result\nafter\n", "inside\n")


def test_what_was_printed_before_stays_on_standard_output() -> None:
    program = (
        "from llmrouter_cli.results import result_stream\n"
        "print('before')\n"
        "with result_stream() as stream:\n"
        "    stream.write(b'result\\n')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert (done.stdout, done.stderr) == ("before\nresult\n", "")


def test_result_stream_gives_it_back_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="wrong"), result_stream():
        raise ValueError("wrong")
    os.write(1, b"after\n")
    assert capfd.readouterr().out == "after\n"


def test_result_streams_nest(capfd: pytest.CaptureFixture[str]) -> None:
    with result_stream() as outer:
        with result_stream():
            print("noise")
        print("noise")
        outer.write(b"result\n")
    assert capfd.readouterr() == ("result\n", "noise\nnoise\n")


def test_result_stream_leaks_no_descriptor(capfd: pytest.CaptureFixture[str]) -> None:
    def lowest_free() -> int:
        descriptor = os.dup(0)
        os.close(descriptor)
        return descriptor

    before = lowest_free()
    for _ in range(3):
        with result_stream():
            pass
    assert lowest_free() == before


def test_result_stream_where_standard_output_is_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    with result_stream() as stream:
        print("inside")
        stream.write(b"result\n")
    assert capsys.readouterr() == ("result\n", "inside\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("arguments", [("list-routers",), ("plugins",), ("doctor",), ("version",)])
def test_a_full_standard_output_is_one_sentence(arguments: tuple[str, ...]) -> None:
    program = Path(sys.executable).with_name("llmrouter")
    with open("/dev/full", "wb") as full:
        done = subprocess.run([str(program), *arguments], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr == "Error: standard output cannot be written: No space left on device\n"


@pytest.mark.parametrize("rows", [[], [{"a": 1}], {"a": "é", "b": None}])
def test_show_gives_json_where_there_is_no_terminal(capfd: pytest.CaptureFixture[str], rows: Any) -> None:
    show(rows, as_json=False, columns={"a": "A"})
    out = capfd.readouterr().out
    assert json.loads(out) == rows
    assert out.endswith("\n")
    assert "\\u" not in out


def test_names_that_are_no_utf_8_are_escaped(capfd: pytest.CaptureFixture[str]) -> None:
    rows = [{"path": os.fsdecode(b"caf\xe9")}]
    show(rows, as_json=True, columns={"path": "Path"})
    assert json.loads(capfd.readouterr().out) == rows
    assert "caf\\udce9" in drawn(rows, {"path": "Path"})


def drawn(rows: Sequence[Mapping[str, Any]], columns: dict[str, str], note: str | None = None) -> str:
    stream = io.BytesIO()
    write_table(stream, rows, columns, note)
    return stream.getvalue().decode()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (True, "yes"),
        (False, "no"),
        (0.123456, "0.123"),
        (12, "12"),
        (["a", 1], "a, 1"),
        ("[bold]x[/bold]", "[bold]x[/bold]"),
        ({"a": 1}, "{'a': 1}"),
    ],
)
def test_cells_read_well(value: object, shown: str) -> None:
    assert drawn([{"key": value}], {"key": "Heading"}).splitlines()[2].strip() == shown


def test_columns_without_content_are_left_out() -> None:
    rows: list[dict[str, Any]] = [{"a": 1, "b": None, "c": ""}, {"a": 2, "b": None}]
    assert drawn(rows, {"a": "A", "b": "B", "c": "C"}).split() == ["A", "─", "1", "2"]


def test_notes_stand_below_the_table() -> None:
    rows: list[dict[str, Any]] = [{"name": "one", "reason": "it [broke]"}, {"name": "two", "reason": None}]
    lines = drawn(rows, {"name": "Name"}, "reason").splitlines()
    assert [line.strip() for line in lines] == ["Name", "────", "one", "two", "", "one: it [broke]"]


def test_paths_are_shortened(tmp_path: Path) -> None:
    assert shorten(Path.cwd() / "a" / "b") == "a/b"
    assert shorten(Path.home() / ".llmrouter") == "~/.llmrouter"
    assert shorten("/elsewhere") == "/elsewhere"
    assert shorten(Path.cwd()) == str(Path.cwd())


@pytest.mark.parametrize(("as_json", "text"), [(False, "Nothing here.\n"), (True, "[]\n")])
def test_without_rows_a_terminal_is_told_so(
    monkeypatch: pytest.MonkeyPatch, as_json: bool, text: str
) -> None:
    class Terminal(io.BytesIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    monkeypatch.setattr("llmrouter_cli.results.result_stream", lambda: contextlib.nullcontext(stream))
    show([], as_json, {"a": "A"}, "Nothing here.")
    assert stream.getvalue().decode() == text
