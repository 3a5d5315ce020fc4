"""Routers whose points were given by hand: the quality of each LLM is that of its point."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from llmrouter.completion.messages import estimate_tokens
from llmrouter.constraints import KEY, Constraint, choose
from llmrouter.decision import RoutingDecision
from llmrouter.routing import ALLOWED
from llmrouter_lifecycle.models import Models
from llmrouter_lifecycle.training.estimate import answer_tokens


class StaticPolicy:
    """Chooses among points.

    Args:
        spec: Of the router.
        models: The LLMs.
    """

    def __init__(self, spec: Mapping[str, Any], models: Models) -> None:
        self._models = models
        self.qualities: dict[str, float] = {}
        for point in spec["points"]:
            name, quality = point["executor"]["spec"]["model_name"], float(point["point"]["y"])
            self.qualities[name] = max(quality, self.qualities.get(name, 0.0))

    def decide(self, query: dict[str, Any]) -> RoutingDecision:
        """Choose the LLM for a query."""
        llms = list(self.qualities)
        costs = [self._cost(name, query) for name in llms]
        among = query.get(ALLOWED)
        allowed = [number for number, name in enumerate(llms) if among is None or name in among]
        constraint = Constraint.parse(query.get(KEY), llms)
        unknown = [math.nan if cost is None else cost for cost in costs]
        choice = choose(llms, list(self.qualities.values()), unknown, allowed, constraint)
        told = choice.told(constraint)
        return RoutingDecision(
            model_name=llms[choice.number],
            query=query["query"],
            scores=dict(self.qualities),
            expected_cost=costs[choice.number],
            constraint=told.get("constraint"),
            fallback=told.get("fallback", False),
            fallback_reason=choice.reason,
            extra={"constraint_met": choice.met, "expected_costs": dict(zip(llms, costs, strict=True))},
        )

    def _cost(self, name: str, query: Mapping[str, Any]) -> float | None:
        price = self._models.price(name) if name in self._models.candidates else None
        if price is None:
            return None
        return price.cost(estimate_tokens(query["messages"], query.get("tools")), answer_tokens(query))
