"""The hyperparameters of ``knnrouter``, from the section ``hparam`` of its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from llmrouter.models.hyperparameters import FOLDER, TEXT, above, number, one_of, read_hyperparameters, whole
from llmrouter_knn.search import SEARCHES


@dataclass(frozen=True)
class Hyperparameters:
    """What can be set; the defaults are what did best in cross-validation.

    Attributes:
        k: Neighbours that are asked, at most all.
        temperature: How fast a neighbour's weight falls with its distance: by a factor of e for each
            ``temperature`` of cosine similarity. The lower, the more the nearest ones decide.
        trade_off: The quality, from 0 to 1, given up for each USD that a query costs less.
        encoder: Encoder of the texts, by name; ``none`` where every query brings its ``embedding``.
        search: What looks for neighbours: ``numpy``, ``faiss`` (both exact) or ``hnswlib`` (approximate);
            ``auto``: FAISS where it is installed, else NumPy.
        embedding_cache: Whether, or where, to keep embeddings of dense encoders on disk.
    """

    k: Annotated[int, whole(1)] = 200
    temperature: Annotated[float, above(0)] = 0.3
    trade_off: Annotated[float, number(0)] = 0.0
    encoder: Annotated[str, TEXT] = "wordllama"
    search: Annotated[str, one_of(SEARCHES)] = "auto"
    embedding_cache: Annotated[bool | str, FOLDER] = False

    @classmethod
    def from_config(cls, cfg: Mapping[str, Any], source: object) -> Hyperparameters:
        """Read them.

        Raises:
            ConfigError: A name is unknown, a value of the wrong type or out of range.
        """
        return read_hyperparameters(cls, cfg, source, strict=True)
