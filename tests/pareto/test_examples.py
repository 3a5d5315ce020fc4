"""Routing data are arranged by query and LLM, whatever of them is told."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.torch


def arranged(*rows: dict[str, Any], llms: tuple[str, ...] = ("a", "b")) -> Any:
    from llmrouter_pareto.examples import examples_from

    return examples_from([{"query": "q", "performance": 1.0, **row} for row in rows], llms)


def test_what_is_missing_is_nan() -> None:
    found = arranged({"model_name": "a"}, {"query": "r", "model_name": "b", "performance": 0.5})
    assert found.queries == ["q", "r"]
    assert np.array_equal(found.quality, [[1, math.nan], [math.nan, 0.5]], equal_nan=True)
    assert np.isnan(found.usd).all()


def test_an_llm_that_answered_twice_counts_once_by_its_mean() -> None:
    found = arranged({"model_name": "a", "performance": 0.0}, {"model_name": "a"}, {"model_name": "b"})
    assert found.quality.tolist() == [[0.5, 1.0]]


def test_an_id_tells_equal_queries_apart() -> None:
    assert len(arranged({"model_name": "a", "id": 1}, {"model_name": "a", "id": 2}, {"model_name": "b"})) == 3


def test_tokens_under_either_name_or_as_their_sum() -> None:
    found = arranged(
        {"model_name": "a", "prompt_tokens": 7, "completion_tokens": 3},
        {"model_name": "b", "input_tokens": 8, "output_tokens": 4},
    )
    assert (found.prompt.tolist(), found.answer.tolist()) == ([[7, 8]], [[3, 4]])
    found = arranged({"model_name": "a", "prompt_tokens": 7, "token_num": 10}, {"model_name": "b"})
    assert found.answer[0, 0] == 3
    assert math.isnan(found.answer[0, 1])


def test_llms_without_rows_and_rows_without_candidates_are_told(caplog: pytest.LogCaptureFixture) -> None:
    found = arranged({"model_name": "a"}, {"model_name": "c"})
    assert found.llms == ("a",)
    assert "Rows of c are left out" in caplog.text
    assert "b cannot be chosen" in caplog.text


def test_prices_are_applied_to_tokens_and_observed_costs_stay() -> None:
    from llmrouter.completion.prices import Price
    from llmrouter_pareto.costs import Costs

    found = arranged(
        {"model_name": "a", "prompt_tokens": 100, "completion_tokens": 10, "cost": 9.0},
        {"model_name": "b", "cost": 0.25},
    )
    costs = Costs.fit(found)
    assert costs.units == ("tokens", "usd")
    assert costs.outlay(found).tolist() == [[10, 0.25]]
    prices = [Price(1.0, 10.0), None]
    assert costs.actual(found, prices).tolist() == [[200 / 1e6, 0.25]]
    expected = costs.expected(np.array([[10.0, 0.25]]), np.array([20.0]), np.array([4.0]), prices)
    assert expected[0].tolist() == pytest.approx([(20 * costs.ratios[0] + 4 * 10) / 1e6, 0.25])
    assert Costs.from_json(costs.to_json()) == costs
    assert np.isnan(costs.expected(np.array([[10.0, 0.25]]), np.ones(1), np.ones(1), [None, None])[0, 0])


def test_the_neighbours_count_as_far_as_they_help() -> None:
    import torch

    from llmrouter_pareto.fitting import best_shares

    generator = torch.Generator().manual_seed(0)
    moved = torch.randn(200, 3, generator=generator)
    common = moved.mean(1, keepdim=True)
    assert best_shares(moved, moved) == pytest.approx((0.75, 0.75))
    assert best_shares(0.5 * common + 0.25 * (moved - common), moved) == pytest.approx((0.5, 0.375), abs=1e-6)
    assert best_shares(-moved, moved) == (0.25, 0.25)
