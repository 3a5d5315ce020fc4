"""Choose by how well each LLM answered the most similar queries."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmrouter.learning.calibration import Calibration
from llmrouter.learning.costs import USD, Costs
from llmrouter.learning.router import LearnedRouter
from llmrouter_knn.plugin import NAME
from llmrouter_knn.predictor import KnnPredictor


class KnnRouter(LearnedRouter):
    """Goes by the outcomes of the most similar training queries (k nearest neighbours).

    The hyperparameters by which it predicts are those of `llmrouter_knn.hyperparameters.Hyperparameters`.
    """

    predictor_class = KnnPredictor
    name = NAME
    package = "llmrouter-knn"
    format = 2

    def upgraded(
        self, arrays: dict[str, NDArray[Any]], header: dict[str, Any]
    ) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Read format 1, which had costs in USD and no calibration."""
        if header["format"] > 1:
            return arrays, header
        cost = arrays["cost"]
        unknown = np.isnan(cost.astype(np.float32))
        costs = Costs(tuple(None if column.all() else USD for column in unknown.T), (1.0,) * len(unknown.T))
        renamed = {"vectors": arrays["vectors"], "quality": arrays["quality"], "outlay": cost}
        upgraded = {f"predictor.{name}": array for name, array in renamed.items()}
        more = {"predictor": {}, "costs": costs.to_json(), "summary": {}}
        return {**arrays, **upgraded}, {**header, **more, "calibration": Calibration().to_json()}
