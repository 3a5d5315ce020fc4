"""A router that predicts each LLM's quality and cost for a query, whatever predicts them."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

import llmrouter
from llmrouter.encoders import create_encoder
from llmrouter.encoders.base import Encoder
from llmrouter.encoders.cache import cached
from llmrouter.encoders.queries import encode_queries
from llmrouter.errors import CheckpointError, LLMRouterError
from llmrouter.learning.calibration import Calibration
from llmrouter.learning.costs import Costs, prices_of, weights_of
from llmrouter.learning.outcomes import Array
from llmrouter.learning.policy import WAYS, Policy, PolicySettings
from llmrouter.learning.predictor import Predictor
from llmrouter.models.arrays import (
    check_header,
    named_under,
    pack_arrays,
    read_content,
    unpack_arrays,
    write_content,
)
from llmrouter.models.encoder_state import BROUGHT, encoder_state, restored_encoder
from llmrouter.models.hyperparameters import read_hyperparameters
from llmrouter.models.router import Router
from llmrouter.request import answer_limit, prompt_tokens

logger = logging.getLogger(__name__)

Self = TypeVar("Self", bound="LearnedRouter")

_PREFIX = "predictor."
# Where a checkpoint comes from that was given as bytes, for errors.
_GIVEN = Path("checkpoint")


@dataclass(frozen=True)
class Learned:
    """All that training learned.

    Attributes:
        llms: Names of the LLMs that are predicted.
        predictor: Of uncalibrated qualities and of outlays.
        encoder: Encoder of the texts; None where queries bring their embeddings.
        costs: From outlays to costs.
        calibration: From uncalibrated qualities to calibrated ones.
        trained: What is known of the training: data digest, counts, metrics.
        summary: What the router would do, as `llmrouter.learning.summary.summarise` has it.
    """

    llms: tuple[str, ...]
    predictor: Predictor
    encoder: Encoder | None
    costs: Costs
    calibration: Calibration = field(default_factory=Calibration)
    trained: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Expected:
    """What is expected of n queries and m LLMs.

    Attributes:
        llms: Names of the LLMs.
        quality: From 0 to 1, calibrated, (n, m).
        cost: USD at the candidates' prices, (n, m); NaN where unknown.
    """

    llms: tuple[str, ...]
    quality: Array
    cost: Array


class LearnedRouter(Router):
    """Predicts how well each LLM would answer and at what cost, and chooses by a constraint or a trade-off.

    A subclass names its predictor, itself and its distribution. Its hyperparameters are those of the
    predictor's ``Settings`` and of `llmrouter.learning.policy.PolicySettings`. A query may have keys of its
    own: ``routing_constraint``, ``max_tokens``, ``messages`` and ``tools`` (by which the length of the prompt
    is estimated, in place of its text), ``embedding`` and ``allowed_llms``.

    Args:
        yaml_path: Path of the YAML configuration, or a mapping that was read already.
        llm_data: The candidates, in place of those that the configuration names.

    Attributes:
        predictor_class: What predicts.
        name: Of the router, as checkpoints have it.
        package: Its distribution.
        format: The newest format of its checkpoints.
        settings: The hyperparameters by which it learns.
        policy_settings: Those by which it chooses.
        learned: What training learned; None before.
        llm_names: The LLMs that may be chosen: candidates of which the training data said something.
    """

    predictor_class: ClassVar[type[Predictor]]
    name: ClassVar[str]
    package: ClassVar[str]
    format: ClassVar[int] = 1

    def __init__(
        self,
        yaml_path: str | os.PathLike[str] | Mapping[str, Any],
        llm_data: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        super().__init__(yaml_path)
        if llm_data is not None:
            self.llm_data = {name: dict(candidate) for name, candidate in llm_data.items()}
        self.source = yaml_path
        self.policy_settings = read_hyperparameters(PolicySettings, self.cfg, yaml_path, WAYS)
        self.settings: Any = read_hyperparameters(
            self.predictor_class.Settings, self.cfg, yaml_path, strict=True, also=WAYS
        )
        self.learned: Learned | None = None
        self.llm_names: list[str] = []
        self._columns: list[int] = []
        self._policy = self._policy_for(list(self.llm_data))

    @classmethod
    def from_checkpoint(
        cls: type[Self],
        checkpoint: bytes,
        candidates: Mapping[str, Mapping[str, Any]],
        hparam: Mapping[str, Any] | None = None,
    ) -> Self:
        """Make a router of the content of a checkpoint, without files.

        Args:
            checkpoint: The content.
            candidates: As a router's ``llm_data``: those that may be chosen, at the prices of now.
            hparam: Hyperparameters by which an LLM is chosen.

        Raises:
            CheckpointError: The checkpoint cannot be used.
            ConfigError: A hyperparameter is wrong.
        """
        router = cls({"hparam": dict(hparam or {})}, candidates)
        router.restore(checkpoint, _GIVEN)
        return router

    @property
    def trained(self) -> dict[str, Any]:
        """What is known of the training; empty before."""
        return self.learned.trained if self.learned is not None else {}

    @property
    def summary(self) -> dict[str, Any]:
        """What the router would do, as `llmrouter.learning.summary` has it; empty before training."""
        return self.learned.summary if self.learned is not None else {}

    def route_single(self, query_input: dict[str, Any]) -> dict[str, Any]:
        """Choose the LLM for one query."""
        return self.route_batch([query_input])[0]

    def route_batch(self, batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Choose the LLM for each query.

        Raises:
            LLMRouterError: The router is not trained, a query cannot be encoded, or its constraint, limit or
                ``allowed_llms`` cannot be understood.
        """
        self._check_trained()
        wanted = [self._policy.wanted(query) for query in batch]
        expected = self.predict(batch)
        rows = zip(wanted, expected.quality.tolist(), expected.cost.tolist(), strict=True)
        return [self._policy.result(*want, quality, cost) for want, quality, cost in rows]

    def predict(self, batch: Sequence[Mapping[str, Any]]) -> Expected:
        """Predict quality and cost of each LLM in `llm_names` for each query.

        Raises:
            LLMRouterError: The router is not trained, or a query cannot be encoded.
        """
        learned = self._check_trained()
        predictor = learned.predictor
        limits = np.array([answer_limit(query) for query in batch], float)
        estimated = np.array([prompt_tokens(query) for query in batch], float)
        if predictor.reads:
            known = learned.encoder is None or predictor.sparse is not None
            width = predictor.dim if known else None
            features = encode_queries(learned.encoder, batch, width, bool(predictor.sparse))
        else:
            features = np.zeros((len(batch), 0), np.float32)
        raw = predictor.predict(features)
        quality = learned.calibration(raw.quality.astype(float))
        prices = prices_of(self.llm_data, learned.llms)
        cost = learned.costs.expected(raw.outlay.astype(float), estimated, limits, prices)
        return Expected(tuple(self.llm_names), quality[:, self._columns], cost[:, self._columns])

    def make_encoder(self) -> Encoder | None:
        """Make the encoder that the hyperparameters name; None where queries bring their embeddings."""
        if self.settings.encoder == BROUGHT:
            return None
        return cached(create_encoder(self.settings.encoder), self.settings.embedding_cache)

    def checkpoint(self) -> bytes:
        """Return all that was learned, as safetensors.

        Raises:
            LLMRouterError: The router is not trained.
        """
        learned = self._check_trained()
        arrays, told = learned.predictor.state()
        encoded, encoder = encoder_state(learned.encoder)
        header = {
            "router": self.name,
            "format": self.format,
            "llmrouter": llmrouter.__version__,
            "llms": list(learned.llms),
            "hyperparameters": asdict(self.settings),
            "predictor": told,
            "encoder": encoder,
            "costs": learned.costs.to_json(),
            "calibration": learned.calibration.to_json(),
            "training": learned.trained,
            "summary": learned.summary,
        }
        return pack_arrays({**{_PREFIX + name: array for name, array in arrays.items()}, **encoded}, header)

    def save_router(self, path: str | os.PathLike[str]) -> None:
        """Write `checkpoint` to a file, whole or not at all; missing folders are made.

        Raises:
            CheckpointError: There is nothing to save, or the file cannot be written.
        """
        if self.learned is None:
            raise CheckpointError(path, f"{self.name} is not trained and has nothing to save")
        write_content(self.checkpoint(), path)

    def load_router(self, path: str | os.PathLike[str]) -> None:
        """Restore what `save_router` wrote; how LLMs are chosen follows this configuration.

        Raises:
            CheckpointError: The file is missing, damaged, of another router, of a newer format, or was
                trained for none of the candidates.
            ConfigError: As `take_over`.
        """
        self.restore(read_content(path), path)

    def restore(self, checkpoint: bytes, path: str | os.PathLike[str]) -> None:
        """Take over what the content of a checkpoint holds; errors as `load_router`."""
        arrays, header = unpack_arrays(checkpoint, path)
        check_header(header, path, self.name, self.format, self.package)
        try:
            arrays, header = self.upgraded(arrays, header)
            llms = tuple(header["llms"])
            if not all(isinstance(name, str) for name in llms) or len(set(llms)) != len(llms):
                raise ValueError("the names of the LLMs are missing")
            costs = Costs.from_json(header["costs"])
            if len(llms) != len(costs.units):
                raise ValueError("the numbers of LLMs differ")
            encoder = restored_encoder(arrays, header["encoder"], path)
            predictor = self.predictor_class(self.settings)
            predictor.restore(len(llms), named_under(arrays, _PREFIX), header["predictor"])
            # Nothing in the file bounds what a table of all sparse features takes.
            if predictor.sparse and (encoder is None or encoder.dim != predictor.dim):
                raise ValueError("its features are not those of its encoder")
            learned = Learned(
                llms,
                predictor,
                encoder,
                costs,
                Calibration.from_json(header["calibration"]),
                dict(header["training"]),
                dict(header["summary"]),
            )
        except CheckpointError:
            raise
        except LLMRouterError as error:
            raise CheckpointError(path, f"its encoder cannot be used: {error}") from error
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
            raise CheckpointError(path, f"is damaged: {' '.join(str(error).split())}") from error
        if not any(name in self.llm_data for name in llms):
            raise CheckpointError(
                path,
                f"was trained for {', '.join(llms)}, none of which is a candidate; train the router again",
            )
        self.take_over(learned)

    def upgraded(
        self, arrays: dict[str, NDArray[Any]], header: dict[str, Any]
    ) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return what a checkpoint of an older format would hold in this one; by default what it holds."""
        return arrays, header

    def take_over(self, learned: Learned) -> None:
        """Become trained.

        Raises:
            ConfigError: A constraint of the configuration names an LLM that is not predicted, or goes by
                costs of which none is known.
        """
        self.check_costs(learned.costs, learned.llms)
        columns = [number for number, name in enumerate(learned.llms) if name in self.llm_data]
        names = [learned.llms[number] for number in columns]
        self._policy = self._policy_for(names)
        self.learned, self.llm_names, self._columns = learned, names, columns
        if unknown := [name for name in self.llm_data if name not in learned.llms]:
            logger.warning("%s cannot be chosen: %s was not trained on them", ", ".join(unknown), self.name)

    def check_costs(self, costs: Costs, llms: Sequence[str]) -> None:
        """Check that a cost is known where the configuration goes by costs.

        Raises:
            ConfigError: It is not.
        """
        self.policy_settings.check_costs(costs, llms, self.llm_data, self.source)

    def _policy_for(self, llms: list[str]) -> Policy:
        return Policy(self.policy_settings, llms, weights_of(self.llm_data, llms), self.source)

    def _check_trained(self) -> Learned:
        if self.learned is None:
            raise LLMRouterError(
                f"{self.name} is not trained; run 'llmrouter train', and name its model_path.save_model_path "
                "as model_path.load_model_path or with --load-model-path"
            )
        return self.learned
