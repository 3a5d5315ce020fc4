"""Routing data, arranged by query and LLM."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest

from llmrouter.errors import DataError
from llmrouter.learning.outcomes import outcomes_from


def row(query: str, name: str, performance: Any, **more: Any) -> dict[str, Any]:
    return {"query": query, "model_name": name, "performance": performance, **more}


def test_each_query_is_one_row_with_what_is_known() -> None:
    told = outcomes_from([row("q", "b", 0.5, cost=2), row("p", "a", 1), row("q", "a", 0)], ["a", "b"])
    assert [one["query"] for one in told.rows] == ["p", "q"]
    np.testing.assert_array_equal(told.quality, [[1, math.nan], [0, 0.5]])
    np.testing.assert_array_equal(told.usd, [[math.nan] * 2, [math.nan, 2]])


def test_of_several_answers_the_mean_counts() -> None:
    told = outcomes_from([row("q", "a", 0), row("q", "a", 1, cost=3), row("q", "a", 1)], ["a"])
    assert told.quality[0, 0] == pytest.approx(2 / 3)
    assert told.usd[0, 0] == 3


def vote(query: str, name: str) -> dict[str, Any]:
    return {"query": query, "best_llm": name, "performance": 0.7}


def test_votes_for_the_best_llm_become_shares() -> None:
    told = outcomes_from([vote("q", "b"), vote("p", "a"), vote("p", "a"), vote("p", "b")], ["a", "b"])
    np.testing.assert_allclose(told.quality, np.array([[2 / 3, 1 / 3], [0.0, 1.0]]))
    assert told.votes.tolist() == [True, True]
    assert np.isnan(told.usd).all()


def test_votes_do_not_count_where_performances_are_known() -> None:
    told = outcomes_from([vote("q", "b"), row("q", "a", 0.5), vote("p", "a")], ["a", "b"])
    np.testing.assert_array_equal(told.quality, [[1, 0], [0.5, math.nan]])
    assert told.votes.tolist() == [True, False]


def test_an_id_or_a_task_tells_equal_queries_apart() -> None:
    parts: list[dict[str, Any]] = [{}, {"id": 1}, {"id": 2}, {"id": 2, "task_name": "t"}]
    assert len(outcomes_from([row("q", "a", 1, **part) for part in parts * 2], ["a"])) == 4


def test_tokens_have_several_names_and_may_be_a_sum() -> None:
    told = outcomes_from(
        [
            row("q", "a", 1, prompt_tokens=7, completion_tokens=3),
            row("q", "b", 1, input_tokens=8, output_tokens=4),
            row("q", "c", 1, prompt_tokens=7, token_num=10),
        ],
        "abc",
    )
    assert (told.prompt.tolist(), told.answer.tolist()) == ([[7, 8, 7]], [[3, 4, 3]])


def test_true_and_false_are_performances() -> None:
    assert outcomes_from([row("q", "a", True), row("q", "b", False)], "ab").quality.tolist() == [[1, 0]]


def test_some_queries_and_some_llms() -> None:
    rows = [row(f"q{number}", name, number / 10) for number in range(4) for name in "abc"]
    told = outcomes_from(rows, "abc")
    found = told.take(np.array([3, 1])).select(["c", "missing", "a"])
    assert (found.queries, found.llms) == (["q3", "q1"], ("c", "missing", "a"))
    np.testing.assert_allclose(found.quality, np.array([[0.3, math.nan, 0.3], [0.1, math.nan, 0.1]]))
    assert not np.isnan(told.quality).any()


@pytest.mark.parametrize("embedding", ["text", ["a"], {"a": 1}, [[1.0]], [[1.0], []], 3])
def test_an_embedding_that_is_no_list_of_numbers(embedding: Any) -> None:
    with pytest.raises(DataError, match="the embedding of 'q' is not a list of numbers"):
        outcomes_from([row("q", "a", 1, embedding=embedding)], "a")


def test_the_order_of_rows_plays_no_part_but_each_value_does() -> None:
    rows = [row(f"q{number}", name, number / 10) for number in range(10) for name in "ab"]
    mixed = random.Random(0).sample(rows, len(rows))
    digest = outcomes_from(rows, "ab").digest
    assert outcomes_from(mixed, "ab").digest == digest
    others = ({"performance": 0.99}, {"cost": 1}, {"embedding": [1.0]}, {"query": "r"})
    assert (
        len({outcomes_from([{**rows[0], **other}, *rows[1:]], "ab").digest for other in others} | {digest})
        == 5
    )


def test_rows_and_candidates_that_do_not_meet_are_named(caplog: pytest.LogCaptureFixture) -> None:
    told = outcomes_from([row("q", "a", 1), row("q", "x", 1)], ["a", "idle"])
    assert told.llms == ("a",)
    assert "x are left out" in caplog.text
    assert "idle cannot be chosen" in caplog.text


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([], "no row says"),
        ([row("q", "a", None)], "no row says"),
        ([row("q", "a", 1.5)], "from 0 to 1, found 1.5"),
        ([row("q", "a", -1)], "from 0 to 1, found -1"),
        ([row("q", "a", math.nan)], "from 0 to 1, found nan"),
        ([row("q", "a", "1")], "from 0 to 1, found '1'"),
        ([row("q", "a", 1, cost=math.inf)], "from 0, found inf"),
        ([row("q", "a", 1, cost="3")], "from 0, found '3'"),
    ],
)
def test_what_cannot_be_learned_from_is_told(rows: Any, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        outcomes_from(rows, ["a"])
