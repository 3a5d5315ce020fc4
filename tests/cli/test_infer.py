"""`llmrouter infer` decides for one query or for a file of them, and says which rows it could not route."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmrouter.decision import RoutingDecision
from tests.cli.conftest import WAITING

LLMROUTER = str(Path(sys.executable).with_name("llmrouter"))
FIELDS = set(RoutingDecision.__struct_fields__)

# What the router does for a query of that text; anything else goes to "small".
STEERED = """
    if text == "raise":
        raise KeyError("it broke")
    if text == "exit":
        raise SystemExit(0)
    return {
        "text": "large",
        "none": None,
        "nameless": {},
        "outsider": {"model_name": "gpt-9"},
        "object": {"model_name": "small", "what": object()},
        "two names": {"model_name": "small", "predicted_llm": "large"},
        "surrogate": {"model_name": "small", "what": "\\ud800"},
        "older name": {"predicted_llm": "large"},
        "nested": {"model_name": "small", "scores": {"small": 1.0}, "extra words": ["a", 'b"']},
    }.get(text, {"model_name": "small"})
"""

ROW_ERRORS = [
    ("raise", "the router failed: KeyError: 'it broke' (router.py, line"),
    ("exit", "the router failed: SystemExit: 0"),
    ("text", "the router returned str, not a dict"),
    ("none", "the router returned NoneType, not a dict"),
    ("nameless", "the router named no LLM"),
    ("outsider", "the router named 'gpt-9', which is not one of the candidates"),
    ("two names", "the router named two LLMs, 'small' as model_name and 'large' as predicted_llm"),
    ("object", "the router's result cannot be written: object has no form in JSON"),
    ("surrogate", "the router's result cannot be written: "),
]


@pytest.fixture
def steered(router: Callable[..., list[str]]) -> list[str]:
    """Options that choose a router that does what the query's text says."""
    return [*router(STEERED), "--route-only"]


def rows_of(text: str, format: str) -> list[dict[str, Any]]:
    """Decode an output; what CSV leaves empty is None."""
    if format == "csv":
        return [
            {key: value or None for key, value in row.items()} for row in csv.DictReader(io.StringIO(text))
        ]
    found = json.loads(text) if format == "json" else [json.loads(line) for line in text.splitlines()]
    assert isinstance(found, list)
    return found


def jsonl(*rows: Any) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


class TestOneQuery:
    def test_gives_one_object(self, invoke: Callable[..., Any], steered: list[str]) -> None:
        done = invoke("infer", *steered, "--query", "What is AI?")
        assert (done.status, done.err) == (0, "")
        assert set(done.json) == FIELDS
        assert (done.json["model_name"], done.json["predicted_llm"]) == ("small", "small")
        assert (done.json["query"], done.json["router"]) == ("What is AI?", "mine")
        assert done.out.count("\n") == 1

    def test_by_its_older_name_too(self, invoke: Callable[..., Any], steered: list[str]) -> None:
        assert invoke("infer", *steered, "--query", "older name").json["model_name"] == "large"

    def test_names_the_installed_router_and_its_version(
        self, invoke: Callable[..., Any], config: Callable[..., str]
    ) -> None:
        chosen = ("--router", "randomrouter", "--config", config(), "--route-only")
        found = invoke("infer", *chosen, "--query", "hi").json
        assert (found["router"], found["router_version"]) == ("randomrouter", "0.1.0")

    @pytest.mark.parametrize("format", ["json", "jsonl", "csv"])
    @pytest.mark.parametrize("to_file", [False, True])
    def test_in_every_format(
        self, invoke: Callable[..., Any], steered: list[str], format: str, to_file: bool
    ) -> None:
        output = ("--output", f"out.{format}") if to_file else ("--output-format", format)
        done = invoke("infer", *steered, "--query", "nested", *output)
        assert (done.status, done.err) == (0, "")
        text = Path(f"out.{format}").read_text() if to_file else done.out
        assert bool(done.out) is not to_file
        row = json.loads(text) if format == "json" else rows_of(text, format)[0]
        assert (row["model_name"], row["query"]) == ("small", "nested")

    @pytest.mark.parametrize(("text", "told"), ROW_ERRORS)
    @pytest.mark.parametrize("output", [(), ("--output", "out.json"), ("--output", "out.csv")])
    def test_that_cannot_be_routed_is_an_error_and_writes_nothing(
        self, invoke: Callable[..., Any], steered: list[str], text: str, told: str, output: tuple[str, ...]
    ) -> None:
        before = sorted(os.listdir())
        done = invoke("infer", *steered, "--query", text, *output)
        assert (done.status, done.out) == (1, "")
        assert done.err.startswith(f"Error: {told}")
        assert done.err.count("\n") == 1
        assert sorted(os.listdir()) == before

    def test_that_is_not_utf_8_is_wrong_usage(self, command: Callable[..., Any], steered: list[str]) -> None:
        done = command("infer", *steered, "--query", os.fsdecode(b"caf\xe9"))
        assert (done.status, done.out) == (2, "")
        assert "--query is not UTF-8 text" in done.err
        assert "Traceback" not in done.err


class TestUsage:
    @pytest.mark.parametrize("given", [(), ("--query", "hi", "--input", "in.txt")])
    def test_either_a_query_or_an_input(
        self, invoke: Callable[..., Any], steered: list[str], given: tuple[str, ...]
    ) -> None:
        done = invoke("infer", *steered, *given)
        assert (done.status, done.out) == (2, "")
        assert "give either --query or --input" in done.err

    @pytest.mark.parametrize("path", ["out", "out.xlsx", "out.json.gz", ".json"])
    def test_a_suffix_that_tells_no_format(
        self, invoke: Callable[..., Any], steered: list[str], path: str
    ) -> None:
        done = invoke("infer", *steered, "--query", "hi", "--output", path)
        assert done.status == 2
        assert f"{path!r} tells no format; end it in .json, .jsonl or .csv" in done.err
        assert not Path(path).exists()

    def test_the_format_may_be_given_beside_the_suffix(
        self, invoke: Callable[..., Any], steered: list[str]
    ) -> None:
        path = "out.json"
        assert (
            invoke("infer", *steered, "--query", "hi", "--output", path, "--output-format", "csv").status == 0
        )
        assert Path(path).read_text().startswith("model_name,")

    def test_a_suffix_in_capitals(self, invoke: Callable[..., Any], steered: list[str]) -> None:
        assert invoke("infer", *steered, "--query", "hi", "--output", "OUT.JSON").status == 0
        assert json.loads(Path("OUT.JSON").read_text())["model_name"] == "small"

    @pytest.mark.parametrize(
        "given", [("--batch-size", "0"), ("--batch-size", "x"), ("--output-format", "xml")]
    )
    def test_values_out_of_range(
        self, invoke: Callable[..., Any], steered: list[str], given: tuple[str, ...]
    ) -> None:
        assert invoke("infer", *steered, "--query", "hi", *given).status == 2


class TestBeforeAnythingIsWritten:
    """Errors of the configuration, candidates, router and paths are one sentence and leave no file."""

    def stops(self, done: Any, *told: str) -> None:
        assert (done.status, done.out) == (1, "")
        assert done.err.startswith("Error: ")
        assert done.err.count("\n") == 1
        for words in told:
            assert words in done.err
        assert not [name for name in os.listdir() if name.startswith((".out", "out."))]

    @pytest.fixture(params=["--query", "--input"])
    def route(
        self, request: pytest.FixtureRequest, invoke: Callable[..., Any], write: Callable[[str, str], Path]
    ) -> Callable[..., Any]:
        write("in.txt", "hi\n")
        write("out.d/kept", "")
        given = ("--query", "hi") if request.param == "--query" else ("--input", "in.txt")

        def route(*arguments: str, output: str = "result.jsonl") -> Any:
            done = invoke("infer", *arguments, *given, "--route-only", "--output", output)
            assert not Path("result.jsonl").exists()
            os.unlink("out.d/kept")
            os.rmdir("out.d")
            return done

        return route

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("", "config.yaml: is empty"),
            ("# only a comment\n", "config.yaml: is empty"),
            ("data_path: [1\n", "config.yaml:2: is not valid YAML"),
            ("a: b: c\n", "config.yaml:1: is not valid YAML"),
            ("\ta: 1\n", "config.yaml:1: is not valid YAML"),
            ("- a\n", "config.yaml: expected 'key: value' lines, found a list"),
            ("hparam:\n  x: 1\ndata_path: text\n", "config.yaml:3: data_path: expected a section"),
            ("hparam: {}\n", "data_path.llm_data: is missing"),
            ("data_path:\n  llm_data: 5\n", "config.yaml:2: data_path.llm_data: expected the path of a file"),
            ("data_path:\n  llm_data: none.json\n", "config.yaml:2: data_path.llm_data: there is no"),
        ],
    )
    def test_the_configuration(self, route: Callable[..., Any], text: str, told: str) -> None:
        Path("config.yaml").write_text(text)
        self.stops(route("--router", "randomrouter", "--config", "config.yaml"), told)

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("", "llm.json: is empty"),
            ('{\n"small": {"cost": 1},\n"large": {"co', "llm.json:3: is not valid JSON"),
            ("{}", "llm.json: names no LLM"),
            ('["small"]', "llm.json: expected an object"),
            ('{\n"small": 5}', "llm.json:2: small: expected an object, found a number"),
            ('{"small":\n{"cost": "dear"}}', "llm.json:2: small.cost: expected a number from 0"),
        ],
    )
    def test_the_candidates(
        self, route: Callable[..., Any], config: Callable[..., str], text: str, told: str
    ) -> None:
        path = config()
        Path("llm.json").write_text(text)
        self.stops(route("--router", "randomrouter", "--config", path), told)

    def test_no_configuration(self, route: Callable[..., Any]) -> None:
        self.stops(
            route("--router", "randomrouter", "--config", "none.yaml"), "none.yaml: there is no such file"
        )

    @pytest.mark.parametrize(
        ("name", "told"),
        [
            ("randomruter", "Unknown router: randomruter; did you mean randomrouter?"),
            ("RandomRooter", "did you mean randomrouter?"),
            ("xyzzy", "Unknown router: xyzzy; there are randomrouter. Install the package"),
            ("dir:randomrouter", "there is llmrouter-random:randomrouter"),
        ],
    )
    def test_an_unknown_router(
        self, route: Callable[..., Any], config: Callable[..., str], name: str, told: str
    ) -> None:
        self.stops(route("--router", name, "--config", config()), told)

    @pytest.mark.parametrize(
        ("body", "told"),
        [
            ("raise KeyError('weights')", "failed: KeyError: 'weights'"),
            ("raise SystemExit(0)", "failed: SystemExit: 0"),
            ("import absent_module", "install what provides 'absent_module'"),
            (
                "raise RuntimeError('one' + chr(10) + 'two')",
                "failed: RuntimeError: one two",
            ),
        ],
    )
    def test_a_router_that_cannot_be_made(
        self, route: Callable[..., Any], router: Callable[..., list[str]], body: str, told: str
    ) -> None:
        self.stops(
            route(*router(members=f"def __init__(self, yaml_path):\n    {body}")), "Router 'mine'", told
        )

    @pytest.mark.parametrize(
        ("output", "told"),
        [
            ("missing/out.jsonl", "missing/out.jsonl: cannot be written: No such file or directory"),
            ("in.txt/out.jsonl", "in.txt/out.jsonl: cannot be written: Not a directory"),
            ("folder.jsonl", "folder.jsonl: cannot be written: Is a directory"),
        ],
    )
    def test_an_output_that_cannot_be_written(
        self,
        route: Callable[..., Any],
        config: Callable[..., str],
        write: Callable[[str, str], Path],
        output: str,
        told: str,
    ) -> None:
        write("in.txt", "hi\n")
        Path("folder.jsonl").mkdir()
        self.stops(route("--router", "randomrouter", "--config", config(), output=output), told)

    def test_state_for_a_router_that_keeps_none(
        self, route: Callable[..., Any], config: Callable[..., str]
    ) -> None:
        done = route("--router", "randomrouter", "--config", config(), "--load-model-path", "state.json")
        self.stops(done, "state.json: RandomRouter has no state to load")

    @pytest.mark.parametrize(
        ("path", "told"),
        [
            ("none.jsonl", "none.jsonl: there is no such file"),
            ("in.csv", "in.csv: cannot tell its format from the suffix; use .jsonl, .json, .txt or '-'"),
            ("folder.jsonl", "folder.jsonl: cannot be read: Is a directory"),
            ("truncated.json", "truncated.json:1: is not valid JSON"),
            ("empty.json", "empty.json: is empty"),
            ("object.json", "object.json: expected a list of queries, found an object"),
        ],
    )
    def test_an_input_that_cannot_be_read(
        self,
        invoke: Callable[..., Any],
        config: Callable[..., str],
        write: Callable[[str, str], Path],
        path: str,
        told: str,
    ) -> None:
        Path("folder.jsonl").mkdir()
        write("truncated.json", '[{"query": ')
        write("empty.json", "")
        write("object.json", "{}")
        done = invoke(
            "infer",
            *("--router", "randomrouter", "--config", config(), "--route-only"),
            *("--input", path, "--output", "out.jsonl"),
        )
        self.stops(done, told)

    @pytest.mark.parametrize("name", ["/dev/full", "full.jsonl"])
    def test_a_full_device(
        self,
        invoke: Callable[..., Any],
        config: Callable[..., str],
        write: Callable[[str, str], Path],
        name: str,
    ) -> None:
        if not Path("/dev/full").exists():
            pytest.skip("there is no /dev/full here")
        write("in.txt", "hi\n")
        Path("full.jsonl").symlink_to("/dev/full")
        done = invoke(
            "infer",
            *("--router", "randomrouter", "--config", config(), "--route-only"),
            *("--input", "in.txt", "--output", name, "--output-format", "jsonl"),
        )
        self.stops(done, f"{name}: cannot be written: No space left on device")

    @pytest.mark.parametrize("given", [("--query", "hi"), ("--input", "in.txt")])
    def test_a_full_standard_output(
        self, config: Callable[..., str], write: Callable[[str, str], Path], given: tuple[str, str]
    ) -> None:
        if not Path("/dev/full").exists():
            pytest.skip("there is no /dev/full here")
        write("in.txt", "hi\n")
        program = [LLMROUTER, "infer", "--router", "randomrouter", "--config", config(), *given]
        with open("/dev/full", "wb") as full:
            done = subprocess.run(
                [*program, "--route-only"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=300
            )
        assert done.returncode == 1
        assert done.stderr == "Error: standard output cannot be written: No space left on device\n"


class TestRows:
    @pytest.mark.parametrize("format", ["json", "jsonl", "csv"])
    @pytest.mark.parametrize("to_file", [False, True])
    def test_in_every_format(
        self,
        invoke: Callable[..., Any],
        steered: list[str],
        write: Callable[[str, str], Path],
        format: str,
        to_file: bool,
    ) -> None:
        queries = [{"query": "one", "id": "a"}, {"quer": 1}, {"query": "raise", "id": "c"}, {"query": "café"}]
        write("in.jsonl", jsonl(*queries))
        output = ("--output", f"out.{format}") if to_file else ("--output-format", format)
        done = invoke("infer", *steered, "--input", "in.jsonl", *output)
        assert done.status == 1
        assert bool(done.out) is not to_file
        rows = rows_of(Path(f"out.{format}").read_text() if to_file else done.out, format)
        assert [row.get("model_name") for row in rows] == ["small", None, None, "small"]
        assert [row["query"] for row in rows] == ["one", None, "raise", "café"]
        assert [row["id"] for row in rows] == ["a", None, "c", None]
        assert [str(row.get("line")) for row in rows] == ["None", "2", "3", "None"]
        assert rows[1]["error"] == "'quer' is unknown; did you mean 'query'?"
        assert rows[2]["error"].startswith("the router failed: KeyError: 'it broke'")
        assert "error" not in rows[0] or format == "csv"

    def test_error_rows_are_counted_on_standard_error(
        self, invoke: Callable[..., Any], steered: list[str], write: Callable[[str, str], Path]
    ) -> None:
        write("in.txt", "fine\noutsider\nraise\n")
        done = invoke("infer", *steered, "--input", "in.txt")
        assert done.err == (
            "Error: 2 of 3 rows failed; the first: line 2: "
            "the router named 'gpt-9', which is not one of the candidates\n"
        )

    @pytest.mark.parametrize(("text", "told"), ROW_ERRORS)
    def test_what_a_router_can_do_wrong_costs_one_row(
        self,
        invoke: Callable[..., Any],
        steered: list[str],
        write: Callable[[str, str], Path],
        text: str,
        told: str,
    ) -> None:
        write("in.txt", f"before\n{text}\nafter\n")
        done = invoke("infer", *steered, "--input", "in.txt")
        assert done.status == 1
        before, wrong, after = done.lines
        assert (before["model_name"], after["model_name"]) == ("small", "small")
        assert set(wrong) == {"line", "error", "query", "id"}
        assert (wrong["line"], wrong["query"], wrong["id"]) == (2, text, None)
        assert wrong["error"].startswith(told)

    @pytest.mark.parametrize(
        ("line", "told"),
        [
            (b'{"query": "cut', "is not valid JSON"),
            (b"not JSON", "is not valid JSON"),
            (b'{"query": "\xff"}', "is not valid JSON"),
            (b"[" * 5000, "is not valid JSON"),
            (b'{"query": NaN}', "is not valid JSON"),
            (b'["a"]', "expected an object with the key 'query', found a list"),
            (b"null", "expected an object with the key 'query', found null"),
            (b"{}", "has no 'query'"),
            (b'{"query": null}', "'query' is null, not text"),
            (b'{"query": 5}', "'query' is a number, not text"),
            (
                b'{"query": "c", "allowed_llm": ["large"]}',
                "'allowed_llm' is unknown; did you mean 'allowed_llms'?",
            ),
            (
                b'{"query": "c", "cost_contraint": 0.1}',
                "'cost_contraint' belongs inside 'routing_constraint'",
            ),
        ],
    )
    def test_a_malformed_line_costs_one_row(
        self, invoke: Callable[..., Any], steered: list[str], line: bytes, told: str
    ) -> None:
        Path("in.jsonl").write_bytes(b'{"query": "a"}\n' + line + b'\n{"query": "b"}')
        done = invoke("infer", *steered, "--input", "in.jsonl")
        assert done.status == 1
        assert [row.get("model_name") for row in done.lines] == ["small", None, "small"]
        assert done.lines[1]["line"] == 2
        assert done.lines[1]["error"].startswith(told)

    def test_blank_lines_are_skipped_and_counted(
        self, invoke: Callable[..., Any], steered: list[str]
    ) -> None:
        Path("in.jsonl").write_bytes(b'\xef\xbb\xbf{"query": "a"}\r\n\r\n   \n\n{"quer": 1}\n\n')
        done = invoke("infer", *steered, "--input", "in.jsonl")
        assert [row.get("line") for row in done.lines] == [None, 5]
        assert done.lines[0]["query"] == "a"

    def test_a_json_list_counts_items(
        self, invoke: Callable[..., Any], steered: list[str], write: Callable[[str, str], Path]
    ) -> None:
        write("in.json", json.dumps(["plain text", {"query": "an object", "id": 7}, 5]))
        done = invoke("infer", *steered, "--input", "in.json")
        assert done.status == 1
        assert [row["query"] for row in done.lines] == ["plain text", "an object", None]
        assert done.lines[1]["id"] == 7
        assert done.lines[2]["item"] == 3
        assert "line" not in done.lines[2]
        assert "the first: item 3: expected an object" in done.err

    def test_a_line_of_text_is_a_query(self, invoke: Callable[..., Any], steered: list[str]) -> None:
        Path("in.txt").write_bytes(b'  one \r\n\n{"query": 2}\nt\xff\n')
        rows = invoke("infer", *steered, "--input", "in.txt").lines
        assert [row["query"] for row in rows] == ["one", '{"query": 2}', None]
        assert rows[2]["line"] == 4
        assert rows[2]["error"].startswith("is not UTF-8 text")

    @pytest.mark.parametrize(("format", "text"), [("json", "[]\n"), ("jsonl", ""), ("csv", "model_name")])
    @pytest.mark.parametrize(("source", "content"), [("in.jsonl", "\n"), ("in.txt", ""), ("in.json", "[]")])
    def test_no_rows(
        self,
        invoke: Callable[..., Any],
        steered: list[str],
        write: Callable[[str, str], Path],
        format: str,
        text: str,
        source: str,
        content: str,
    ) -> None:
        write(source, content)
        done = invoke("infer", *steered, "--input", source, "--output-format", format)
        assert (done.status, done.out.partition(",")[0]) == (0, text)
        assert done.err == "Warning: the input holds no query.\n"

    def test_only_error_rows(
        self, invoke: Callable[..., Any], steered: list[str], write: Callable[[str, str], Path]
    ) -> None:
        write("in.jsonl", "x\ny\n")
        done = invoke("infer", *steered, "--input", "in.jsonl", "--output-format", "json")
        assert done.status == 1
        assert [row["line"] for row in done.json] == [1, 2]

    @pytest.mark.parametrize("size", [1, 2, 3, 1024])
    @pytest.mark.parametrize("format", ["json", "jsonl", "csv"])
    def test_the_size_of_batches_changes_nothing_else(
        self,
        invoke: Callable[..., Any],
        router: Callable[..., list[str]],
        write: Callable[[str, str], Path],
        size: int,
        format: str,
    ) -> None:
        batch = "return [{'model_name': 'small', 'size': len(batch)} for _ in batch]"
        chosen = router(members=f"def route_batch(self, batch):\n    {batch}")
        write("in.txt", "a\nb\nc\n")
        done = invoke(
            *("infer", *chosen, "--route-only", "--input", "in.txt"),
            *("--output-format", format, "--batch-size", str(size)),
        )
        assert done.status == 0
        rows = rows_of(done.out, format)
        assert [row["query"] for row in rows] == ["a", "b", "c"]
        extras = [json.loads(row["extra"]) if format == "csv" else row["extra"] for row in rows]
        assert [extra["size"] for extra in extras] == {
            1: [1, 1, 1],
            2: [2, 2, 1],
            3: [3, 3, 3],
            1024: [3, 3, 3],
        }[size]

    @pytest.mark.parametrize(
        ("answer", "told"),
        [
            ("[]", "route_batch returned 0 results for 2 queries"),
            ("[{'model_name': 'small'}] * 3", "route_batch returned 3 results for 2 queries"),
            ("None", "route_batch returned NoneType for 2 queries"),
            ("{'model_name': 'small'}", "route_batch returned dict for 2 queries"),
        ],
    )
    def test_a_wrong_number_of_results_costs_its_batch(
        self,
        invoke: Callable[..., Any],
        router: Callable[..., list[str]],
        write: Callable[[str, str], Path],
        answer: str,
        told: str,
    ) -> None:
        right = "[{'model_name': 'large'} for _ in batch]"
        chosen = router(
            members=f"def route_batch(self, batch):\n"
            f"    return {answer} if batch[0]['query'] == 'wrong' else {right}"
        )
        write("in.txt", "a\nb\nwrong\nd\ne\n")
        done = invoke("infer", *chosen, "--route-only", "--input", "in.txt", "--batch-size", "2")
        assert done.status == 1
        assert [row.get("model_name") for row in done.lines] == ["large", "large", None, None, "large"]
        assert [row.get("line") for row in done.lines] == [None, None, 3, 4, None]
        assert done.lines[2]["error"] == done.lines[3]["error"] == told

    def test_a_batch_that_raises_is_routed_one_by_one(
        self,
        command: Callable[..., Any],
        router: Callable[..., list[str]],
        write: Callable[[str, str], Path],
    ) -> None:
        chosen = router(STEERED, members="def route_batch(self, batch):\n    raise RuntimeError('whole')")
        write("in.txt", "a\nraise\nc\n")
        done = command("infer", *chosen, "--route-only", "--input", "in.txt")
        assert [row.get("model_name") for row in done.lines] == ["small", None, "small"]
        assert "routing one by one: RuntimeError: whole" in done.err
        assert "Traceback" not in done.err

    def test_arrays_become_lists(
        self, invoke: Callable[..., Any], router: Callable[..., list[str]], write: Callable[[str, str], Path]
    ) -> None:
        pytest.importorskip("numpy")
        body = """
            import numpy
            scores = {'small': numpy.float32(0.5)}
            return {'model_name': 'small', 'scores': scores, 'vector': numpy.arange(3)}
        """
        write("in.txt", "a\n")
        (row,) = invoke("infer", *router(body), "--route-only", "--input", "in.txt").lines
        assert row["scores"] == {"small": 0.5}
        assert row["extra"] == {"vector": [0, 1, 2]}

    def test_what_is_nested_stands_in_its_csv_cell_as_json(
        self, invoke: Callable[..., Any], steered: list[str], write: Callable[[str, str], Path]
    ) -> None:
        write("in.json", json.dumps([{"query": "nested", "id": ["a", 1]}, 'with "quotes",\nand a line']))
        done = invoke("infer", *steered, "--input", "in.json", "--output-format", "csv")
        first, second = rows_of(done.out, "csv")
        assert first["query"] == "nested"
        assert json.loads(first["scores"]) == {"small": 1.0}
        assert json.loads(first["extra"]) == {"extra words": ["a", 'b"']}
        assert json.loads(first["id"]) == ["a", 1]
        assert second["query"] == 'with "quotes",\nand a line'

    def test_csv_has_the_same_columns_whatever_the_rows(
        self, invoke: Callable[..., Any], steered: list[str], write: Callable[[str, str], Path]
    ) -> None:
        write("good.txt", "a\n")
        write("bad.json", "[5]")
        good = invoke("infer", *steered, "--input", "good.txt", "--output-format", "csv").out
        bad = invoke("infer", *steered, "--input", "bad.json", "--output-format", "csv").out
        columns = good.splitlines()[0].split(",")
        assert set(columns) == FIELDS | {"line", "error"}
        assert bad.splitlines()[0].split(",") == [name.replace("line", "item") for name in columns]

    def test_the_saved_state_given_goes_before_the_configured_one(
        self, invoke: Callable[..., Any], router: Callable[..., list[str]], config: Callable[..., str]
    ) -> None:
        chosen = router(
            "return {'model_name': self.choice}",
            members="""
                def load_router(self, path):
                    with open(path) as state:
                        self.choice = state.read()
            """,
        )
        Path("configured").write_text("small")
        Path("given").write_text("large")
        config(model_path={"load_model_path": "configured"})
        route = ("infer", *chosen, "--route-only", "--query", "hi")
        assert invoke(*route).json["model_name"] == "small"
        assert invoke(*route, "--load-model-path", "given").json["model_name"] == "large"
        missing = invoke(*route, "--load-model-path", "absent")
        assert missing.status == 1
        assert missing.err.startswith("Error: load_router of 'mine' failed: FileNotFoundError")

    def test_observers_see_every_decision_and_cannot_spoil_one(
        self,
        invoke: Callable[..., Any],
        steered: list[str],
        install: Callable[..., Path],
        write: Callable[[str, str], Path],
    ) -> None:
        source = """
            from llmrouter import hookimpl

            @hookimpl
            def llmrouter_after_route(query, decision):
                with open("seen", "a") as seen:
                    seen.write(query["query"] + " " + decision.model_name + "\\n")
                raise SystemExit("spoiled")
        """
        install("llmrouter-watch", {"fake_watch": source}, {"watch": "fake_watch"})
        write("in.txt", "a\nraise\nb\n")
        done = invoke("infer", *steered, "--input", "in.txt")
        assert [row.get("model_name") for row in done.lines] == ["small", None, "small"]
        assert Path("seen").read_text() == "a small\nb small\n"


class TestOutputFiles:
    @pytest.fixture
    def route(self, invoke: Callable[..., Any], steered: list[str]) -> Callable[..., Any]:
        Path("in.txt").write_text("a\nb\n")
        return lambda *arguments: invoke("infer", *steered, *arguments)

    def test_the_input_may_be_the_output(self, route: Callable[..., Any]) -> None:
        Path("file.jsonl").write_text(jsonl({"query": "a"}, {"query": "b"}))
        assert route("--input", "file.jsonl", "--output", "file.jsonl").status == 0
        rows = rows_of(Path("file.jsonl").read_text(), "jsonl")
        assert [(row["query"], row["model_name"]) for row in rows] == [("a", "small"), ("b", "small")]
        assert route("--input", "file.jsonl", "--output", "file.jsonl").status == 0

    def test_a_link_is_followed_and_the_mode_is_kept(self, route: Callable[..., Any]) -> None:
        Path("real.jsonl").write_text("old")
        Path("real.jsonl").chmod(0o640)
        Path("link.jsonl").symlink_to("real.jsonl")
        route("--input", "in.txt", "--output", "link.jsonl")
        assert Path("link.jsonl").is_symlink()
        assert Path("real.jsonl").read_text().count("\n") == 2
        assert Path("real.jsonl").stat().st_mode & 0o777 == 0o640

    def test_error_rows_are_written_and_replace_the_old_file(self, route: Callable[..., Any]) -> None:
        Path("in.jsonl").write_text("x\n")
        Path("out.jsonl").write_text("old")
        assert route("--input", "in.jsonl", "--output", "out.jsonl").status == 1
        assert rows_of(Path("out.jsonl").read_text(), "jsonl")[0]["line"] == 1

    @pytest.mark.parametrize("query", ["raise", "object"])
    def test_an_error_keeps_the_old_file(self, route: Callable[..., Any], query: str) -> None:
        Path("out.json").write_text("old")
        assert route("--query", query, "--output", "out.json").status == 1
        assert Path("out.json").read_text() == "old"

    def test_an_input_that_fails_on_the_way_keeps_the_old_file(self, route: Callable[..., Any]) -> None:
        Path("in.json").write_text("[1")
        Path("out.jsonl").write_text("old")
        before = sorted(os.listdir())
        assert route("--input", "in.json", "--output", "out.jsonl").status == 1
        assert Path("out.jsonl").read_text() == "old"
        assert sorted(os.listdir()) == before

    @pytest.mark.parametrize("path", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
    @pytest.mark.parametrize("given", [("--query", "hi"), ("--input", "in.txt")])
    def test_standard_output_by_name(
        self, route: Callable[..., Any], steered: list[str], path: str, given: tuple[str, str]
    ) -> None:
        Path("in.txt").write_text("hi\n")
        program = [LLMROUTER, "infer", *steered, *given, "--output", path, "--output-format", "jsonl"]
        with open("result", "wb") as result, open("messages", "wb") as messages:
            result.write(b"before\n")
            result.flush()
            assert subprocess.run(program, stdout=result, stderr=messages, timeout=300).returncode == 0
        before, row = Path("result").read_text().splitlines()
        assert before == "before"
        assert json.loads(row)["query"] == "hi"
        assert "model_name" not in Path("messages").read_text()

    def test_dev_null(self, route: Callable[..., Any]) -> None:
        done = route("--input", "in.txt", "--output", "/dev/null", "--output-format", "csv")
        assert (done.status, done.out) == (0, "")
        assert not Path("/dev/null").is_file()

    @pytest.mark.parametrize("by", ["name", "descriptor"])
    def test_a_pipe_is_written_straight_through(self, steered: list[str], by: str) -> None:
        Path("in.txt").write_text("a\nb\n")
        program = [LLMROUTER, "infer", *steered, "--input", "in.txt", "--output-format", "jsonl", "--output"]
        if by == "name":
            os.mkfifo("pipe")
            process = subprocess.Popen([*program, "pipe"], stderr=subprocess.DEVNULL)
            text = Path("pipe").read_text()
        else:
            reading, writing = os.pipe()
            process = subprocess.Popen(
                [*program, f"/dev/fd/{writing}"], pass_fds=[writing], stderr=subprocess.DEVNULL
            )
            os.close(writing)
            with open(reading) as stream:
                text = stream.read()
        assert process.wait(300) == 0
        assert [row["query"] for row in rows_of(text, "jsonl")] == ["a", "b"]


class TestStandardInput:
    def test_is_read_as_jsonl(self, command: Callable[..., Any], steered: list[str]) -> None:
        done = command("infer", *steered, "--input", "-", stdin='{"query": "a"}\n\n5\n')
        assert done.status == 1
        assert [row.get("query") for row in done.lines] == ["a", None]
        assert done.lines[1]["line"] == 3

    def test_may_be_empty(self, command: Callable[..., Any], steered: list[str]) -> None:
        done = command("infer", *steered, "--input", "-", stdin="")
        assert (done.status, done.out) == (0, "")

    def test_may_be_closed(self, steered: list[str]) -> None:
        program = ["sh", "-c", 'exec "$@" <&-', "sh", LLMROUTER, "infer", *steered, "--input", "-"]
        done = subprocess.run(program, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (1, "")
        assert "Error: -: standard input is closed\n" in done.stderr
        assert "Traceback" not in done.stderr

    def test_is_answered_while_it_is_still_open(self, steered: list[str]) -> None:
        program = [LLMROUTER, "infer", *steered, "--input", "-", "--batch-size", "1"]
        with subprocess.Popen(
            program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            alarm = threading.Timer(30, process.kill)
            alarm.start()
            process.stdin.write(jsonl(*[{"query": "a"}] * 2000).encode())
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["query"] == "a"
            alarm.cancel()
            process.kill()

    def test_a_reader_that_stops_reading_ends_an_endless_run(self, steered: list[str]) -> None:
        program = [LLMROUTER, "infer", *steered, "--input", "-"]
        with (
            subprocess.Popen(["yes", '{"query": "a"}'], stdout=subprocess.PIPE) as endless,
            subprocess.Popen(
                program, stdin=endless.stdout, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            ) as process,
        ):
            assert endless.stdout is not None
            assert process.stdout is not None
            assert process.stderr is not None
            endless.stdout.close()
            assert json.loads(process.stdout.readline())["query"] == "a"
            process.stdout.close()
            err = process.stderr.read().decode()
            assert process.wait(300) == 1
            endless.kill()
        assert "Traceback" not in err
        assert "Exception" not in err
        assert "Broken" not in err


class TestInterruption:
    SLOW = f"""
        if text == "slow":
            open("started", "w").close()
            {WAITING}
        return {{"model_name": "small"}}
    """

    @pytest.fixture(params=["raw", "batch"])
    def slow(self, request: pytest.FixtureRequest, router: Callable[..., list[str]]) -> list[str]:
        size = "1" if request.param == "raw" else "1024"
        Path("in.txt").write_text("a\nb\nslow\nc\n")
        return [*router(self.SLOW), "--route-only", "--input", "in.txt", "--batch-size", size]

    @pytest.mark.parametrize("format", ["jsonl", "csv"])
    def test_leaves_no_file(self, interrupted: Callable[..., Any], slow: list[str], format: str) -> None:
        before = set(os.listdir())
        done = interrupted("infer", *slow, "--output", f"out.{format}")
        assert (done.status, done.out) == (130, "")
        assert done.err.strip().endswith("Interrupted")
        assert "Traceback" not in done.err
        assert set(os.listdir()) - before == {"started"}

    @pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
    def test_keeps_the_old_file(
        self, interrupted: Callable[..., Any], slow: list[str], by: signal.Signals
    ) -> None:
        Path("out.json").write_text("old")
        before = set(os.listdir())
        assert interrupted("infer", *slow, "--output", "out.json", by=by).status == 130
        assert Path("out.json").read_text() == "old"
        assert set(os.listdir()) - before == {"started"}

    def test_of_one_query(self, interrupted: Callable[..., Any], router: Callable[..., list[str]]) -> None:
        given = (*router(self.SLOW), "--route-only", "--query", "slow", "--output", "out.json")
        done = interrupted("infer", *given)
        assert (done.status, done.out) == (130, "")
        assert not Path("out.json").exists()


class TestOnATerminal:
    @pytest.fixture(autouse=True)
    def queries(self) -> None:
        Path("in.jsonl").write_text(jsonl({"query": "What is AI?", "id": "q1"}, {"query": "raise"}, 5))

    def test_one_query_is_a_table(self, terminal: Callable[..., Any], steered: list[str]) -> None:
        done = terminal("infer", *steered, "--query", "hi")
        assert done.status == 0
        assert "model_name     small" in done.out
        assert "{" not in done.out

    @pytest.mark.parametrize(
        "given", [("--query", "hi", "--json"), ("--query", "hi", "--output-format", "json")]
    )
    def test_json_on_request(
        self, terminal: Callable[..., Any], steered: list[str], given: tuple[str, ...]
    ) -> None:
        assert json.loads(terminal("infer", *steered, *given).out)["model_name"] == "small"

    def test_an_input_is_a_table_with_its_errors(
        self, terminal: Callable[..., Any], steered: list[str]
    ) -> None:
        done = terminal("infer", *steered, "--input", "in.jsonl")
        assert done.status == 1
        lines = done.out.splitlines()
        assert lines[0].split() == ["Id", "Query", "LLM", "Line", "Error"]
        assert lines[2].split() == ["q1", "What", "is", "AI?", "small"]
        assert "KeyError" in done.out
        assert all(len(line) <= 80 for line in lines)

    def test_an_input_is_json_lines_on_request(
        self, terminal: Callable[..., Any], steered: list[str]
    ) -> None:
        done = terminal("infer", *steered, "--input", "in.jsonl", "--json")
        assert [json.loads(line)["query"] for line in done.out.splitlines()] == ["What is AI?", "raise", None]


@pytest.mark.parametrize("query", ["", " \n"])
def test_an_empty_query_is_one_sentence(
    invoke: Callable[..., Any], router: Callable[..., list[str]], query: str
) -> None:
    done = invoke("infer", *router(), "--query", query, "--route-only")
    assert (done.status, done.out) == (1, "")
    assert done.err.endswith("Error: --query is empty; write what to ask\n")
