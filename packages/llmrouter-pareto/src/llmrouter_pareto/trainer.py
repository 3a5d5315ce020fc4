"""The trainer of ``paretorouter``, as the command runs it."""

from __future__ import annotations

from llmrouter.learning.training import LearnedRouterTrainer


class ParetoTrainer(LearnedRouterTrainer):
    """Trains a `llmrouter_pareto.router.ParetoRouter`.

    It takes seconds and begins from nothing each time, on the CPU: there is nothing to resume.
    """
