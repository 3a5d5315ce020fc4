"""`llmrouter infer` has queries answered, keeps what was paid for, and goes on where it was interrupted."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmrouter.answering import AnsweredQuery
from llmrouter_testing.upstream import Reply, Upstream
from tests.cli.conftest import WAITING
from tests.timing import allowed

LLMROUTER = str(Path(sys.executable).with_name("llmrouter"))
BY_WORD = "return {'model_name': 'large' if 'large' in text else 'small', 'confidence': 0.75}"
TWO_ROUNDS = """
def answer_query(self, query, return_intermediate=False):
    parts = self.complete("small", f"take apart: {query}")
    return self.complete("large", parts.text).text
"""

FILES = ("--input", "in.txt", "--output", "out.jsonl", "--concurrency", "2")


@pytest.fixture
def chosen(
    router: Callable[..., list[str]], config: Callable[..., str], upstream: Upstream
) -> Callable[..., list[str]]:
    """Options that choose a router whose candidates are at the upstream; keywords are the configuration's."""

    def chosen(members: str = "", **sections: Any) -> list[str]:
        options = router(BY_WORD, members=members)
        llms = {"small": {"input_price": 1, "output_price": 2}, "large": {"cost": 1}}
        config(llms, **{"api_endpoint": upstream.url, **sections})
        return options

    return chosen


@pytest.fixture
def infer(invoke: Callable[..., Any], chosen: Callable[..., list[str]]) -> Callable[..., Any]:
    """Run `llmrouter infer` with that router."""

    def infer(*arguments: str, members: str = "", **sections: Any) -> Any:
        return invoke("infer", *chosen(members, **sections), *arguments)

    return infer


def asked(upstream: Upstream) -> list[str]:
    return sorted(request["messages"][-1]["content"] for request in upstream.requests)


def told(err: str) -> str:
    """Standard error, but for the line that says where the router is from."""
    return "".join(line for line in err.splitlines(True) if line.strip() and "Running router" not in line)


def lines(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def failing(*texts: str) -> Callable[[dict[str, Any]], str]:
    def script(request: dict[str, Any]) -> str:
        text = request["messages"][-1]["content"]
        if text in texts:
            raise Reply(400, {"error": {"message": f"no to {text}"}})
        return f"echo {text}"

    return script


class TestOneQuery:
    def test_is_one_object_with_answer_decision_usage_and_cost(self, infer: Any) -> None:
        done = infer("--query", "one two")
        assert (done.status, done.err) == (0, "")
        assert set(done.json) == set(AnsweredQuery.__struct_fields__)
        assert (done.json["response"], done.json["model_name"]) == ("echo one two", "small")
        assert done.json["usage"] == {"prompt_tokens": 2, "completion_tokens": 3}
        assert done.json["cost"] == pytest.approx(8e-6)
        assert (done.json["confidence"], done.json["router"]) == (0.75, "mine")
        assert done.json["answer_ms"] > 0

    def test_an_unknown_price_gives_an_unknown_cost(self, infer: Any) -> None:
        found = infer("--query", "a large one").json
        assert (found["model_name"], found["cost"]) == ("large", None)
        assert found["usage"] is not None

    def test_how_the_llm_is_asked(self, infer: Any, upstream: Upstream) -> None:
        infer("--query", "hi", "--temp", "0.5", "--max-tokens", "7", "--system", "be brief")
        (request,) = upstream.requests
        assert (request["temperature"], request["max_tokens"]) == (0.5, 7)
        assert [message["content"] for message in request["messages"]] == ["be brief", "hi"]

    def test_nothing_is_asked_with_route_only(self, infer: Any, upstream: Upstream) -> None:
        assert "response" not in infer("--query", "hi", "--route-only").json
        assert upstream.requests == []

    @pytest.mark.parametrize("format", ["json", "jsonl", "csv"])
    @pytest.mark.parametrize("to_file", [False, True])
    def test_in_every_format(self, infer: Any, format: str, to_file: bool) -> None:
        output = ("--output", f"out.{format}") if to_file else ("--output-format", format)
        done = infer("--query", "hi", *output)
        assert (done.status, done.err) == (0, "")
        text = Path(f"out.{format}").read_text() if to_file else done.out
        (row,) = csv.DictReader(io.StringIO(text)) if format == "csv" else [json.loads(text)]
        assert (row["response"], row["model_name"]) == ("echo hi", "small")
        usage = json.loads(row["usage"]) if format == "csv" else row["usage"]
        assert usage == {"prompt_tokens": 1, "completion_tokens": 2}

    def test_that_is_not_answered_is_an_error_in_one_line(self, infer: Any, upstream: Upstream) -> None:
        upstream.script = failing("hi")
        done = infer("--query", "hi", "--output", "out.json")
        assert (done.status, done.out) == (1, "")
        assert done.err == f"Error: small at {upstream.url} answered 400: no to hi\n"
        assert not Path("out.json").exists()

    def test_on_a_terminal_the_answer_comes_alone(
        self, terminal: Callable[..., Any], chosen: Any, upstream: Upstream
    ) -> None:
        upstream.script = lambda request: "caf\u00e9\r\n\tso\x1b[2J\x07"
        done = terminal("infer", *chosen(), "--query", "hi")
        assert (done.status, done.out) == (0, "caf\u00e9\n\tso\ufffd[2J\ufffd\n")
        assert "small · chosen by mine · confidence 0.75 · 1 + 2 tokens · 5e-06 USD" in done.err
        assert (
            json.loads(terminal("infer", *chosen(), "--query", "hi", "--json").out)["model_name"] == "small"
        )

    def test_time_is_limited(self, infer: Any, upstream: Upstream) -> None:
        upstream.script = lambda request: str(upstream.released.wait(120))
        started = time.monotonic()
        done = infer("--query", "hi", "--timeout", "0.3")
        assert done.status == 1
        assert "did not answer within 0.3 s" in done.err
        assert time.monotonic() - started < allowed(5)

    @pytest.mark.parametrize(
        "given", [("--timeout", "0"), ("--temp", "-1"), ("--max-tokens", "0"), ("--concurrency", "0")]
    )
    def test_values_out_of_range(self, infer: Any, given: tuple[str, ...]) -> None:
        assert infer("--query", "hi", *given).status == 2


class TestBeforeAnythingIsAsked:
    def test_nobody_can_be_called(self, infer: Any) -> None:
        done = infer("--query", "hi", api_endpoint=None)
        assert (done.status, done.out) == (1, "")
        assert done.err.startswith("Error: config.yaml: no candidate can be called: ")
        assert done.err.count("\n") == 1

    def test_some_can_be_called(
        self, invoke: Any, chosen: Any, config: Callable[..., str], upstream: Upstream
    ) -> None:
        options = chosen()
        config({"small": {"api_endpoint": upstream.url}, "large": {}})
        done = invoke("infer", *options, "--query", "hi")
        assert (done.status, done.json["response"]) == (0, "echo hi")
        assert done.err.startswith("Warning: 1 of 2 candidates cannot be called; the first: ")
        done = invoke("infer", *options, "--query", "a large one")
        assert (done.status, done.out) == (1, "")
        assert "it is not known where 'large' is called" in done.err

    def test_a_malformed_service(self, infer: Any) -> None:
        done = infer("--query", "hi", services={"acme": {"concurrency": "many"}})
        assert (done.status, done.out) == (1, "")
        assert "config.yaml:1: services.acme.concurrency: expected a whole number" in done.err

    def test_malformed_keys(self, infer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("API_KEYS", '{"acme": "s3cret"')
        done = infer("--query", "hi", "--debug")
        assert done.status == 1
        assert "API_KEYS begins like JSON and is not valid JSON" in done.err
        assert "s3cret" not in done.out + done.err

    @pytest.mark.parametrize(
        "output", ["nowhere/out.jsonl", "locked/out.jsonl", "out.d.jsonl", "read-only.csv"]
    )
    def test_an_output_that_cannot_be_written(self, infer: Any, upstream: Upstream, output: str) -> None:
        if output.startswith(("locked", "read-only")) and os.geteuid() == 0:
            pytest.skip("root may write everywhere")
        Path("in.txt").write_text("a\n")
        Path("locked").mkdir(0o500)
        Path("out.d.jsonl").mkdir()
        Path("read-only.csv").touch(0o400)
        done = infer("--input", "in.txt", "--output", output)
        assert (done.status, upstream.requests) == (1, [])
        assert done.err.startswith("Error: ")
        assert "cannot be written" in done.err

    @pytest.mark.parametrize(
        "given",
        [
            ("--query", "hi", "--output", "out.jsonl"),
            ("--input", "in.txt"),
            ("--input", "in.txt", "--output", "out.jsonl", "--route-only"),
            ("--input", "in.txt", "--output", "/dev/stdout", "--output-format", "jsonl"),
            ("--input", "in.txt", "--output", "/dev/null", "--output-format", "jsonl"),
        ],
    )
    def test_resume_needs_a_file_of_answers(self, infer: Any, given: tuple[str, ...]) -> None:
        Path("in.txt").write_text("a\n")
        done = infer(*given, "--resume")
        assert (done.status, done.out) == (2, "")


class TestRows:
    @pytest.fixture(autouse=True)
    def queries(self) -> None:
        Path("in.jsonl").write_text(
            '{"query": "a", "id": 1}\n\nnot json\n{"query": "bad"}\n{"query": "a large"}\n'
        )

    def test_go_to_standard_output_as_they_finish_with_their_numbers(
        self, infer: Any, upstream: Upstream
    ) -> None:
        upstream.script = failing("bad")
        done = infer("--input", "in.jsonl", "--concurrency", "2")
        rows = {row["line"]: row for row in done.lines}
        assert (done.status, set(rows)) == (1, {1, 3, 4, 5})
        assert (rows[1]["response"], rows[1]["id"], rows[5]["model_name"]) == ("echo a", 1, "large")
        assert rows[3]["error"].startswith("is not valid JSON")
        assert "answered 400: no to bad" in rows[4]["error"]
        first, second = done.err.splitlines()
        assert first == "2 answered: 3 + 5 tokens, 5e-06 USD and an unknown cost for 1"
        assert second.startswith("Error: 2 of 4 rows failed; the first: line ")

    @pytest.mark.parametrize("format", ["json", "jsonl", "csv"])
    def test_stand_in_a_file_in_the_order_of_the_input(
        self, infer: Any, upstream: Upstream, format: str
    ) -> None:
        upstream.script = failing("bad")
        done = infer("--input", "in.jsonl", "--output", f"out.{format}", "--concurrency", "4")
        assert (done.status, done.out) == (1, "")
        text = Path(f"out.{format}").read_text()
        if format == "csv":
            rows = [
                {key: value or None for key, value in row.items()}
                for row in csv.DictReader(io.StringIO(text))
            ]
        else:
            rows = json.loads(text) if format == "json" else lines("out.jsonl")
        assert [row.get("response") or None for row in rows] == ["echo a", None, None, "echo a large"]
        assert [bool(row.get("error")) for row in rows] == [False, True, True, False]

    def test_all_answered_leaves_the_output_alone(self, infer: Any) -> None:
        Path("in.txt").write_text("a\nb\n")
        before = set(os.listdir())
        done = infer("--input", "in.txt", "--output", "out.jsonl")
        assert (done.status, done.err) == (0, "2 answered: 2 + 4 tokens, 1e-05 USD\n")
        assert [row["response"] for row in lines("out.jsonl")] == ["echo a", "echo b"]
        assert set(os.listdir()) - before - {"custom_routers", "llm.json", "config.yaml"} == {"out.jsonl"}

    def test_come_from_standard_input(self, command: Callable[..., Any], chosen: Any) -> None:
        done = command("infer", *chosen(), "--input", "-", stdin='{"query": "a"}\n{"query": "b"}\n')
        assert done.status == 0
        assert {row["line"]: row["response"] for row in done.lines} == {1: "echo a", 2: "echo b"}

    @pytest.mark.parametrize("output", ["/dev/stdout", "pipe"])
    def test_go_straight_into_devices_and_pipes(
        self, command: Callable[..., Any], chosen: Any, output: str
    ) -> None:
        Path("in.txt").write_text("a\nb\n")
        read: list[str] = []
        if output == "pipe":
            os.mkfifo("pipe")
            reader = threading.Thread(target=lambda: read.append(Path("pipe").read_text()))
            reader.start()
        done = command(
            "infer", *chosen(), "--input", "in.txt", "--output", output, "--output-format", "jsonl"
        )
        if output == "pipe":
            reader.join(300)
        assert done.status == 0
        text = "".join(read) or done.out
        assert sorted(json.loads(line)["response"] for line in text.splitlines()) == ["echo a", "echo b"]
        assert not [name for name in os.listdir() if name.endswith((".partial", ".part"))]

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
    def test_a_full_device_is_told(self, command: Callable[..., Any], chosen: Any) -> None:
        Path("in.txt").write_text("a\n" * 20)
        given = ("--input", "in.txt", "--output", "/dev/full", "--output-format", "jsonl")
        done = command("infer", *chosen(), *given)
        assert (done.status, done.out) == (1, "")
        assert told(done.err) == "Error: /dev/full: cannot be written: No space left on device\n"

    def test_on_a_terminal_each_stands_below_its_query(
        self, terminal: Callable[..., Any], chosen: Any, upstream: Upstream
    ) -> None:
        upstream.script = failing("bad")
        done = terminal("infer", *chosen(), "--input", "in.jsonl", "--concurrency", "1")
        assert done.status == 1
        shown = done.out.splitlines()
        assert shown[shown.index("> a") + 1] == "echo a"
        assert "small · chosen by mine" in shown[shown.index("> a") + 2]
        assert any(line.startswith("line 3: is not valid JSON") for line in shown)

    def test_keys_are_not_in_rows_that_failed(
        self, infer: Any, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def script(request: dict[str, Any]) -> str:
            raise Reply(401, {"error": {"message": f"wrong key {upstream.keys[-1]}"}})

        upstream.script = script
        monkeypatch.setenv("API_KEYS", "s3cret-1,s3cret-2")
        done = infer("--input", "in.jsonl", "--output", "out.jsonl", "--debug")
        assert set(upstream.keys) == {"s3cret-1", "s3cret-2"}
        assert "wrong key [key]" in Path("out.jsonl").read_text()
        for text in (
            done.err,
            done.out,
            *(path.read_text() for path in Path().glob("*.*") if path.is_file()),
        ):
            assert "s3cret" not in text


class TestSeveralRounds:
    @pytest.mark.processes
    def test_one_query(self, infer: Any) -> None:
        found = infer("--query", "why so", members=TWO_ROUNDS).json
        assert found["response"] == "echo echo take apart: why so"
        assert [call["model_name"] for call in found["calls"]] == ["small", "large"]
        assert found["usage"] == {"prompt_tokens": 9, "completion_tokens": 11}
        assert (found["model_name"], found["cost"]) == ("large", None)

    @pytest.mark.processes
    def test_a_file(self, infer: Any) -> None:
        Path("in.txt").write_text("a\nb\n")
        assert infer("--input", "in.txt", "--output", "out.csv", members=TWO_ROUNDS).status == 0
        rows = list(csv.DictReader(io.StringIO(Path("out.csv").read_text())))
        assert [row["response"] for row in rows] == ["echo echo take apart: a", "echo echo take apart: b"]
        assert [len(json.loads(row["calls"])) for row in rows] == [2, 2]

    def test_one_that_returns_something_else(self, infer: Any) -> None:
        done = infer("--query", "hi", members="def answer_query(self, query):\n    return 5")
        assert (done.status, done.out) == (1, "")
        assert done.err == (
            "Error: answer_query returned int; expected text, or a dict with text under 'response'\n"
        )

    def test_with_route_only_it_decides_alone(self, infer: Any, upstream: Upstream) -> None:
        assert infer("--query", "hi", "--route-only", members=TWO_ROUNDS).json["model_name"] == "small"
        assert upstream.requests == []


class TestResume:
    @pytest.fixture
    def run(self, infer: Any) -> Callable[..., Any]:
        Path("in.txt").write_text("a\nb\nc\n")

        def run(*options: str, **sections: Any) -> Any:
            return infer("--input", "in.txt", "--output", "out.jsonl", *options, **sections)

        return run

    def test_asks_only_what_failed(self, run: Any, upstream: Upstream) -> None:
        upstream.script = failing("b")
        done = run()
        assert done.status == 1
        assert "--resume asks those that failed again" in done.err
        assert [row.get("response") for row in lines("out.jsonl")] == ["echo a", None, "echo c"]
        assert stat.S_IMODE(Path("out.jsonl.partial").stat().st_mode) == 0o600
        upstream.requests.clear()
        upstream.script = failing()
        done = run("--resume")
        assert (done.status, asked(upstream)) == (0, ["b"])
        assert done.err.splitlines() == [
            "2 answers of an earlier run are kept",
            "1 answered: 1 + 2 tokens, 5e-06 USD",
        ]
        assert [row["response"] for row in lines("out.jsonl")] == ["echo a", "echo b", "echo c"]
        assert not Path("out.jsonl.partial").exists()

    def test_asks_rows_that_changed_and_leaves_out_those_that_are_gone(
        self, run: Any, upstream: Upstream
    ) -> None:
        upstream.script = failing("c")
        run()
        upstream.requests.clear()
        Path("in.txt").write_text("a\nnew\n")
        assert run("--resume").status == 0
        assert asked(upstream) == ["new"]
        assert [row["response"] for row in lines("out.jsonl")] == ["echo a", "echo new"]

    def test_refuses_other_settings_but_not_another_time_limit_or_endpoint(
        self, run: Any, upstream: Upstream
    ) -> None:
        upstream.script = failing("b")
        run("--temp", "0.5")
        upstream.requests.clear()
        done = run("--temp", "1", "--resume")
        assert (done.status, upstream.requests) == (1, [])
        assert "temperature was 0.5 and is 1.0 now" in done.err
        upstream.script = failing()
        again = upstream.url.replace("127.0.0.1", "localhost")
        assert run("--temp", "0.5", "--resume", "--timeout", "5", api_endpoint=again).status == 0
        assert asked(upstream) == ["b"]

    def test_without_it_answers_are_not_asked_again(self, run: Any, upstream: Upstream) -> None:
        upstream.script = failing("b")
        run()
        upstream.requests.clear()
        done = run()
        assert (done.status, upstream.requests) == (1, [])
        assert "go on with --resume, or remove it" in done.err

    def test_of_a_run_that_is_complete_asks_nothing(self, run: Any, upstream: Upstream) -> None:
        run()
        upstream.requests.clear()
        before = Path("out.jsonl").read_text()
        done = run("--resume")
        assert (done.status, upstream.requests) == (1, [])
        assert "there is nothing to go on with" in done.err
        assert Path("out.jsonl").read_text() == before

    def test_where_nothing_was_answered_nothing_stays_behind(self, run: Any, upstream: Upstream) -> None:
        upstream.script = failing("a", "b", "c")
        done = run()
        assert done.status == 1
        assert "--resume" not in done.err
        assert not Path("out.jsonl.partial").exists()


class TestInterruption:
    @pytest.fixture
    def stopping(self, chosen: Any, upstream: Upstream) -> Callable[..., list[str]]:
        """Answers hang once three of them are given; then there is a file `started`."""
        Path("in.txt").write_text("".join(f"q{number}\n" for number in range(30)))
        answers = iter(range(3))

        def script(request: dict[str, Any]) -> str:
            if next(answers, None) is None:
                # Given time to be written.
                threading.Timer(0.5, Path("started").touch).start()
                upstream.released.wait(30)
            return f"echo {request['messages'][-1]['content']}"

        upstream.script = script
        return chosen  # type: ignore[no-any-return]

    @pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
    @pytest.mark.parametrize("members", ["", TWO_ROUNDS.replace("take apart: ", "")], ids=["one", "several"])
    def test_keeps_the_answers_and_goes_on(
        self,
        interrupted: Callable[..., Any],
        stopping: Any,
        command: Callable[..., Any],
        upstream: Upstream,
        by: signal.Signals,
        members: str,
    ) -> None:
        given = (
            "infer",
            *stopping(members),
            "--input",
            "in.txt",
            "--output",
            "out.jsonl",
            "--concurrency",
            "2",
        )
        started = time.monotonic()
        done = interrupted(*given, by=by)
        assert time.monotonic() - started < allowed(25)
        assert (done.status, done.out) == (130, "")
        assert "Traceback" not in done.err
        assert "Exception" not in done.err
        assert kept_of(done.err) == (1 if members else 3)
        assert done.err.splitlines()[-1] == "Interrupted"
        assert not Path("out.jsonl").exists()
        assert not list(Path().glob(".out*"))
        first = len(upstream.requests)

        upstream.script = lambda request: f"echo {request['messages'][-1]['content']}"
        done = command(*given, "--resume")
        assert done.status == 0
        assert len(lines("out.jsonl")) == 30
        again = [request["messages"][-1]["content"] for request in upstream.requests[first:]]
        assert len(again) == (29 * 2 if members else 27)

    def test_of_rows_that_go_to_standard_output(self, interrupted: Callable[..., Any], stopping: Any) -> None:
        done = interrupted("infer", *stopping(), "--input", "in.txt", "--concurrency", "2")
        assert done.status == 130
        assert len(done.out.splitlines()) == 3
        assert done.err.splitlines()[-1] == "Interrupted"
        assert "Traceback" not in done.err

    def test_of_one_query(self, interrupted: Callable[..., Any], chosen: Any, upstream: Upstream) -> None:
        def script(request: dict[str, Any]) -> str:
            Path("started").touch()
            return str(upstream.released.wait(30))

        upstream.script = script
        started = time.monotonic()
        done = interrupted("infer", *chosen(), "--query", "hi")
        assert (done.status, done.out, told(done.err)) == (130, "", "Interrupted\n")
        assert time.monotonic() - started < allowed(20)

    def test_while_a_router_is_busy_by_itself(self, interrupted: Callable[..., Any], chosen: Any) -> None:
        Path("in.txt").write_text("a\n")
        busy = f"def answer_query(self, query):\n    open('started', 'w').close()\n    {WAITING}"
        started = time.monotonic()
        done = interrupted("infer", *chosen(busy), "--input", "in.txt", "--output", "out.jsonl")
        assert (done.status, told(done.err)) == (130, "Interrupted\n")
        assert time.monotonic() - started < allowed(20)
        assert not Path("out.jsonl.partial").exists()

    def test_by_a_kill_that_cannot_be_caught(
        self, chosen: Any, stopping: Any, command: Any, upstream: Upstream
    ) -> None:
        given = ["infer", *stopping(), "--input", "in.txt", "--output", "out.jsonl", "--concurrency", "2"]
        with subprocess.Popen([LLMROUTER, *given], stderr=subprocess.DEVNULL) as process:
            deadline = time.monotonic() + 300
            while not Path("started").exists() and time.monotonic() < deadline:
                time.sleep(0.02)
            done = command(*given, "--resume")
            assert (done.status, "is being written by another run" in done.err) == (1, True)
            process.kill()
        upstream.script = lambda request: "after"
        assert command(*given, "--resume").status == 0
        answers = [row["response"] for row in lines("out.jsonl")]
        assert (len(answers), answers.count("after")) == (30, 27)


def kept_of(told: str) -> int:
    """How many answers are said to be kept."""
    (line,) = [line for line in told.splitlines() if "kept" in line]
    count, rest = line.split(" ", 1)
    assert rest == "answers are kept in out.jsonl.partial; go on with --resume"
    return int(count)


@pytest.mark.llm
class TestWithARealLLM:
    @pytest.fixture
    def real(self, local_llm: str, router: Callable[..., list[str]], config: Callable[..., str]) -> list[str]:
        options = router(BY_WORD)
        llm = {"api_endpoint": local_llm, "parameters": {"temperature": 0, "max_tokens": 8}}
        config({"small": {**llm, "input_price": 1, "output_price": 2}, "large": llm})
        return options

    @pytest.mark.processes
    def test_one_query(self, invoke: Callable[..., Any], real: list[str]) -> None:
        done = invoke("infer", *real, "--query", "What is the capital of France?")
        assert (done.status, done.err) == (0, "")
        found = done.json
        assert found["response"].strip()
        assert found["upstream_model"]
        usage = found["usage"]
        assert usage["prompt_tokens"] > 5
        assert 1 <= usage["completion_tokens"] <= 8
        price = usage["prompt_tokens"] + 2 * usage["completion_tokens"]
        assert found["cost"] == pytest.approx(price / 1e6)

    @pytest.mark.processes
    def test_a_file(self, invoke: Callable[..., Any], real: list[str]) -> None:
        Path("in.txt").write_text("Say hello.\nName a large animal.\nCount to three.\n")
        done = invoke("infer", *real, "--input", "in.txt", "--output", "out.jsonl", "--concurrency", "2")
        assert done.status == 0
        rows = lines("out.jsonl")
        assert [row["model_name"] for row in rows] == ["small", "large", "small"]
        assert all(row["response"].strip() for row in rows)
        assert "an unknown cost for 1" in done.err
