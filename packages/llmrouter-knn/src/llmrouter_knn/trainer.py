"""The trainer of ``knnrouter``, which remembers."""

from __future__ import annotations

import numpy as np

from llmrouter.encoders.queries import encode_queries
from llmrouter.learning.outcomes import outcomes_from
from llmrouter.models.base_trainer import BaseTrainer
from llmrouter_knn.memory import Memory, dense
from llmrouter_knn.router import KnnRouter

# Queries that are encoded between two reports.
AT_ONCE = 1024


class KnnTrainer(BaseTrainer):
    """Lets a `KnnRouter` remember its ``routing_data_train``; it takes as long as encoding the queries."""

    router: KnnRouter

    def train(self) -> None:
        """Train the router and save it to ``model_path.save_model_path``.

        Raises:
            ConfigError: There is no path to save to or no routing data, or no cost is known and the
                configuration needs one.
            DataError: The routing data do not tell what training needs.
        """
        router = self.router
        path, rows = self.save_path(), self.routing_data()
        outcomes = outcomes_from(rows, router.llm_data)
        router.check_costs(outcomes.llms, outcomes.usd)
        encoder = router.make_encoder()
        if encoder is not None:
            encoder.fit(outcomes.queries)
        parts = []
        for at in range(0, len(outcomes), AT_ONCE):
            parts.append(dense(encode_queries(encoder, outcomes.rows[at : at + AT_ONCE])))
            self.report(len(parts), -(-len(outcomes) // AT_ONCE), {})
        memory = Memory(
            outcomes.llms,
            np.concatenate(parts).astype(np.float16),
            outcomes.quality.astype(np.float32),
            outcomes.usd.astype(np.float32),
            router.settings.search,
        )
        trained = {"data": outcomes.digest, "queries": len(outcomes)}
        router.take_over(memory, encoder, trained)
        router.save_router(path)
