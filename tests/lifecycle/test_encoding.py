"""Text that no database holds: replaced where it is written, refused where people send it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from llmrouter_lifecycle import Client, InvalidParameterError
from llmrouter_lifecycle.store.encoding import decode_json, encode_json
from llmrouter_testing.upstream import Upstream
from tests.lifecycle.conftest import home_of
from tests.lifecycle.test_judges import REQUEST, RUBRIC

HALF = "x \ud83d"


@pytest.fixture
def where(tmp_path: Any) -> str:
    return str(tmp_path / "lifecycle.sqlite")


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ({"a": HALF}, {"a": "x \ufffd"}),
        ({HALF: 1}, {"x \ufffd": 1}),
        (["\0", "\\u0000", "\\ud83d"], ["\ufffd", "\\u0000", "\\ud83d"]),
        ("\U0001f600", "\U0001f600"),
        ([HALF, "\U0001f600", 2**70], ["x \ufffd", "\U0001f600", 2**70]),
    ],
)
def test_what_is_written_can_be_read(value: Any, read: Any) -> None:
    assert decode_json(encode_json(value)) == read


@pytest.mark.parametrize("bad", [HALF, "caf\udce9", "a\0b"])
def test_text_that_no_database_holds_is_refused_with_its_field(client: Client, bad: str) -> None:
    with pytest.raises(InvalidParameterError, match="description: holds"):
        client.routers.create_router("r", "local/dear", bad)
    with pytest.raises(InvalidParameterError, match=r"rubric: holds"):
        client.judges.create_judge("j", {**RUBRIC.to_dict(), "rubric": bad})
    assert not client.routers.list()
    assert not client.judges.list()


def test_a_row_that_is_damaged_already_makes_no_list_fail(client: Client) -> None:
    client.judges.create_judge("j", RUBRIC)
    client.judges.create_judge("k", RUBRIC)
    with home_of(client).database.write() as connection:
        damage = text("UPDATE llmrouter_judges SET spec = replace(spec, 'right', '\\ud83d') WHERE id = 'j'")
        connection.execute(damage)
    assert [judge.id for judge in client.judges.list()] == ["j", "k"]
    assert client.judges.get("j").judge_spec["rubric"].startswith("5: \ufffd")


def test_half_a_character_in_a_rationale_is_replaced(client: Client, upstream: Upstream) -> None:
    upstream.script = lambda request: f"<rationale>{HALF}</rationale><score>2</score>"
    assert client.judges.evaluate_using_judge_spec(RUBRIC, REQUEST, "x").score == 2
