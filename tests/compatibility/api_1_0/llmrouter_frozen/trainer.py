from llmrouter.models.base_trainer import BaseTrainer


class FrozenTrainer(BaseTrainer):
    """Learns the mean length of the queries to train on."""

    def __init__(self, router, config: dict, device: str = "cpu"):
        super().__init__(router, config, device)
        self.epochs = config["hparam"].get("train_epoch", 1)

    def train(self) -> None:
        lengths = {row["query"]: len(row["query"]) for row in self.router.routing_data_train}
        for epoch in range(self.epochs):
            self.router.max_length = sum(lengths.values()) / len(lengths)
            self.report(epoch + 1, self.epochs, {"length": self.router.max_length})
        self.router.save_router(self.config["model_path"]["save_model_path"])
