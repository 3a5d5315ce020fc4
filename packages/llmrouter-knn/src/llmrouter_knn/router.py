"""Choose by how well each LLM answered the most similar queries."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import llmrouter
from llmrouter.config import config_error
from llmrouter.encoders import create_encoder
from llmrouter.encoders.base import Encoder
from llmrouter.encoders.cache import cached
from llmrouter.encoders.queries import encode_queries
from llmrouter.errors import CheckpointError, LLMRouterError
from llmrouter.models.arrays import check_header, read_arrays, write_arrays
from llmrouter.models.encoder_state import BROUGHT, encoder_state, restored_encoder
from llmrouter.models.router import Router
from llmrouter.routing import ALLOWED
from llmrouter_knn.hyperparameters import Hyperparameters
from llmrouter_knn.memory import Memory, Predictions
from llmrouter_knn.plugin import NAME

logger = logging.getLogger(__name__)

FORMAT = 1
PACKAGE = "llmrouter-knn"


class KnnRouter(Router):
    """Takes the LLM that answered the most similar training queries best (k nearest neighbours).

    The hyperparameters are those of `llmrouter_knn.hyperparameters.Hyperparameters`. A query may bring its
    ``embedding``, and ``allowed_llms``.

    Source: Hu et al. 2024, "RouterBench" (arXiv 2403.12031), where it is one of the baselines.

    Attributes:
        settings: The hyperparameters.
        memory: What was learned; None before.
        encoder: Encoder of the texts; None before training, and where queries bring their embeddings.
        trained: What the trainer tells of the training; empty before.
    """

    def __init__(self, yaml_path: str | os.PathLike[str] | Mapping[str, Any]) -> None:
        super().__init__(yaml_path)
        self.source = yaml_path
        self.settings = Hyperparameters.from_config(self.cfg, yaml_path)
        self.memory: Memory | None = None
        self.encoder: Encoder | None = None
        self.trained: dict[str, Any] = {}

    def route_single(self, query_input: dict[str, Any]) -> dict[str, Any]:
        """Choose the LLM for one query."""
        return self.route_batch([query_input])[0]

    def route_batch(self, batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Choose the LLM for each query.

        Raises:
            LLMRouterError: The router is not trained, or a query cannot be encoded or may go to no candidate.
        """
        memory = self._check_trained()
        names = [name for name in memory.llms if name in self.llm_data]
        allowed = [_allowed(query, names) for query in batch]
        told = self.predict(batch)
        columns = [memory.llms.index(name) for name in names]
        quality, cost = told.quality[:, columns].astype(float), told.cost[:, columns].astype(float)
        rows = zip(allowed, quality.tolist(), cost.tolist(), strict=True)
        return [self._result(names, *row) for row in rows]

    def predict(self, batch: Sequence[Mapping[str, Any]]) -> Predictions:
        """Predict quality and cost of each LLM in ``memory.llms`` for each query.

        Raises:
            LLMRouterError: The router is not trained, or a query cannot be encoded.
        """
        memory = self._check_trained()
        width = None if self.encoder is not None else memory.vectors.shape[1]
        features = encode_queries(self.encoder, batch, width)
        return memory.predict(features, self.settings.k, self.settings.temperature)

    def make_encoder(self) -> Encoder | None:
        """Make the encoder that the hyperparameters name; None where queries bring their embeddings."""
        if self.settings.encoder == BROUGHT:
            return None
        return cached(create_encoder(self.settings.encoder), self.settings.embedding_cache)

    def save_router(self, path: str | os.PathLike[str]) -> None:
        """Write what is remembered, and the encoder's state, as safetensors.

        Raises:
            CheckpointError: There is nothing to save, or the file cannot be written.
        """
        if self.memory is None:
            raise CheckpointError(path, f"{NAME} is not trained and has nothing to save")
        encoded, encoder = encoder_state(self.encoder)
        header = {
            "router": NAME,
            "format": FORMAT,
            "llmrouter": llmrouter.__version__,
            "llms": list(self.memory.llms),
            "encoder": encoder,
            "training": self.trained,
        }
        memory = {name: getattr(self.memory, name) for name in ("vectors", "quality", "cost")}
        write_arrays({**memory, **encoded}, path, header)

    def load_router(self, path: str | os.PathLike[str]) -> None:
        """Restore what `save_router` wrote; how LLMs are chosen follows this configuration.

        Raises:
            CheckpointError: The file is missing, damaged, of another router, of a newer format, or was
                trained for none of the candidates.
        """
        arrays, header = read_arrays(path)
        check_header(header, path, NAME, FORMAT, PACKAGE)
        try:
            encoder = restored_encoder(arrays, header["encoder"], path)
            memory = Memory(
                tuple(header["llms"]),
                np.asarray(arrays["vectors"], np.float16),
                np.asarray(arrays["quality"], np.float32),
                np.asarray(arrays["cost"], np.float32),
                self.settings.search,
            )
            if not all(isinstance(name, str) for name in memory.llms):
                raise ValueError("the names of the LLMs are not told")
            trained = dict(header["training"])
        except CheckpointError:
            raise
        except LLMRouterError as error:
            raise CheckpointError(path, f"its encoder cannot be used: {error}") from error
        except (LookupError, TypeError, ValueError) as error:
            raise CheckpointError(path, f"is damaged: {' '.join(str(error).split())}") from error
        if not any(name in self.llm_data for name in memory.llms):
            raise CheckpointError(
                path,
                f"was trained for {', '.join(memory.llms)}, none of which is a candidate; train the router "
                "anew",
            )
        self.take_over(memory, encoder, trained)

    def take_over(self, memory: Memory, encoder: Encoder | None, trained: dict[str, Any]) -> None:
        """Become trained; the arguments are as the attributes.

        Raises:
            ConfigError: As `check_costs`.
        """
        self.check_costs(memory.llms, memory.cost)
        self.memory, self.encoder, self.trained = memory, encoder, trained
        if unknown := [name for name in self.llm_data if name not in memory.llms]:
            logger.warning("%s cannot be chosen: %s was not trained on them", ", ".join(unknown), NAME)

    def check_costs(self, llms: Sequence[str], cost: NDArray[np.floating[Any]]) -> None:
        """Check that a cost is known if the configuration trades quality for it.

        Args:
            llms: Names of m LLMs.
            cost: What they cost in USD, (r, m), NaN where unknown.

        Raises:
            ConfigError: No candidate's cost is known.
        """
        candidates = [number for number, name in enumerate(llms) if name in self.llm_data]
        if self.settings.trade_off and np.isnan(cost[:, candidates]).all():
            raise config_error(
                self.source,
                ["hparam", "trade_off"],
                "the cost of every LLM is unknown; give a cost in USD in the routing data",
            )

    def _check_trained(self) -> Memory:
        if self.memory is None:
            raise LLMRouterError(
                f"{NAME} is not trained; run 'llmrouter train', and name its model_path.save_model_path as "
                "model_path.load_model_path or with --load-model-path"
            )
        return self.memory

    def _result(
        self, names: list[str], allowed: list[int], quality: list[float], cost: list[float]
    ) -> dict[str, Any]:
        costs = [None if value != value else value for value in cost]  # NaN alone differs from itself
        # One of unknown cost counts as the dearest.
        dearest = max((value for value in costs if value is not None), default=0.0)

        def worth(number: int) -> tuple[float, float, str]:
            paid = costs[number]
            spent = dearest if paid is None else paid
            # Of equals the cheaper one, and then by name, so that the order of candidates plays no part.
            return -(quality[number] - self.settings.trade_off * spent), spent, names[number]

        best = min(allowed, key=worth)
        return {
            "model_name": names[best],
            "trade_off": self.settings.trade_off,
            "scores": dict(zip(names, quality, strict=True)),
            "confidence": quality[best],
            "expected_cost": costs[best],
            "expected_costs": dict(zip(names, costs, strict=True)),
        }


def _allowed(query: Mapping[str, Any], names: Sequence[str]) -> list[int]:
    """Return the numbers of the LLMs that a query may go to."""
    allowed = query.get(ALLOWED)
    if allowed is None:
        return list(range(len(names)))
    numbers = [number for number, name in enumerate(names) if name in allowed]
    if not numbers:
        raise LLMRouterError(f"{ALLOWED!r} names no candidate; expected a list, of {', '.join(names)}")
    return numbers
