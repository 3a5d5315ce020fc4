"""The hyperparameters by which ``paretorouter`` learns, from the section ``hparam`` of its configuration."""

from __future__ import annotations

from typing import Annotated

from llmrouter.learning.predictor import PredictorSettings
from llmrouter.models.hyperparameters import above, whole


class Hyperparameters(PredictorSettings):
    """What can be set; the defaults are what did best in cross-validation.

    Attributes:
        weight_decay: L2 penalty on the weights by which LLMs differ, against the summed loss.
        common_decay: L2 penalty on the weights that they have in common.
        neighbors: Training queries that an LLM's quality is averaged over, at most a fifth of all.
        cost_neighbors: The same for lengths of answers and costs.
        components: Dimensions in which neighbours are looked for, where the encoder is sparse.
        memory: Training queries that are kept as neighbours at most.
    """

    weight_decay: Annotated[float, above(0)] = 1.5
    common_decay: Annotated[float, above(0)] = 10.0
    neighbors: Annotated[int, whole(1)] = 300
    cost_neighbors: Annotated[int, whole(1)] = 50
    components: Annotated[int, whole(1)] = 32
    memory: Annotated[int, whole(1)] = 20_000
