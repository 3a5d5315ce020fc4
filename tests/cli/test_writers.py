"""Each format writes the same rows, batch by batch."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from llmrouter.data.queries import QueryRow
from llmrouter.decision import RoutingDecision
from llmrouter.errors import RoutingError
from llmrouter.routing import Decided
from llmrouter_cli.writers import WRITERS, RowWriter, TerminalTable, encode_decision

GOOD = (QueryRow(1, {"query": "a"}), RoutingDecision(model_name="small", query="a"))
BAD = (QueryRow(2, {"query": "b", "id": 7}), RoutingError("it broke"))
MALFORMED = (QueryRow(3, None, "is not JSON"), RoutingError("is not JSON"))


def written(
    writer: type[RowWriter], *batches: list[tuple[QueryRow, Decided]], counts: str = "line"
) -> tuple[str, RowWriter]:
    stream = io.BytesIO()
    made = writer(stream, counts)
    for batch in batches:
        made.write(batch)
    made.close()
    assert not stream.closed
    return stream.getvalue().decode(), made


def decoded(text: str, format: str) -> list[dict[str, Any]]:
    if format == "csv":
        return list(csv.DictReader(io.StringIO(text)))
    found = json.loads(text) if format == "json" else [json.loads(line) for line in text.splitlines()]
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize("format", WRITERS)
@pytest.mark.parametrize(
    "batches", [[[GOOD, BAD, MALFORMED]], [[GOOD], [BAD, MALFORMED]], [[GOOD], [BAD], [MALFORMED]]]
)
def test_the_rows_do_not_depend_on_the_batches(
    format: str, batches: list[list[tuple[QueryRow, Decided]]]
) -> None:
    text, _ = written(WRITERS[format], *batches)
    rows = decoded(text, format)
    assert [row.get("model_name") or None for row in rows] == ["small", None, None]
    assert [str(row.get("line") or "") for row in rows] == ["", "2", "3"]
    assert [row.get("error") or None for row in rows] == [None, "it broke", "is not JSON"]
    assert [row["query"] or None for row in rows] == ["a", "b", None]
    assert text.endswith("\n")


@pytest.mark.parametrize("format", WRITERS)
def test_what_is_counted_is_named(format: str) -> None:
    text, writer = written(WRITERS[format], [BAD], counts="item")
    assert str(decoded(text, format)[0]["item"]) == "2"
    assert writer.first_error == "item 2: it broke"


def test_errors_are_counted_and_the_first_is_kept() -> None:
    _, writer = written(WRITERS["jsonl"], [GOOD, BAD], [MALFORMED])
    assert (writer.written, writer.failed, writer.first_error) == (3, 2, "line 2: it broke")


def test_no_error() -> None:
    _, writer = written(WRITERS["jsonl"], [GOOD])
    assert (writer.failed, writer.first_error) == (0, None)


HEADING = ",".join([*RoutingDecision.__struct_fields__, "line", "error"]) + "\n"


@pytest.mark.parametrize(("format", "text"), [("json", "[]\n"), ("jsonl", ""), ("csv", HEADING)])
def test_without_rows(format: str, text: str) -> None:
    assert written(WRITERS[format])[0] == text


def test_each_batch_is_handed_on_at_once() -> None:
    buffered = io.BufferedWriter(raw := io.BytesIO())
    writer = WRITERS["jsonl"](buffered)
    writer.write([GOOD])
    assert json.loads(raw.getvalue())["model_name"] == "small"


@pytest.mark.parametrize("format", WRITERS)
@pytest.mark.parametrize("value", [object(), {1, object()}, {(1, 2): 3}, "\ud800", 1j, ...])
def test_what_cannot_be_encoded_costs_one_row(format: str, value: Any) -> None:
    odd = (QueryRow(4, {"query": "d"}), RoutingDecision(model_name="small", query="d", extra={"x": value}))
    text, writer = written(WRITERS[format], [odd, GOOD])
    first, second = decoded(text, format)
    assert first["error"].startswith("the router's result cannot be written: ")
    assert str(first["line"]) == "4"
    assert second["model_name"] == "small"
    assert writer.failed == 1


def test_a_value_that_contains_itself_costs_one_row() -> None:
    endless: list[Any] = []
    endless.append(endless)
    odd = (QueryRow(1, {"query": "d"}), RoutingDecision(model_name="small", query="d", scores=endless))  # type: ignore[arg-type]
    assert written(WRITERS["jsonl"], [odd])[1].failed == 1


@pytest.mark.parametrize("format", WRITERS)
def test_an_error_that_quotes_what_is_no_utf_8_is_escaped(format: str) -> None:
    text, _ = written(WRITERS[format], [(QueryRow(1, {"query": "a"}), RoutingError("no file caf\udce9"))])
    assert decoded(text, format)[0]["error"] == "no file caf\\udce9"


def test_encode_decision_says_what_has_no_form() -> None:
    with pytest.raises(RoutingError, match="cannot be written: object has no form in JSON"):
        encode_decision(RoutingDecision(model_name="small", constraint=object()))


def test_numpy_values_become_plain_ones() -> None:
    numpy = pytest.importorskip("numpy")
    decision = RoutingDecision(
        model_name="small", scores=numpy.ones(2), confidence=numpy.float64(0.5), extra={"n": numpy.int64(3)}
    )
    row = json.loads(encode_decision(decision))
    assert (row["scores"], row["confidence"], row["extra"]) == ([1.0, 1.0], 0.5, {"n": 3})


@pytest.mark.torch
def test_tensors_become_lists() -> None:
    torch = pytest.importorskip("torch")
    row = json.loads(encode_decision(RoutingDecision(model_name="small", scores=torch.ones(2))))
    assert row["scores"] == [1.0, 1.0]


def test_nested_values_stand_in_their_csv_cell_as_json() -> None:
    decision = RoutingDecision(model_name="a,b", query='say "x"\nthen', scores={"é": 1.0}, id=[1, "2"])
    text, _ = written(WRITERS["csv"], [(QueryRow(1, {}), decision)])
    (row,) = decoded(text, "csv")
    assert (row["model_name"], row["query"]) == ("a,b", 'say "x"\nthen')
    assert (json.loads(row["scores"]), json.loads(row["id"])) == ({"é": 1.0}, [1, "2"])
    assert row["confidence"] == ""


def test_the_table_shows_decisions_and_errors() -> None:
    text, _ = written(TerminalTable, [GOOD, BAD])
    lines = [line.split() for line in text.splitlines()]
    assert lines[0] == ["Id", "Query", "LLM", "Line", "Error"]
    assert lines[2:] == [["a", "small"], ["7", "b", "2", "it", "broke"]]
