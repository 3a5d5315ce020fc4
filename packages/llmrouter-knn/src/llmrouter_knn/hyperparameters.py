"""The hyperparameters by which ``knnrouter`` predicts, from the section ``hparam`` of its configuration."""

from __future__ import annotations

from typing import Annotated

from llmrouter.learning.predictor import PredictorSettings
from llmrouter.models.hyperparameters import TEXT, above, one_of, whole
from llmrouter_knn.search import SEARCHES


class Hyperparameters(PredictorSettings):
    """What can be set; the defaults are what did best in cross-validation.

    Attributes:
        encoder: Encoder of the texts, by name; ``none`` where every query brings its ``embedding``.
        k: Neighbours that are asked, at most all.
        temperature: How fast a neighbour's weight falls with its distance: by a factor of e for each
            ``temperature`` of cosine similarity. The lower, the more the nearest ones decide.
        search: What looks for neighbours: ``numpy``, ``faiss`` (both exact) or ``hnswlib`` (approximate);
            ``auto``: FAISS where it is installed, else NumPy.
    """

    encoder: Annotated[str, TEXT] = "wordllama"
    k: Annotated[int, whole(1)] = 200
    temperature: Annotated[float, above(0)] = 0.3
    search: Annotated[str, one_of(SEARCHES)] = "auto"
