"""Text that no encoding has: refused where users write it, replaced where LLMs and judges do."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, text

from llmrouter_lifecycle import Client, InvalidParameterError, RubricJudgeSpec
from llmrouter_lifecycle.store.encoding import decode_json, encode_json, unstorable
from llmrouter_lifecycle.store.schema import calls
from llmrouter_testing.upstream import Reply, Upstream
from tests.lifecycle.conftest import home_of, requests

LLMS = ["local/cheap", "local/dear"]
HALF = "half \ud83d"
NUL = "nul \0"
REPLACED = "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize("bad", [HALF, NUL, "\udfff\ud800"])
def test_an_answer_with_it_is_stored_with_a_replacement(
    client: Client, upstream: Upstream, work: Callable[..., None], bad: str
) -> None:
    upstream.script = lambda request: f"{bad} 1"
    client.judges.create_judge("j", "numeric")
    client.routers.create_router("r", "local/dear")
    job = client.routers.run_training_job("r", "j", LLMS, requests(3))
    work(client)
    job = client.routers.poll_training_job(job)
    assert job.status == "SUCCESS", job.error_message
    with home_of(client).database.read() as connection:
        stored = connection.scalars(select(calls.c.message).where(calls.c.kind == "answer")).all()
    told = [message["content"] for message in stored]
    assert len(told) == 6
    assert all(REPLACED in content and content.isprintable() for content in told)


def test_an_error_with_it_is_stored_with_a_replacement(
    client: Client, upstream: Upstream, work: Callable[..., None]
) -> None:
    def refuse(request: dict[str, Any]) -> str:
        raise Reply(400, {"error": {"message": f"{HALF} {NUL}"}})

    upstream.script = refuse
    client.judges.create_judge("j", "numeric")
    client.routers.create_router("r", "local/dear")
    job = client.routers.run_training_job("r", "j", LLMS, requests(3))
    work(client)
    assert client.routers.poll_training_job(job).status == "FAILURE"
    assert [found.status for found in client.routers.list_training_jobs()] == ["FAILURE"]


@pytest.mark.parametrize("bad", [HALF, NUL])
def test_what_users_write_is_refused_by_name(client: Client, bad: str) -> None:
    rubric = {
        "model_type": "rubric_judge",
        "rubric": bad,
        "model": "local/dear",
        "min_score": 0,
        "max_score": 1,
    }
    with pytest.raises(InvalidParameterError, match=r"^judgeSpec\.judgeSpec\.rubric: holds NUL or half of a"):
        client.judges.create_judge("j", rubric)
    with pytest.raises(InvalidParameterError, match=r"^description: "):
        client.routers.create_router("r", "local/dear", description=bad)
    client.judges.create_judge("fine", "numeric")
    client.routers.create_router("fine", "local/dear")
    asked = requests(3)
    asked[1]["messages"][0]["content"] = bad
    with pytest.raises(InvalidParameterError, match=r"^requests\.1\.messages\.0\.content: holds NUL or half"):
        client.routers.run_training_job("fine", "fine", LLMS, asked)
    assert [judge.id for judge in client.judges.list()] == ["fine"]


def test_a_row_that_was_stored_damaged_can_be_read(client: Client) -> None:
    client.judges.create_judge("old", {"model_type": "regex", "pattern": "x"})
    with home_of(client).database.write() as connection:
        damaged = r'{"model_type": "regex", "pattern": "x \ud83d"}'
        connection.execute(text("UPDATE llmrouter_judges SET spec = :spec"), {"spec": damaged})
    (judge,) = client.judges.list()
    assert judge.judge_spec["pattern"] == f"x {REPLACED}"


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (HALF, f"half {REPLACED}"),
        ({HALF: [NUL]}, {f"half {REPLACED}": [f"nul {REPLACED}"]}),
        ("\\u0000 is no NUL, \N{GRINNING FACE} no half", "\\u0000 is no NUL, \N{GRINNING FACE} no half"),
        ([2**70, HALF, "\N{GRINNING FACE}"], [2**70, f"half {REPLACED}", "\N{GRINNING FACE}"]),
        ([HALF, math.nan, {"a": (math.inf,)}], [f"half {REPLACED}", None, {"a": [None]}]),
        ({"a": 1.5, "b": [None, True]}, {"a": 1.5, "b": [None, True]}),
    ],
)
def test_what_is_written_can_be_read(value: Any, stored: Any) -> None:
    assert decode_json(encode_json(value)) == stored


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": [{"b": "fine"}, {"c": HALF}]}, "a.1.c"),
        ({"a": {NUL: 1}}, f"a.nul {REPLACED}"),
        ({"a": "\\u0000"}, None),
        ({"a": 2**70}, None),
    ],
)
def test_where_it_stands(value: Any, path: str | None) -> None:
    assert unstorable(value) == path


def test_it_is_replaced_in_a_rationale(client: Client, upstream: Upstream) -> None:
    upstream.script = lambda request: f"<rationale>{HALF}</rationale><score>2</score>"
    rubric = RubricJudgeSpec(rubric="5: right", model="local/dear", min_score=1, max_score=5)
    judgement = client.judges.evaluate_using_judge_spec(rubric, requests(1)[0], "x")
    assert judgement.score == 2
