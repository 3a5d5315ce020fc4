"""The hyperparameters of ``paretorouter``, from the section ``hparam`` of its configuration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from llmrouter.config import config_error
from llmrouter_pareto.constraints import KINDS


@dataclass(frozen=True)
class Hyperparameters:
    """What can be set; the defaults are what did best in cross-validation.

    How an LLM is chosen, at most one of the first three; a query's own ``routing_constraint`` goes before.

    Attributes:
        cost_constraint: The best LLM of at most this expected cost in USD, or at most that of the LLM named.
        quality_constraint: The cheapest LLM of at least this expected quality, or that of the LLM named.
        trade_off: The LLM of the highest expected quality less ``trade_off`` times its expected cost: the
            quality, from 0 to 1, given up for each USD that a query costs less.
        encoder: Encoder of the texts, by name; ``none`` where every query brings its ``embedding``.
        weight_decay: L2 penalty on the weights by which LLMs differ, against the summed loss.
        common_decay: L2 penalty on the weights that they have in common.
        neighbors: Training queries that an LLM's quality is averaged over, at most a fifth of all.
        cost_neighbors: The same for lengths of answers and costs.
        components: Dimensions in which neighbours are looked for, where the encoder is sparse.
        memory: Training queries that are kept as neighbours at most.
        folds: Parts of the cross-validation.
        seed: Of the split and of the projection.
        embedding_cache: Whether, or where, to keep embeddings of dense encoders on disk.
    """

    cost_constraint: float | str | dict[str, Any] | None = None
    quality_constraint: float | str | dict[str, Any] | None = None
    trade_off: float | None = None
    encoder: str = "hashing"
    weight_decay: float = 1.5
    common_decay: float = 10.0
    neighbors: int = 300
    cost_neighbors: int = 50
    components: int = 32
    memory: int = 20_000
    folds: int = 4
    seed: int = 0
    embedding_cache: bool | str = False

    @classmethod
    def from_config(cls, cfg: Mapping[str, Any], source: object) -> Hyperparameters:
        """Read them; names that are not among them are left to others.

        Raises:
            ConfigError: A value is of the wrong type or out of range, or two ways to choose are given.
        """
        given = cfg["hparam"]
        values = {field.name: given[field.name] for field in fields(cls) if given.get(field.name) is not None}
        for name, value in values.items():
            if problem := _problem(name, value):
                raise config_error(source, ["hparam", name], problem)
        ways = [name for name in (*KINDS, "trade_off") if name in values]
        if len(ways) > 1:
            raise config_error(
                source, ["hparam", ways[1]], f"is one way to choose and {ways[0]} another; keep one"
            )
        return cls(**values)

    @property
    def learning(self) -> dict[str, Any]:
        """Those that training depends on; the others count when a query is routed."""
        return {key: value for key, value in asdict(self).items() if key not in (*KINDS, "trade_off")}


_COUNTS = ("neighbors", "cost_neighbors", "components", "memory")


def _problem(name: str, value: Any) -> str | None:
    if name in KINDS:
        return None  # they are read once the LLMs are known
    if name in _COUNTS:
        return None if _is_whole(value) and value > 0 else f"expected a whole number from 1, found {value!r}"
    if name == "folds":
        return None if _is_whole(value) and value > 1 else f"expected a whole number from 2, found {value!r}"
    if name == "seed":
        return None if _is_whole(value) and value >= 0 else f"expected a whole number from 0, found {value!r}"
    if name in ("weight_decay", "common_decay"):
        return None if _is_number(value) and value > 0 else f"expected a number above 0, found {value!r}"
    if name == "trade_off":
        return None if _is_number(value) and value >= 0 else f"expected a number from 0, found {value!r}"
    if name == "embedding_cache":
        return None if isinstance(value, bool | str) else f"expected true, false or a folder, found {value!r}"
    return None if isinstance(value, str) else f"expected text, found {value!r}"


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
