"""Routers that were trained: a checkpoint predicts quality and cost of each LLM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmrouter.decision import RoutingDecision
from llmrouter.routing import DecisionEngine
from llmrouter_lifecycle.models import Models
from llmrouter_lifecycle.training.requests import parameters_of

# Fields of a request that a router looks at beside its text.
_SEEN = ("tools", "max_tokens", "max_completion_tokens")


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

    def decide(self, request: Mapping[str, Any], query: Mapping[str, Any]) -> RoutingDecision:
        """Choose the LLM for a request; `query` holds its text and its constraint."""
        told = parameters_of(request)
        seen = {key: told[key] for key in _SEEN if told.get(key) is not None}
        if "max_completion_tokens" in seen:
            limit = seen.pop("max_completion_tokens")
            seen["max_tokens"] = min(limit, seen.get("max_tokens", limit))
        return self._engine.decide({**query, **seen, "messages": request["messages"]})


def import_routers() -> None:
    """Import what the policies need, which takes seconds, so that no request waits for it."""
    import llmrouter_pareto.router  # noqa: F401
