"""The hyperparameters of ``paretorouter``, from the section ``hparam`` of its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from llmrouter.constraints import KINDS
from llmrouter.models.hyperparameters import FOLDER, TEXT, above, number, read_hyperparameters, whole


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

    # Constraints are read once the LLMs are known.
    cost_constraint: float | str | dict[str, Any] | None = None
    quality_constraint: float | str | dict[str, Any] | None = None
    trade_off: Annotated[float | None, number(0)] = None
    encoder: Annotated[str, TEXT] = "hashing"
    weight_decay: Annotated[float, above(0)] = 1.5
    common_decay: Annotated[float, above(0)] = 10.0
    neighbors: Annotated[int, whole(1)] = 300
    cost_neighbors: Annotated[int, whole(1)] = 50
    components: Annotated[int, whole(1)] = 32
    memory: Annotated[int, whole(1)] = 20_000
    folds: Annotated[int, whole(2)] = 4
    seed: Annotated[int, whole(0)] = 0
    embedding_cache: Annotated[bool | str, FOLDER] = False

    @classmethod
    def from_config(cls, cfg: Mapping[str, Any], source: object) -> Hyperparameters:
        """Read them.

        Raises:
            ConfigError: A name is unknown, a value of the wrong type or out of range, or two ways to choose
                are given.
        """
        return read_hyperparameters(cls, cfg, source, (*KINDS, "trade_off"), strict=True)

    @property
    def learning(self) -> dict[str, Any]:
        """Those that training depends on; the others count when a query is routed."""
        return {key: value for key, value in asdict(self).items() if key not in (*KINDS, "trade_off")}
