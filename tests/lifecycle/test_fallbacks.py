"""The order in which LLMs are tried after the one that a router chose."""

from __future__ import annotations

from typing import Any

import pytest

from llmrouter.decision import RoutingDecision
from llmrouter_lifecycle.routing.fallbacks import next_choices

SCORES = {"best": 0.9, "good": 0.8, "poor": 0.2, "unpriced": 0.7}
COSTS = {"best": 9.0, "good": 5.0, "poor": 1.0, "unpriced": None}


@pytest.mark.parametrize(
    ("constraint", "order"),
    [
        (None, ["best", "good", "unpriced", "poor"]),
        # Those within the limit, the best first; then the others, the cheapest first.
        ({"cost_constraint": {"numeric_value": 5.0}, "limit": 5.0}, ["good", "poor", "best", "unpriced"]),
        # Those good enough, the cheapest first; then the others, the best first.
        ({"quality_constraint": {"numeric_value": 0.7}, "limit": 0.7}, ["good", "best", "unpriced", "poor"]),
        (
            {"cost_constraint": {"model_name": "unpriced"}, "limit": None},
            ["poor", "good", "best", "unpriced"],
        ),
    ],
)
def test_the_constraint_is_kept_as_far_as_it_can_be(constraint: Any, order: list[str]) -> None:
    decision = RoutingDecision(
        model_name="gone", scores=SCORES, constraint=constraint, extra={"expected_costs": COSTS}
    )
    assert next_choices(decision, sorted(SCORES)) == order
