"""Routers whose points were given by hand: the quality of each LLM is that of its point."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

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

    def decide(self, request: Mapping[str, Any], query: Mapping[str, Any]) -> RoutingDecision:
        """Choose the LLM for a request; `query` has text, constraint, and which may be chosen."""
        costs = {name: self._cost(name, request) for name in self.qualities}
        constraint = query.get("routing_constraint") or {}
        among = query.get(ALLOWED)
        names = sorted(self.qualities if among is None else self.qualities.keys() & set(among))
        allowed, limit, fallback = names, None, None
        if told := constraint.get("cost_constraint"):
            limit = told.get("numeric_value")
            if limit is None:
                limit = costs.get(told["model_name"])
            allowed = [name for name in names if limit is not None and _known(costs[name]) <= limit]
            if not allowed:
                allowed = sorted(names, key=lambda name: (_known(costs[name]), name))[:1]
                fallback = "no LLM is expected to cost so little; the cheapest was taken"
        elif told := constraint.get("quality_constraint"):
            limit = told.get("numeric_value")
            if limit is None:
                limit = self.qualities[told["model_name"]]
            allowed = [name for name in names if self.qualities[name] >= limit]
            if not allowed:
                allowed = sorted(names, key=lambda name: (-self.qualities[name], name))[:1]
                fallback = "no LLM is expected to be so good; the best was taken"
            else:
                allowed = sorted(allowed, key=lambda name: (_known(costs[name]), name))[:1]
        best = min(allowed, key=lambda name: (-self.qualities[name], _known(costs[name]), name))
        return RoutingDecision(
            model_name=best,
            query=query.get("query"),
            scores=dict(self.qualities),
            expected_cost=costs[best],
            constraint={**constraint, "limit": limit} if constraint else None,
            fallback=fallback is not None,
            fallback_reason=fallback,
            extra={"constraint_met": fallback is None if constraint else None, "expected_costs": costs},
        )

    def _cost(self, name: str, request: Mapping[str, Any]) -> float | None:
        from llmrouter.completion.messages import estimate_tokens

        price = self._models.price(name) if name in self._models.candidates else None
        if price is None:
            return None
        tokens = estimate_tokens(request["messages"], request.get("tools"))
        return price.cost(tokens, answer_tokens(request))


def _known(cost: float | None) -> float:
    """An unknown cost meets no limit, and is no cheaper than any."""
    return math.inf if cost is None else cost
