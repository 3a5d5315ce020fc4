"""Which LLM comes next, should the chosen one fail."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from llmrouter.decision import RoutingDecision


def next_choices(decision: RoutingDecision, names: Iterable[str]) -> list[str]:
    """Return LLMs in the order in which a decision prefers them, its own constraint kept as far as it can be.

    Args:
        decision: Of a policy.
        names: The LLMs that are left.
    """
    told: Any = decision.constraint or {}
    limit = told.get("limit")
    bound = math.nan if limit is None else float(limit)
    quality = _numbers(decision.scores, -math.inf)
    costs = _numbers((decision.extra or {}).get("expected_costs"), math.inf)

    def cost(name: str) -> float:
        return costs.get(name, math.inf)

    def best(name: str) -> tuple[float, float, str]:
        return -quality.get(name, -math.inf), cost(name), name

    def cheapest(name: str) -> tuple[float, float, str]:
        return cost(name), *best(name)[::2]

    if told.get("cost_constraint") is not None:
        return sorted(
            names, key=lambda name: (0, *best(name)) if cost(name) <= bound else (1, *cheapest(name))
        )
    if told.get("quality_constraint") is not None:
        return sorted(
            names,
            key=lambda name: (
                (0, *cheapest(name)) if quality.get(name, -math.inf) >= bound else (1, *best(name))
            ),
        )
    return sorted(names, key=best)


def _numbers(told: Any, missing: float) -> dict[str, float]:
    found = told if isinstance(told, Mapping) else {}
    return {name: missing if value is None else float(value) for name, value in found.items()}
