"""Learn the length at which the dearest LLM begins to be worth its cost."""

from llmrouter.models.base_trainer import BaseTrainer


class MyRouterTrainer(BaseTrainer):
    """Tries each length that occurs and keeps the one that does best."""

    def train(self):
        router = self.router
        performance = {}
        for row in router.routing_data_train:
            performance.setdefault(row["query"], {})[row["model_name"]] = row["performance"]

        # What an extra unit of cost has to bring in performance.
        price = 0.2
        extra = price * (router.llm_data[router.dearest]["cost"] - router.llm_data[router.cheapest]["cost"])

        def value(max_length):
            return sum(
                scores[router.dearest] - extra if len(query) > max_length else scores[router.cheapest]
                for query, scores in performance.items()
            )

        router.max_length = max(sorted({len(query) for query in performance}), key=value)
        router.save_router(self.config["model_path"]["save_model_path"])
