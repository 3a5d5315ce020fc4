"""The hyperparameters of ``thresholdrouter``, from the section ``hparam`` of its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from llmrouter.config import config_error
from llmrouter_threshold.examples import TARGETS


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

    encoder: str = "hashing"
    target: str | None = None
    small_model: str | None = None
    large_model: str | None = None
    threshold: float | None = None
    thresholds: list[float] | None = None
    strong_share: float | None = None
    quality: float | None = None
    embedding_dim: int | None = None
    hidden_dim: int = 0
    train_epoch: int = 40
    learning_rate: float = 0.01
    batch_size: int = 64
    weight_decay: float = 1.0
    dropout: float = 0.1
    patience: int = 5
    validation_share: float = 0.15
    seed: int = 0
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
        found = cls(**values)
        ways = [name for name in ("threshold", "thresholds", "strong_share", "quality") if name in values]
        if len(ways) > 1:
            raise config_error(
                source, ["hparam", ways[1]], f"is one way to choose and {ways[0]} another; keep one"
            )
        return found


_COUNTS = ("embedding_dim", "train_epoch", "batch_size", "patience")
_SHARES = ("threshold", "strong_share", "quality", "dropout", "validation_share")


def _problem(name: str, value: Any) -> str | None:
    if name in _COUNTS:
        return (
            None if type(value) is int and value > 0 else f"expected a whole number from 1, found {value!r}"
        )
    if name in ("hidden_dim", "seed"):
        return (
            None if type(value) is int and value >= 0 else f"expected a whole number from 0, found {value!r}"
        )
    if name in _SHARES:
        return None if _is_share(value) else f"expected a number from 0 to 1, found {value!r}"
    if name in ("learning_rate", "weight_decay"):
        return None if _is_number(value) and value >= 0 else f"expected a number from 0, found {value!r}"
    if name == "thresholds":
        good = isinstance(value, list) and all(_is_share(item) for item in value) and value == sorted(value)
        return None if good else f"expected ascending numbers from 0 to 1, found {value!r}"
    if name == "target":
        return None if value in TARGETS else f"expected {' or '.join(TARGETS)}, found {value!r}"
    if name == "embedding_cache":
        return None if isinstance(value, bool | str) else f"expected true, false or a folder, found {value!r}"
    return None if isinstance(value, str) else f"expected text, found {value!r}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_share(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= 1
