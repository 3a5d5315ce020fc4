"""The contract of a trainer; free of torch."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from llmrouter.config import config_error
from llmrouter.data.routing_data import RoutingData
from llmrouter.models.router import Router

logger = logging.getLogger(__name__)

# Queries with which the mean of performances from 0 to 1 is known to 0.1, with 95 % confidence.
ENOUGH = 100

Report = Callable[[int, int, Mapping[str, float]], None]


def _log(done: int, total: int, figures: Mapping[str, float]) -> None:
    told = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
    logger.info("Epoch %d of %d: %s", done, total, told)


class BaseTrainer(ABC):
    """Trains a router and saves what it learned.

    Args:
        router: The router to train; its ``routing_data_train`` and the like are the data.
        config: The router's configuration.
        device: Where to train, as torch names it: ``cpu``, ``cuda``, ``cuda:0``…

    Attributes:
        report: What `train` may call after each epoch with the epochs done, the epochs at most, and figures
            such as the loss; it logs them, unless whoever trains sets another.
    """

    def __init__(self, router: Router, config: dict[str, Any], device: str = "cpu") -> None:
        super().__init__()
        self.router = router
        self.config = config
        self.device = device
        self.report: Report = _log

    @abstractmethod
    def train(self) -> None:
        """Train the router, and save it to ``config["model_path"]["save_model_path"]``."""

    def save_path(self) -> str:
        """Return where to save what is learned.

        Raises:
            ConfigError: ``model_path.save_model_path`` is missing.
        """
        path = self.config["model_path"].get("save_model_path")
        if not isinstance(path, str):
            raise config_error(
                self.router._source, ["model_path", "save_model_path"], "is missing; name a file"
            )
        return path

    def routing_data(self) -> RoutingData:
        """Return the routing data to train on.

        Raises:
            ConfigError: ``data_path.routing_data_train`` is missing.
            DataError: The file is malformed, or names a candidate in other letters than ``llm_data`` does.
        """
        router = self.router
        found: Any = router.routing_data_train
        if found is None:
            raise config_error(
                router._source, ["data_path", "routing_data_train"], "is missing; training needs it"
            )
        rows = found if isinstance(found, RoutingData) else RoutingData(found)
        if "llm_data" in vars(router) or router.cfg["data_path"].get("llm_data") is not None:
            rows.check_names(router.llm_data)
        queries = len({row["query"] for row in rows})
        if queries < ENOUGH:
            logger.warning(
                "%d %s too few to learn from: use %d at least, with which an LLM's quality is known to 0.1",
                queries,
                "query is" if queries == 1 else "queries are",
                ENOUGH,
            )
        return rows
