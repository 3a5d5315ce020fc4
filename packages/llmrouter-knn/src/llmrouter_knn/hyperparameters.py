"""The hyperparameters of ``knnrouter``, from the section ``hparam`` of its configuration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from llmrouter.config import config_error
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

    k: int = 200
    temperature: float = 0.3
    trade_off: float = 0.0
    encoder: str = "wordllama"
    search: str = "auto"
    embedding_cache: bool | str = False

    @classmethod
    def from_config(cls, cfg: Mapping[str, Any], source: object) -> Hyperparameters:
        """Read them; names that are not among them are left to others.

        Raises:
            ConfigError: A value is of the wrong type or out of range.
        """
        given = cfg["hparam"]
        values = {field.name: given[field.name] for field in fields(cls) if given.get(field.name) is not None}
        for name, value in values.items():
            if problem := _problem(name, value):
                raise config_error(source, ["hparam", name], problem)
        return cls(**values)


def _problem(name: str, value: Any) -> str | None:
    if name == "k":
        whole = isinstance(value, int) and not isinstance(value, bool)
        return None if whole and value > 0 else f"expected a whole number from 1, found {value!r}"
    if name in ("temperature", "trade_off"):
        number = (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and math.isfinite(value)
            and (value > 0 or (value == 0 and name == "trade_off"))
        )
        least = "above 0" if name == "temperature" else "from 0"
        return None if number else f"expected a number {least}, found {value!r}"
    if name == "search":
        return None if value in SEARCHES else f"expected {', '.join(SEARCHES)}, found {value!r}"
    if name == "embedding_cache":
        return None if isinstance(value, bool | str) else f"expected true, false or a folder, found {value!r}"
    return None if isinstance(value, str) else f"expected text, found {value!r}"
