"""Outcomes: routing data by query and LLM; what is missing is reported, what is unknown stays unknown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from llmrouter.errors import DataError
from llmrouter.evaluation.outcomes import candidate_costs, outcomes_from_rows

PAIR: dict[str, dict[str, Any]] = {"small": {"cost": 1}, "large": {"cost": 10}}


def row(query: str, llm: str, performance: float | None, **more: Any) -> dict[str, Any]:
    return {"query": query, "model_name": llm, "performance": performance, **more}


def both(query: str, small: float | None, large: float | None, **more: Any) -> list[dict[str, Any]]:
    return [row(query, "small", small, **more), row(query, "large", large, **more)]


def test_rows_become_a_matrix_in_the_order_of_the_candidates() -> None:
    found = outcomes_from_rows(both("a", 0, 1)[::-1] + both("b", 0.5, 0.25), PAIR)
    assert found.llms == ("small", "large")
    assert found.performance.tolist() == [[0, 1], [0.5, 0.25]]
    assert found.cost.tolist() == [[1, 10], [1, 10]]
    assert (found.cost_unit, found.left_out) == ("relative", 0)


def test_routers_are_told_no_outcome() -> None:
    rows = both("a", 0, 1, id="q1", task_name="sums", token_num=3, ground_truth="42")
    assert outcomes_from_rows(rows, PAIR).queries == [{"query": "a", "id": "q1", "task_name": "sums"}]


def test_a_text_that_occurs_again_is_another_query() -> None:
    found = outcomes_from_rows(both("a", 0, 1) + both("a", 1, 1) + both("a", 1, 0, id=7), PAIR)
    assert found.performance.tolist() == [[0, 1], [1, 1], [1, 0]]


def test_costs_of_the_rows_come_first_and_are_usd() -> None:
    found = outcomes_from_rows([row("a", "small", 0, cost=0.001), row("a", "large", 1, cost=0.02)], PAIR)
    assert found.cost.tolist() == [[0.001, 0.02]]
    assert found.cost_unit == "USD per query"


def test_a_query_without_an_outcome_is_left_out_and_counted() -> None:
    rows = both("a", 0, 1) + both("b", None, 1) + [row("c", "large", 1)]
    found = outcomes_from_rows(rows, PAIR)
    assert [query["query"] for query in found.queries] == ["a"]
    assert (found.missing_performance, found.missing_cost, found.left_out) == (2, 0, 2)


def test_a_query_without_a_cost_is_left_out_where_others_have_one() -> None:
    rows = [*both("a", 0, 1, cost=0.5), row("b", "small", 0, cost=0.5), row("b", "large", 1)]
    found = outcomes_from_rows(rows, PAIR)
    assert (len(found.queries), found.missing_cost, found.left_out) == (1, 1, 1)


def test_an_unknown_cost_is_not_zero() -> None:
    found = outcomes_from_rows(both("a", 0, 1), {"small": {"cost": 1}, "large": {}})
    assert np.isnan(found.cost[:, 1]).all()
    assert not found.costs_known


@pytest.mark.parametrize(
    ("candidates", "costs", "unit"),
    [
        ([{"cost": 1}, {"cost": 2}], [1, 2], "relative"),
        ([{"cost": 1, "cost_unit": "usd_per_million_tokens"}] * 2, [1, 1], "USD per million tokens"),
        ([{"input_price": 1, "output_price": 3}] * 2, [2, 2], "USD per million tokens"),
        ([{"input_price": 1}, {"input_price": 0, "output_price": 0}], [None, 0], "USD per million tokens"),
        ([{"cost": 1}, {"cost": 2, "cost_unit": "usd_per_million_tokens"}], [None, None], None),
        ([{}, {}], [None, None], None),
    ],
)
def test_costs_of_candidates(candidates: Any, costs: list[float | None], unit: str | None) -> None:
    found, found_unit = candidate_costs(candidates)
    assert [None if np.isnan(cost) else cost for cost in found] == costs
    assert found_unit == unit


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([{"query": "a", "best_llm": "small", "performance": 1}], "a row for each query and LLM"),
        ([], "holds no routing data"),
        ([*both("a", 0, 1), row("a", "huge", 1)], "outcomes of 'huge', not among the candidates"),
        ([row("a", "small", 1)], "no outcomes of 'large'"),
        (both("a", 0, 70), "expected from 0 to 1, found 70"),
        (both("a", -1, 1), "expected a number from 0, found -1"),
        (both("a", 0, 1, cost="cheap"), "expected a number from 0, found 'cheap'"),
        ([row("a", "small", 1), row("b", "large", 1)], "no query has the outcomes of every LLM"),
    ],
)
def test_errors_say_what_is_needed(rows: list[dict[str, Any]], told: str) -> None:
    with pytest.raises(DataError, match=r"^test\.jsonl: ") as caught:
        outcomes_from_rows(rows, PAIR, "test.jsonl")
    assert told in str(caught.value)
