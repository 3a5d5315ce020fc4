"""Routing data are a sequence of rows, in both shapes, and say how to become a DataFrame."""

from __future__ import annotations

import copy
import json
import pickle
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from llmrouter.data.routing_data import RoutingData, read_routing_data
from llmrouter.errors import DataError

BEST = [
    {"query": "one", "best_llm": "small", "performance": 1.0},
    {"query": "two", "best_llm": "large", "performance": 0.5, "embedding": [0.1, 0.2]},
]
EACH = [
    {"query": "one", "model_name": "small", "performance": 1.0, "token_num": 12, "task_name": "math"},
    {"query": "one", "model_name": "large", "performance": 1.0, "cost": 0.02},
]
DATA = RoutingData([*BEST, *EACH])


def read(name: str, content: str | bytes) -> RoutingData:
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_routing_data(Path(name))


def error_in(name: str, content: str | bytes) -> DataError:
    with pytest.raises(DataError) as caught:
        read(name, content)
    assert "\n" not in str(caught.value)
    return caught.value


def lines(rows: Sequence[Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize("rows", [BEST, EACH])
def test_both_shapes_are_read_from_lines_and_from_a_list(rows: list[dict[str, Any]]) -> None:
    assert list(read("a.jsonl", lines(rows))) == rows
    assert list(read("a.json", json.dumps(rows, indent=1))) == rows
    assert list(read("a.data", lines(rows))) == rows


@pytest.mark.parametrize(
    "text",
    ["\ufeff{}{}", "{}\r\n{}\r\n", "\n{}\n\n \n{}\n\n", "{}\n{}"],
    ids=["mark", "CRLF", "blank", "end"],
)
def test_marks_and_blank_lines_do_no_harm(text: str) -> None:
    text = text.replace("{}{}", "{}\n{}")
    assert list(read("a.jsonl", text.replace("{}", json.dumps(BEST[0])))) == [BEST[0]] * 2


def test_reading_writes_nothing() -> None:
    read("a.jsonl", lines(BEST))
    assert [path.name for path in Path().iterdir()] == ["a.jsonl"]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("[1]", "expected an object, found a list"),
        ("null", "expected an object, found null"),
        ('{"best_llm": "small"}', "'query' is missing or not text"),
        ('{"query": 5, "best_llm": "small"}', "'query' is missing or not text"),
        ('{"query": "one"}', "names no LLM; expected 'best_llm' or 'model_name'"),
        ('{"query": "one", "best_llm": 5}', "names no LLM"),
        ('{"query": "one", "model_name": null}', "names no LLM"),
        (
            '{"query": "one", "best_llm": "small", "performance": "good"}',
            "expected a number under 'performance', found text",
        ),
    ],
)
def test_a_malformed_row_is_told_with_its_place(row: str, problem: str) -> None:
    good = json.dumps(EACH[0])
    error = error_in("a.jsonl", f"{good}\n\n{row}\n")
    assert (str(error)[: len("a.jsonl:3: ")], error.line) == ("a.jsonl:3: ", 3)
    assert error.problem.startswith(problem)
    assert str(error_in("a.json", f"[{good},\n{row}]")).startswith(f"a.json: item 2: {problem}")


@pytest.mark.parametrize("bad", [b"{oops", b'{"query": "\xff"}', b'{"query": ', b"[" * 100_000])
def test_a_line_that_is_no_json(bad: bytes) -> None:
    error = error_in("a.jsonl", lines(BEST).encode() + bad + b"\n" + lines(EACH).encode())
    assert error.line == 3
    assert error.problem.startswith("is not valid JSON: ")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "a.json: is empty"),
        ("{}", "a.json: expected a list of objects, found an object"),
        ("[", "a.json:1"),
    ],
)
def test_a_json_file_that_holds_no_list(content: str, problem: str) -> None:
    assert str(error_in("a.json", content)).startswith(problem)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_a_missing_file_or_a_folder(name: str) -> None:
    with pytest.raises(DataError, match=f"{name}: there is no such file"):
        read_routing_data(Path(name))
    Path(name).mkdir()
    with pytest.raises(DataError, match=f"{name}: cannot be read: Is a directory"):
        read_routing_data(Path(name))


def test_it_is_a_sequence() -> None:
    assert isinstance(DATA, Sequence)
    assert len(DATA) == 4
    assert [DATA[0], DATA[1], DATA[-2], DATA[-1]] == list(DATA)
    assert list(reversed(DATA)) == list(DATA)[::-1]
    assert EACH[0] in DATA
    assert DATA.index(BEST[1]) == 1
    assert repr(DATA) == "<RoutingData: 4 rows>"
    with pytest.raises(IndexError):
        DATA[4]


@pytest.mark.parametrize("part", [slice(1, 3), slice(None, None, 2), slice(-1, None), slice(9, 12)])
def test_a_slice_is_routing_data_again(part: slice) -> None:
    assert isinstance(DATA[part], RoutingData)
    assert list(DATA[part]) == list(DATA)[part]


def test_no_rows_are_false() -> None:
    assert not RoutingData([])
    assert DATA


@pytest.mark.parametrize(
    "name", ["groupby", "loc", "iloc", "columns", "iterrows", "to_csv", "sample", "_data"]
)
def test_what_a_dataframe_has_names_the_way_to_one(name: str) -> None:
    with pytest.raises(AttributeError, match=rf"have no '{name}'; \.to_pandas\(\) gives a DataFrame"):
        getattr(DATA, name)
    assert not hasattr(DATA, name)


def test_a_column_names_the_way_to_a_dataframe() -> None:
    with pytest.raises(TypeError, match=r"no column 'query'; \.to_pandas\(\) gives a DataFrame"):
        DATA["query"]  # type: ignore[call-overload]


def test_what_python_asks_for_is_answered_without_advice() -> None:
    with pytest.raises(AttributeError) as caught:
        DATA.__array__  # noqa: B018
    assert "to_pandas" not in str(caught.value)


def test_to_pandas_hands_over_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", types.SimpleNamespace(DataFrame=lambda rows: ("frame", rows)))
    assert DATA.to_pandas() == ("frame", [*BEST, *EACH])


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda data: pickle.loads(pickle.dumps(data))])
def test_it_is_copied_and_pickled(copied: Callable[[RoutingData], RoutingData]) -> None:
    again = copied(DATA)
    assert isinstance(again, RoutingData)
    assert list(again) == list(DATA)


def test_a_deep_copy_shares_nothing() -> None:
    rows: list[Mapping[str, Any]] = [{"query": "one", "embedding": [1]}]
    again = copy.deepcopy(RoutingData(rows))
    rows[0]["embedding"].append(2)
    assert again[0]["embedding"] == [1]


def test_scores_on_another_scale_are_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"query": "q", "model_name": "a", "performance": 90}')
    with pytest.raises(DataError, match=r":1: expected a performance from 0 to 1, found 90; .*--scale 0 100"):
        read_routing_data(path)
    assert read_routing_data(path, (0, 100))[0]["performance"] == 0.9
