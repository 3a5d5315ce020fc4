"""The hyperparameters of ``thresholdrouter``, from the section ``hparam`` of its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from llmrouter.models.hyperparameters import (
    FOLDER,
    SHARE,
    TEXT,
    Check,
    number,
    one_of,
    read_hyperparameters,
    whole,
)
from llmrouter_threshold.examples import TARGETS

_ASCENDING = Check(
    "ascending numbers from 0 to 1",
    lambda value: isinstance(value, list) and all(map(SHARE.holds, value)) and value == sorted(value),
)


@dataclass(frozen=True)
class Hyperparameters:
    """What can be set; the defaults are what did best in cross-validation.

    Attributes:
        encoder: Encoder of the texts, by name; ``none`` where every query brings its ``embedding``.
        target: ``gain`` (the large LLM does better) or ``difficulty`` (the small one is not enough); None: by
            what the routing data tell.
        small_model: The small LLM; None: the cheapest.
        large_model: The large LLM; None: the dearest.
        threshold: Scores above it go to the large LLM; from 0 to 1.
        thresholds: With more than two LLMs, the scores at which the next larger begins, ascending.
        strong_share: In place of a threshold, the share of the user's traffic for the larger LLMs.
        quality: In place of a threshold, the share of the gap between small and large to recover.
        embedding_dim: Width of the learned embedding; of the given ones where the encoder is ``none``.
        hidden_dim: Width of the hidden layer beside the linear part; 0: none.
        train_epoch: Epochs at most: with a hidden layer once through all queries, without one ten steps of
            L-BFGS.
        learning_rate: Of Adam, which trains a hidden layer.
        batch_size: Queries in a step of it.
        weight_decay: L2 penalty on the weights, against the summed loss of all queries.
        dropout: Share of the hidden units left out in training.
        patience: Epochs without improvement on the validation part after which training ends.
        validation_share: Share of the queries kept apart for that, and for calibration.
        seed: Of initialisation, order and split.
        embedding_cache: Whether, or where, to keep embeddings of dense encoders on disk.
    """

    encoder: Annotated[str, TEXT] = "hashing"
    target: Annotated[str | None, one_of(TARGETS)] = None
    small_model: Annotated[str | None, TEXT] = None
    large_model: Annotated[str | None, TEXT] = None
    threshold: Annotated[float | None, SHARE] = None
    thresholds: Annotated[list[float] | None, _ASCENDING] = None
    strong_share: Annotated[float | None, SHARE] = None
    quality: Annotated[float | None, SHARE] = None
    embedding_dim: Annotated[int | None, whole(1)] = None
    hidden_dim: Annotated[int, whole(0)] = 0
    train_epoch: Annotated[int, whole(1)] = 40
    learning_rate: Annotated[float, number(0)] = 0.01
    batch_size: Annotated[int, whole(1)] = 64
    weight_decay: Annotated[float, number(0)] = 1.0
    dropout: Annotated[float, SHARE] = 0.1
    patience: Annotated[int, whole(1)] = 5
    validation_share: Annotated[float, SHARE] = 0.15
    seed: Annotated[int, whole(0)] = 0
    embedding_cache: Annotated[bool | str, FOLDER] = False

    @classmethod
    def from_config(cls, cfg: Mapping[str, Any], source: object) -> Hyperparameters:
        """Read them.

        Raises:
            ConfigError: A name is unknown, a value of the wrong type or out of range.
        """
        ways = ("threshold", "thresholds", "strong_share", "quality")
        return read_hyperparameters(cls, cfg, source, ways, strict=True)
