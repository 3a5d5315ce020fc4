"""Queries are read one at a time; a malformed row is told and the next ones go on."""

from __future__ import annotations

import gc
import io
import json
import os
import tracemalloc
from pathlib import Path

import pytest

from llmrouter.data.queries import QueryFile, QueryRow
from llmrouter.errors import DataError


def rows_of(name: str, content: str | bytes) -> list[QueryRow]:
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(QueryFile(name))


def queries_of(name: str, content: str | bytes) -> list[tuple[int, str]]:
    rows = rows_of(name, content)
    assert [row.problem for row in rows] == [None] * len(rows)
    return [(row.number, row.query["query"]) for row in rows if row.query]


def problem_in(name: str, content: str | bytes) -> str:
    (row,) = rows_of(name, content)
    assert row.query is None
    assert row.problem is not None
    assert "\n" not in row.problem
    return row.problem


def many_rows(count: int) -> int:
    with Path("many.jsonl").open("w") as stream:
        for number in range(count):
            print(json.dumps({"query": f"query {number} " + "x" * 100}), file=stream)
    return Path("many.jsonl").stat().st_size


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", '{"query": "one"}\n{"query": "two"}\n'),
        ("a.jsonl", '{"query": "one"}\n{"query": "two"}'),
        ("a.jsonl", '{"query": "one"}\r\n{"query": "two"}\r\n'),
        ("a.jsonl", '\ufeff{"query": "one"}\n{"query": "two"}\n'),
        ("a.jsonl", '\t{"query":\t"one"} \n {"query": "two"}\n'),
        ("A.JSONL", '{"query": "one"}\n{"query": "two"}\n'),
        ("a.txt", "one\ntwo\n"),
        ("a.txt", "one\ntwo"),
        ("a.txt", "one\r\ntwo\r\n"),
        ("a.txt", "\ufeffone\ntwo\n"),
        ("a.txt", "  one\t\n two \n"),
        ("a.json", '[{"query": "one"}, {"query": "two"}]'),
        ("a.json", '["one", "two"]'),
        ("a.json", '\ufeff["one",\r\n{"query": "two"}]\r\n'),
    ],
)
def test_every_format_gives_the_same_queries(name: str, content: str) -> None:
    assert queries_of(name, content) == [(1, "one"), (2, "two")]


@pytest.mark.parametrize("blank", ["", " ", "\t", "\r"])
@pytest.mark.parametrize(("name", "form"), [("a.jsonl", '{"query": "%s"}'), ("a.txt", "%s")])
def test_blank_lines_are_skipped_and_counted(name: str, form: str, blank: str) -> None:
    content = "\n".join([blank, form % "one", blank, blank, form % "two", blank, ""])
    assert queries_of(name, content) == [(2, "one"), (5, "two")]


@pytest.mark.parametrize("name", ["a.jsonl", "a.txt"])
@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff", "\ufeff\n"])
def test_a_file_without_queries_has_no_rows(name: str, content: str) -> None:
    assert rows_of(name, content) == []


def test_a_line_of_text_may_hold_what_elsewhere_ends_lines() -> None:
    assert queries_of("a.txt", "one\u2028\x0b\x85more\ntwo\n") == [(1, "one\u2028\x0b\x85more"), (2, "two")]


def test_other_keys_of_a_query_are_kept() -> None:
    (row,) = rows_of("a.jsonl", '{"id": 7, "query": "größer?", "choices": ["a", null]}\n')
    assert row.query == {"id": 7, "query": "größer?", "choices": ["a", None]}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"query": "one"', "is not valid JSON: Input data was truncated"),
        ("{'query': 'one'}", "is not valid JSON: "),
        ('{"query": "one"} {"query": "two"}', "is not valid JSON: "),
        ('{"query": "\\ud800"}', "is not valid JSON: "),
        ("one", "is not valid JSON: "),
        ('["one"]', "expected an object with the key 'query', found a list"),
        ('"one"', "expected an object with the key 'query', found text"),
        ("null", "expected an object with the key 'query', found null"),
        ("{}", "has no 'query'"),
        ('{"Query": "one"}', "'Query' is unknown; did you mean 'query'?"),
        ('{"query": null}', "'query' is null, not text"),
        ('{"query": 5}', "'query' is a number, not text"),
        ('{"query": ["one"]}', "'query' is a list, not text"),
        ('{"query": {}}', "'query' is an object, not text"),
        ('{"query": true}', "'query' is true or false, not text"),
    ],
)
def test_a_malformed_line_is_told(line: str, problem: str) -> None:
    assert problem_in("a.jsonl", line + "\n").startswith(problem)


def test_bytes_that_are_not_utf8() -> None:
    assert "is not valid JSON: " in problem_in("a.jsonl", b'{"query": "\xff"}\n')
    assert problem_in("a.txt", b"abc\xff\n") == "is not UTF-8 text: invalid start byte at byte 3"


def test_a_line_nested_without_end() -> None:
    assert "maximum recursion depth" in problem_in("a.jsonl", '{"query": ' + "[" * 100_000)


def test_after_a_malformed_line_the_next_ones_go_on() -> None:
    rows = rows_of("a.jsonl", b'{"query": "one"}\n{oops\n\n\xff\n{"query": "five"}\n')
    assert [(row.number, row.query is None) for row in rows] == [(1, False), (2, True), (4, True), (5, False)]


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        ("5", "expected an object with the key 'query', found a number"),
        ("{}", "has no 'query'"),
        ('{"query": null}', "'query' is null, not text"),
    ],
)
def test_after_a_malformed_item_the_next_ones_go_on(item: str, problem: str) -> None:
    rows = rows_of("a.json", f'["one", {item}, "three"]')
    assert [(row.number, row.problem) for row in rows] == [(1, None), (2, problem), (3, None)]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b'{"query": "one"}', "expected a list of queries, found an object"),
        (b'[\n"one",\n', "is not valid JSON"),
        (b"\xff", "is not valid JSON"),
    ],
)
def test_a_json_file_that_holds_no_list(content: bytes, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        rows_of("a.json", content)


@pytest.mark.parametrize("name", ["queries", "queries.csv", "queries.csv.gz", ".json", "queries."])
def test_a_suffix_that_tells_no_format(name: str) -> None:
    Path(name).write_text("one")
    with pytest.raises(DataError, match=r"cannot tell its format .* use \.jsonl, \.json, \.txt or '-'"):
        QueryFile(name)


@pytest.mark.parametrize("name", ["absent.jsonl", "absent.json", "absent.txt"])
def test_a_missing_file_is_told_at_once(name: str) -> None:
    with pytest.raises(DataError, match=f"{name}: there is no such file"):
        QueryFile(name)


def test_a_folder_is_told_at_once() -> None:
    Path("folder.jsonl").mkdir()
    with pytest.raises(DataError, match=r"folder\.jsonl: cannot be read: Is a directory"):
        QueryFile("folder.jsonl")


def test_standard_input_is_read_as_jsonl(monkeypatch: pytest.MonkeyPatch) -> None:
    given = io.BytesIO(b'\n{"query": "one"}\noops\n')
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(given))
    queries = QueryFile("-")
    assert [(row.number, row.query) for row in queries] == [(2, {"query": "one"}), (3, None)]
    assert (queries.counts, queries.size, queries.bytes_read) == ("line", None, 23)


@pytest.mark.parametrize(("name", "counts"), [("a.jsonl", "line"), ("a.txt", "line"), ("a.json", "item")])
def test_what_a_number_counts_and_how_much_is_read(name: str, counts: str) -> None:
    Path(name).write_text('["größer"]')
    queries = QueryFile(name)
    assert (queries.counts, queries.size, queries.bytes_read) == (counts, 12, 0)
    assert len(list(queries)) == 1
    assert queries.bytes_read == 12


@pytest.mark.parametrize("name", ["a.jsonl", "a.txt", "a.json"])
def test_a_file_that_was_read_is_closed(name: str) -> None:
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    Path(name).write_text('["one"]')
    queries = QueryFile(name)
    list(queries)
    after = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    assert after == before
    # An open file would warn, and warnings are errors.
    del queries
    gc.collect()


def test_only_what_was_asked_for_is_read() -> None:
    size = many_rows(20_000)
    queries = QueryFile("many.jsonl")
    rows = iter(queries)
    first = next(rows)
    assert (first.number, queries.size) == (1, size)
    assert queries.bytes_read == len(json.dumps(first.query)) + 1 < 200
    assert next(rows).number == 2
    assert queries.bytes_read < 400


def test_reading_takes_no_more_memory_than_a_row_needs() -> None:
    size = many_rows(20_000)
    tracemalloc.start()
    try:
        count = sum(1 for _ in QueryFile("many.jsonl"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 20_000
    assert peak < 300_000 < size / 5


@pytest.mark.parametrize(("name", "line"), [("a.jsonl", b'{"query": "one"}\n'), ("a.txt", b"one\n")])
def test_a_row_of_a_pipe_is_there_before_the_next_is_written(name: str, line: bytes) -> None:
    os.mkfifo(name)
    # Open for both, so that neither side waits for the other.
    pipe = os.open(name, os.O_RDWR)
    try:
        queries = QueryFile(name)
        os.write(pipe, line)
        rows = iter(queries)
        assert next(rows).query == {"query": "one"}
        os.write(pipe, b"\n" + line)
        assert next(rows) == QueryRow(3, {"query": "one"})
        assert queries.size is None
    finally:
        os.close(pipe)
    assert list(rows) == []


def test_one_that_is_not_read_may_be_closed() -> None:
    Path("in.txt").write_text("a\n")
    queries = QueryFile("in.txt")
    queries.close()
    queries.close()
