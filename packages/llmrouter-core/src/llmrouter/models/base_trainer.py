"""The contract of a trainer; free of torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from llmrouter.models.router import Router


class BaseTrainer(ABC):
    """Trains a router and saves what it learned.

    Args:
        router: The router to train; its ``routing_data_train`` and the like are the data.
        config: The router's configuration.
        device: Where to train, as torch names it: ``cpu``, ``cuda``, ``cuda:0``…
    """

    def __init__(self, router: Router, config: dict[str, Any], device: str = "cpu") -> None:
        super().__init__()
        self.router = router
        self.config = config
        self.device = device

    @abstractmethod
    def train(self) -> None:
        """Train the router, and save it to ``config["model_path"]["save_model_path"]``."""
