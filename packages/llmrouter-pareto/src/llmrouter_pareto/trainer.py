"""The trainer of ``paretorouter``, as the command runs it."""

from __future__ import annotations

from llmrouter.models.base_trainer import BaseTrainer
from llmrouter_pareto.router import ParetoRouter
from llmrouter_pareto.training import learn


class ParetoTrainer(BaseTrainer):
    """Trains a `ParetoRouter` on its ``routing_data_train``.

    It takes seconds and begins anew each time, on the CPU: there is nothing to resume.
    """

    router: ParetoRouter

    def train(self) -> None:
        """Train the router and save it to ``model_path.save_model_path``.

        Raises:
            ConfigError: There is no path to save to, or no routing data.
            DataError: The routing data do not tell what training needs.
        """
        router = self.router
        path, rows = self.save_path(), self.routing_data()
        learn(router, rows, self.report)
        router.save_router(path)
