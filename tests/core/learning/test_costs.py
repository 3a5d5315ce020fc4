"""What answers are expected to cost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest


def arranged(*rows: dict[str, Any], llms: tuple[str, ...] = ("a", "b")) -> Any:
    from llmrouter.learning.outcomes import outcomes_from

    return outcomes_from([{"query": "q", "performance": 1.0, **row} for row in rows], llms)


def test_prices_are_applied_to_tokens_and_observed_costs_stay() -> None:
    from llmrouter.completion.prices import Price
    from llmrouter.learning.costs import Costs

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
