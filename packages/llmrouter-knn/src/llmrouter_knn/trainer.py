"""The trainer of ``knnrouter``, as the command runs it."""

from __future__ import annotations

from llmrouter.learning.training import LearnedRouterTrainer


class KnnTrainer(LearnedRouterTrainer):
    """Lets a `llmrouter_knn.router.KnnRouter` remember; it takes little longer than encoding the queries."""
