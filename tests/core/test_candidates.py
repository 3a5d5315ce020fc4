"""Candidate LLMs are read in order; what is wrong is told with file, line and key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmrouter.data.candidates import read_candidates
from llmrouter.errors import DataError

PATH = Path("llm.json")


def read(content: str | bytes) -> dict[str, dict[str, Any]]:
    PATH.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_candidates(PATH)


def error_in(content: str | bytes) -> DataError:
    with pytest.raises(DataError) as caught:
        read(content)
    assert str(caught.value).startswith("llm.json")
    assert "\n" not in str(caught.value)
    return caught.value


def test_candidates_keep_the_order_of_the_file() -> None:
    names = ["zeta", "alpha", "mid/with:signs", "Größe"]
    assert list(read(json.dumps({name: {} for name in names}))) == names


def test_what_is_known_of_a_candidate_is_kept() -> None:
    known = {"model": "org/m", "size": "7B", "cost": 0, "input_price": 0.1, "feature": "fast", "more": [1]}
    assert read(json.dumps({"small": known})) == {"small": known}


@pytest.mark.parametrize(
    "text",
    [
        '{\n\t"small":\t{\n\t\t"cost":\t1\n\t}\n}\n',
        '\ufeff{"small": {"cost": 1}}',
        '{"small": {"cost": 1}}\r\n',
        '  {"small": {"cost": 1}}\n\n\n',
    ],
)
def test_tabs_marks_and_blank_lines_do_no_harm(text: str) -> None:
    assert read(text) == {"small": {"cost": 1}}


def test_reading_writes_nothing() -> None:
    read('{"small": {}}')
    assert [path.name for path in Path().iterdir()] == ["llm.json"]
    assert PATH.read_text() == '{"small": {}}'


def test_a_missing_file() -> None:
    with pytest.raises(DataError, match=r"llm\.json: there is no such file"):
        read_candidates(PATH)


def test_a_folder() -> None:
    PATH.mkdir()
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read_candidates(PATH)


@pytest.mark.parametrize("text", ["", " \n\t\n", "\ufeff"])
def test_an_empty_file(text: str) -> None:
    assert str(error_in(text)) == "llm.json: is empty"


def test_an_empty_object_names_no_candidate() -> None:
    assert "names no LLM; a router needs at least one candidate" in str(error_in("{}"))


@pytest.mark.parametrize(
    ("text", "found"),
    [("[]", "a list"), ('["a"]', "a list"), ('"a"', "text"), ("5", "a number"), ("null", "null")],
)
def test_a_file_that_holds_no_object(text: str, found: str) -> None:
    assert str(error_in(text)) == f'llm.json: expected an object {{"LLM name": {{…}}}}, found {found}'


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b'{\n  "small": {\n    "cost": 1\n', 3),
        (b'{\n  "small": {\n    "cost": 1\n\n\n\n', 3),
        (b'{\n  "small": {},\n  "large": {},\n}\n', 4),
        (b"{\n  'small': {}\n}\n", 2),
        (b'{\n  "small": {"cost": NaN}\n}\n', 2),
        (b'{\n\n  "sm\xffall": {}\n}\n\n', 3),
        (b'{"small": {}}\n{"large": {}}\n', 2),
        (b"\xef\xbb\xbf{\n  oops\n}\n", 2),
        (b'{\r\n  "small": {},\r\n  oops\r\n}\r\n', 3),
    ],
)
def test_malformed_json_is_told_with_its_line(content: bytes, line: int) -> None:
    error = error_in(content)
    assert error.line == line
    assert str(error).startswith(f"llm.json:{line}: is not valid JSON: ")


def test_json_nested_without_end() -> None:
    assert "is not valid JSON: maximum recursion depth" in str(error_in('{"a":' + "[" * 100_000))


def test_a_number_too_large_is_not_placed_at_the_last_line() -> None:
    error = error_in('{\n "a": {"cost": 1e999}\n}\n\n')
    assert "out of range" in str(error)
    assert error.line is None


@pytest.mark.parametrize(
    ("entry", "found"), [("5", "a number"), ("null", "null"), ("[]", "a list"), ("true", "true or false")]
)
def test_an_entry_that_is_no_object_is_named(entry: str, found: str) -> None:
    error = error_in(f'{{\n"small": {{}},\n"large": {entry}\n}}')
    assert str(error) == f"llm.json:3: large: expected an object, found {found}"


@pytest.mark.parametrize("field", ["cost", "input_price", "output_price", "context_window"])
@pytest.mark.parametrize("value", ["-0.5", '"0.5"', "true", "[1]", "{}"])
@pytest.mark.parametrize("indent", ["  ", "\t"])
def test_a_price_that_is_none_is_told_with_line_and_key(field: str, value: str, indent: str) -> None:
    error = error_in(
        f'{{\n{indent}"small": {{"cost": 1}},\n{indent}"large": {{\n{indent}"{field}": {value}\n}}\n}}'
    )
    assert (error.path, error.line, error.key) == (PATH, 4, f"large.{field}")
    assert error.problem == f"expected a number from 0, found {json.loads(value)!r}"


@pytest.mark.parametrize("value", [0, 0.0, 3, 2.5, None])
def test_a_price_may_be_nothing_or_unknown(value: float | None) -> None:
    assert read(json.dumps({"small": {"cost": value}})) == {"small": {"cost": value}}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"": {}}', "a candidate needs a name"),
        ('{"a": {},\n "a": {}}', ":2: a: stands twice, on lines 1 and 2; keep one"),
        ('{"a": {"cost": ' + "9" * 400 + "}}", ":1: a.cost: is larger than"),
    ],
)
def test_what_cannot_be_a_candidate_is_refused(text: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "llm.json"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        read_candidates(path)
    assert problem in str(caught.value)


def test_a_misspelt_field_is_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "llm.json"
    path.write_text('{"a": {"inputprice": 1}, "b": {"inputprice": 1}}')
    read_candidates(path)
    assert caplog.text.count("did you mean 'input_price'?") == len(caplog.records) == 1
