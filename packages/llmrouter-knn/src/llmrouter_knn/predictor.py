"""Predict by how well each LLM answered the most similar queries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmrouter.learning.predictor import Examples, Features, Predictions, Predictor
from llmrouter_knn.hyperparameters import Hyperparameters
from llmrouter_knn.memory import Memory, dense


class KnnPredictor(Predictor):
    """Remembers the training queries, and averages over the k nearest ones.

    Source: Hu et al. 2024, "RouterBench" (arXiv 2403.12031), where it is one of the baselines.
    """

    Settings = Hyperparameters
    settings: Hyperparameters
    memory: Memory

    def fit(self, examples: Examples, apart: Examples | None) -> None:
        """Remember."""
        self.memory = Memory(
            dense(examples.features).astype(np.float16),
            examples.outcomes.quality.astype(np.float32),
            examples.outlay.astype(np.float32),
            self.settings.search,
        )

    def predict(self, features: Features) -> Predictions:
        """See `Predictor.predict`."""
        return self.memory.predict(features, self.settings.k, self.settings.temperature)

    @property
    def dim(self) -> int:
        """Number of features that it remembers."""
        return int(self.memory.vectors.shape[1])

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """See `Predictor.state`."""
        return {name: getattr(self.memory, name) for name in ("vectors", "quality", "outlay")}, {}

    def restore(self, llms: int, arrays: Mapping[str, NDArray[Any]], told: Mapping[str, Any]) -> None:
        """See `Predictor.restore`."""
        self.memory = Memory(
            np.asarray(arrays["vectors"], np.float16),
            np.asarray(arrays["quality"], np.float32),
            np.asarray(arrays["outlay"], np.float32),
            self.settings.search,
        )
        if self.memory.quality.shape[1] != llms:
            raise ValueError("what is remembered of LLMs differs in number")
