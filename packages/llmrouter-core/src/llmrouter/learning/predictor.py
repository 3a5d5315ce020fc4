"""What the author of a learned router writes: how qualities and outlays are predicted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from llmrouter.encoders.base import Floats, SparseBatch
from llmrouter.learning.outcomes import Array, Outcomes
from llmrouter.models.hyperparameters import FOLDER, TEXT, whole

Features = Floats | SparseBatch


class Predictions(NamedTuple):
    """What n queries may expect of m LLMs.

    Attributes:
        quality: From 0 to 1, (n, m).
        outlay: Tokens of the answer, or USD, as each LLM's unit is, (n, m); NaN where nothing is known.
    """

    quality: NDArray[np.floating[Any]]
    outlay: NDArray[np.floating[Any]]


class Examples(NamedTuple):
    """What is learned from: n queries, and how m LLMs did on them.

    Attributes:
        features: Of the queries, (n, d), or a sparse batch of n rows.
        outcomes: How the LLMs did.
        outlay: What is to be predicted beside the quality, as `Predictions` has it, (n, m).
    """

    features: Features
    outcomes: Outcomes
    outlay: Array

    def take(self, rows: NDArray[np.int64]) -> Examples:
        """Return some of them, in the order given."""
        return Examples(rows_of(self.features, rows), self.outcomes.take(rows), self.outlay[rows])


@dataclass(frozen=True)
class PredictorSettings:
    """The hyperparameters by which a predictor learns; subclasses add theirs, with their defaults.

    A subclass becomes a dataclass by itself.
    A field is annotated as in `llmrouter.models.hyperparameters.read_hyperparameters`.

    Attributes:
        encoder: Encoder of the texts, by name; ``none`` where every query brings its ``embedding``.
        folds: Parts of the cross-validation.
        seed: Of the split, and of whatever the predictor draws.
        embedding_cache: Whether, or where, to keep embeddings of dense encoders on disk.
    """

    encoder: Annotated[str, TEXT] = "hashing"
    folds: Annotated[int, whole(2)] = 4
    seed: Annotated[int, whole(0)] = 0
    embedding_cache: Annotated[bool | str, FOLDER] = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        dataclass(frozen=True)(cls)


class Predictor(ABC):
    """Predicts, from a query's features, how well each LLM does and how long its answer is or what it costs.

    Args:
        settings: The hyperparameters.

    Attributes:
        Settings: Their class.
        found: What `fit` found out on examples kept apart, such as a number of epochs; the fit to all
            examples gets the mean of what was found.
    """

    Settings: ClassVar[type[PredictorSettings]] = PredictorSettings

    def __init__(self, settings: Any) -> None:
        self.settings = settings
        self.found: dict[str, float] = {}

    @property
    def sparse(self) -> bool | None:
        """Whether what it learned from was sparse; None: it takes either."""
        return None

    @property
    def dim(self) -> int | None:
        """Number of features that it learned from; None: it takes any."""
        return None

    @property
    def reads(self) -> bool:
        """Whether it looks at features at all."""
        return True

    def prepare(self, features: Features, dim: int | None) -> None:  # noqa: B027 - most need nothing
        """Learn from the features of all training queries, before any fit; by default nothing.

        All fits share what this learns, so that it must not look at outcomes; `fit` changes none of it.

        Args:
            features: Of all training queries.
            dim: Number of features that the encoder gives, where that is known.
        """

    @abstractmethod
    def fit(self, examples: Examples, apart: Examples | None) -> None:
        """Learn.

        Args:
            examples: What to learn from.
            apart: Other examples, on which `found` is found out; None in the fit to all of them, when it is
                known.
        """

    @abstractmethod
    def predict(self, features: Features) -> Predictions:
        """Predict for n queries."""

    @abstractmethod
    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return what was learned: arrays by name, and what JSON can hold."""

    @abstractmethod
    def restore(self, llms: int, arrays: Mapping[str, NDArray[Any]], told: Mapping[str, Any]) -> None:
        """Take over what `state` returned.

        Args:
            llms: How many LLMs are predicted.
            arrays: By name.
            told: What JSON held.

        Raises:
            ValueError, LookupError, TypeError: They do not fit each other, or hold what is no number.
        """


def rows_of(features: Features, rows: NDArray[np.int64]) -> Features:
    """Return some rows of features, in the order given."""
    if not isinstance(features, SparseBatch):
        return features[rows]
    lengths = np.diff(features.offsets, append=len(features.indices))[rows]
    offsets = np.cumsum(lengths) - lengths
    places = np.arange(lengths.sum()) + np.repeat(features.offsets[rows] - offsets, lengths)
    return SparseBatch(features.indices[places], features.values[places], offsets)
