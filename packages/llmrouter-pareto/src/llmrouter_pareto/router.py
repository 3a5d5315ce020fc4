"""Predict each LLM's quality and cost for a query, and choose by a constraint or a trade-off."""

from __future__ import annotations

from llmrouter.learning.router import LearnedRouter
from llmrouter_pareto.plugin import NAME
from llmrouter_pareto.predictor import ParetoPredictor


class ParetoRouter(LearnedRouter):
    """Predicts how well each LLM would answer and at what cost, and chooses on the frontier of both.

    The hyperparameters by which it learns are those of `llmrouter_pareto.hyperparameters.Hyperparameters`.
    """

    predictor_class = ParetoPredictor
    name = NAME
    package = "llmrouter-pareto"
