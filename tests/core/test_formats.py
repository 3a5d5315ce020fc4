"""Data files are read in the formats that people have; others are named with what converts them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmrouter.data.queries import QueryFile
from llmrouter.data.routing_data import read_routing_data
from llmrouter.errors import DataError

ROWS: list[dict[str, Any]] = [
    {"query": "one", "model_name": "small", "performance": 1},
    {"query": "drei — vier", "model_name": "large", "performance": 0.5},
]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
PRETTY = "\n".join(json.dumps(row, indent=2, ensure_ascii=False) for row in ROWS) + "\n"
LIST = json.dumps(ROWS, ensure_ascii=False)

WRITTEN: dict[str, Callable[[str], bytes]] = {
    "utf-8": str.encode,
    "utf-8 with a mark": lambda text: text.encode("utf-8-sig"),
    "utf-16": lambda text: text.encode("utf-16"),
    "utf-16-le without a mark": lambda text: text.encode("utf-16-le"),
    "utf-16-be without a mark": lambda text: text.encode("utf-16-be"),
    "utf-32": lambda text: text.encode("utf-32"),
    "gzip": lambda text: gzip.compress(text.encode()),
}


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN)
@pytest.mark.parametrize("text", [LINES, PRETTY, LIST, json.dumps(ROWS, indent=2)])
def test_queries_and_routing_data_are_read_however_they_are_written(
    text: str, written: Callable[[str], bytes]
) -> None:
    for name in ("a.jsonl", "a.jsonl.gz"):
        Path(name).write_bytes(written(text))
        assert list(read_routing_data(Path(name))) == ROWS
        found = list(QueryFile(name))
        assert [row.problem for row in found] == [None, None]
        assert [row.query for row in found] == ROWS


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\x28\xb5\x2f\xfd" + bytes(20), "is compressed by zstd; convert it first: zstd -d a.jsonl"),
        (b"\xfd7zXZ\0" + bytes(20), "is compressed by xz; convert it first: xz -d a.jsonl"),
        (b"BZh91AY" + bytes(20), "is compressed by bzip2; convert it first: bunzip2 a.jsonl"),
        (b"PK\x03\x04" + bytes(20), "is a zip archive; convert it first: unzip a.jsonl"),
        (b"PAR1" + bytes(20), "is Parquet; convert it first: python -c"),
        (gzip.compress(LINES.encode(), mtime=0)[:-9], "is damaged: "),
    ],
)
def test_what_is_not_read_is_named_with_what_converts_it(content: bytes, told: str) -> None:
    Path("a.jsonl").write_bytes(content)
    with pytest.raises(DataError) as caught:
        list(QueryFile("a.jsonl"))
    assert str(caught.value).startswith(f"a.jsonl: {told}")
    with pytest.raises(DataError) as caught:
        read_routing_data(Path("a.jsonl"))
    assert str(caught.value).startswith(f"a.jsonl: {told}")


def test_messages_stand_in_for_a_query() -> None:
    talk = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is AI?"},
        {"role": "assistant", "content": "A field."},
        {"role": "user", "content": [{"type": "text", "text": "Which one?"}]},
    ]
    Path("a.jsonl").write_text(json.dumps({"messages": talk, "model_name": "small", "performance": 1}))
    (row,) = read_routing_data(Path("a.jsonl"))
    (query,) = QueryFile("a.jsonl")
    assert query.query is not None
    assert row["query"] == query.query["query"] == "Which one?"
    assert row["messages"] == query.query["messages"] == talk


def test_true_and_false_are_performances() -> None:
    rows = [{**ROWS[0], "performance": right} for right in (True, False)]
    Path("a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for scale in ((0.0, 1.0), (0.0, 100.0)):
        assert [row["performance"] for row in read_routing_data(Path("a.jsonl"), scale)] == [1, 0]


@pytest.mark.parametrize("content", ["", "\n \n", "[]"])
def test_an_empty_file_of_routing_data_is_an_error(content: str) -> None:
    Path("a.jsonl").write_text(content)
    with pytest.raises(DataError, match=r"^a\.jsonl: (holds no rows of routing data|is empty)$"):
        read_routing_data(Path("a.jsonl"))


def test_a_number_of_400_digits_is_told_with_line_and_key() -> None:
    Path("a.jsonl").write_text(LINES + json.dumps({**ROWS[0], "cost": 10**400}) + "\n")
    with pytest.raises(DataError, match=r"^a\.jsonl:3: .*'cost'|^a\.jsonl:3: .*out of range"):
        read_routing_data(Path("a.jsonl"))
