"""Routing data, arranged by query and LLM."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest

from llmrouter.errors import DataError
from llmrouter_knn.examples import examples_from


def row(query: str, name: str, performance: Any, **more: Any) -> dict[str, Any]:
    return {"query": query, "model_name": name, "performance": performance, **more}


def test_each_query_is_one_row_with_what_is_known() -> None:
    told = examples_from([row("q", "b", 0.5, cost=2), row("p", "a", 1), row("q", "a", 0)], ["a", "b"])
    assert [one["query"] for one in told.rows] == ["p", "q"]
    np.testing.assert_array_equal(told.quality, np.array([[1, math.nan], [0, 0.5]], np.float32))
    np.testing.assert_array_equal(told.cost, np.array([[math.nan] * 2, [math.nan, 2]], np.float32))


def test_of_several_answers_the_mean_counts() -> None:
    told = examples_from([row("q", "a", 0), row("q", "a", 1, cost=3), row("q", "a", 1)], ["a"])
    assert told.quality[0, 0] == pytest.approx(2 / 3)
    assert told.cost[0, 0] == 3


def test_the_best_llm_is_a_vote() -> None:
    told = examples_from([{"query": "q", "best_llm": "b", "performance": 0.7}], ["a", "b"])
    assert told.quality.tolist() == [[0, 1]]


def test_the_order_of_rows_plays_no_part_but_each_value_does() -> None:
    rows = [row(f"q{number}", name, number / 10) for number in range(10) for name in "ab"]
    mixed = random.Random(0).sample(rows, len(rows))
    digest = examples_from(rows, "ab").digest
    assert examples_from(mixed, "ab").digest == digest
    others = ({"performance": 0.99}, {"cost": 1}, {"embedding": [1.0]}, {"query": "r"})
    assert (
        len({examples_from([{**rows[0], **other}, *rows[1:]], "ab").digest for other in others} | {digest})
        == 5
    )


def test_rows_and_candidates_that_do_not_meet_are_named(caplog: pytest.LogCaptureFixture) -> None:
    told = examples_from([row("q", "a", 1), row("q", "x", 1)], ["a", "idle"])
    assert told.llms == ("a",)
    assert "x are left out" in caplog.text
    assert "idle cannot be chosen" in caplog.text


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([], "no row tells"),
        ([row("q", "a", None)], "no row tells"),
        ([row("q", "a", 1.5)], "from 0 to 1, found 1.5"),
        ([row("q", "a", -1)], "from 0, found -1"),
        ([row("q", "a", 1, cost=math.inf)], "from 0, found inf"),
        ([row("q", "a", 1, cost="3")], "from 0, found '3'"),
    ],
)
def test_what_cannot_be_learned_from_is_told(rows: Any, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        examples_from(rows, ["a"])
