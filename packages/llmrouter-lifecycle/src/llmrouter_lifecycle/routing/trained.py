"""Routers that were trained: a checkpoint predicts quality and cost of each LLM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmrouter.decision import RoutingDecision
from llmrouter.routing import DecisionEngine
from llmrouter_lifecycle.models import Models


class TrainedPolicy:
    """Chooses with a checkpoint, at the prices of now.

    Args:
        spec: Of the router.
        checkpoint: What training learned.
        models: The LLMs.
    """

    def __init__(self, spec: Mapping[str, Any], checkpoint: bytes, models: Models) -> None:
        from llmrouter_pareto import ParetoRouter

        trained = [point["executor"]["spec"]["model_name"] for point in spec["points"]]
        # One that the configuration does not list any more cannot be called.
        candidates = {name: models.candidates[name] for name in trained if name in models.candidates}
        router = ParetoRouter.from_checkpoint(checkpoint, candidates)
        self._engine = DecisionEngine(router, "paretorouter")
        self.qualities = dict.fromkeys(candidates, 0.0)

    def decide(self, query: dict[str, Any]) -> RoutingDecision:
        """Choose the LLM for a query."""
        return self._engine.decide(query)


def import_routers() -> None:
    """Import what the policies need, which takes seconds, so that no request waits for it."""
    import llmrouter_pareto.router  # noqa: F401
