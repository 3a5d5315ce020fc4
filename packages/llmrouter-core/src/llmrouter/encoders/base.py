"""The contract of an encoder: text in, features out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from llmrouter.errors import MissingExtraError

try:
    import numpy as np
    from numpy.typing import NDArray
except ModuleNotFoundError as error:
    if error.name != "numpy":
        raise
    raise MissingExtraError("llmrouter.encoders", "llmrouter-core[numpy]") from error

Floats = NDArray[np.float32]


class SparseBatch(NamedTuple):
    """Features of several texts of which most are 0, as torch's ``embedding_bag`` takes them.

    Attributes:
        indices: Which features are not 0, row by row; int64 of shape (non-zeros,).
        values: Their values; float32 of shape (non-zeros,).
        offsets: Where each row begins in the other two; int64 of shape (n,).
    """

    indices: NDArray[np.int64]
    values: Floats
    offsets: NDArray[np.int64]


class Encoder(ABC):
    """Turns texts into features.

    An encoder is made with its argument, the part after the colon in ``hparam.encoder``, or None.

    Attributes:
        name: As users choose it, the argument included.
        version: Changes whenever the same text would get other features.
        dim: Number of features; None until it is known.
    """

    name: str
    version: str = "1"
    dim: int | None = None

    def __init__(self, argument: str | None = None) -> None:
        self.argument = argument

    def fit(self, texts: Sequence[str]) -> None:
        """Learn from the training texts what encoding needs; by default nothing."""
        return

    @abstractmethod
    def encode(self, texts: Sequence[str]) -> Floats | SparseBatch:
        """Return the features of texts: float32 of shape (n, dim), or a sparse batch of n rows."""

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return what `fit` learned: arrays by name, and settings that JSON can hold."""
        return {}, {}

    def restore(self, arrays: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]) -> None:
        """Take over what `state` returned, in place of `fit`; by default nothing."""
        return
