"""Predict each LLM's quality and cost for a query, and choose by a constraint or a trade-off."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import llmrouter
from llmrouter.config import config_error
from llmrouter.constraints import KEY, KINDS, Constraint, ConstraintError, choose
from llmrouter.encoders import create_encoder
from llmrouter.encoders.base import Encoder
from llmrouter.encoders.cache import cached
from llmrouter.encoders.queries import encode_queries
from llmrouter.errors import CheckpointError, LLMRouterError
from llmrouter.learning.outcomes import Array
from llmrouter.models.arrays import check_header, named_under, write_content
from llmrouter.models.checkpoint import pack_checkpoint, read_checkpoint, unpack_checkpoint
from llmrouter.models.encoder_state import BROUGHT, encoder_state, restored_encoder
from llmrouter.models.features import Features
from llmrouter.models.meta_router import MetaRouter
from llmrouter.request import answer_limit, prompt_tokens
from llmrouter.routing import ALLOWED
from llmrouter_pareto.calibration import Calibration
from llmrouter_pareto.costs import Costs, check_costs, prices_of, weights_of
from llmrouter_pareto.hyperparameters import Hyperparameters
from llmrouter_pareto.plugin import NAME
from llmrouter_pareto.predictor import Predictor, Shape

logger = logging.getLogger(__name__)

FORMAT = 1
PACKAGE = "llmrouter-pareto"
# Where a checkpoint comes from that was given as bytes, for errors.
_GIVEN = Path("checkpoint")


@dataclass(frozen=True)
class Predictions:
    """What is expected of n queries and m LLMs.

    Attributes:
        llms: Names of the LLMs.
        quality: From 0 to 1, calibrated, (n, m).
        cost: USD at the candidates' prices, (n, m); NaN where unknown.
    """

    llms: tuple[str, ...]
    quality: Array
    cost: Array


class ParetoRouter(MetaRouter):
    """Predicts how well each LLM would answer and at what cost, and chooses on the frontier of both.

    Args:
        yaml_path: Path of the YAML configuration, or a mapping that was read already.
        llm_data: The candidates, in place of those that the configuration names.

    The hyperparameters are those of `llmrouter_pareto.hyperparameters.Hyperparameters`. A query may have keys
    of its own: ``routing_constraint``, ``max_tokens``, ``messages`` and ``tools`` (by which the length of the
    prompt is estimated, in place of its text), and ``allowed_llms``.

    Attributes:
        settings: The hyperparameters.
        llm_names: The LLMs that may be chosen: candidates of which the training data told.
        encoder: Encoder of the texts; None before training, and where queries bring their embeddings.
        costs: How costs are predicted.
        calibration: From uncalibrated qualities to calibrated ones.
        trained: What the trainer tells of the training: data digest, counts, metrics; empty before.
        summary: What the router would do, as `llmrouter_pareto.summary.summarise` tells; empty before.
    """

    def __init__(
        self,
        yaml_path: str | os.PathLike[str] | Mapping[str, Any],
        llm_data: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        super().__init__(yaml_path=yaml_path)
        if llm_data is not None:
            self.llm_data = {name: dict(candidate) for name, candidate in llm_data.items()}
        self.source = yaml_path
        self.settings = Hyperparameters.from_config(self.cfg, self.source)
        self.llm_names: list[str] = []
        self.encoder: Encoder | None = None
        self.costs = Costs((), ())
        self.calibration = Calibration()
        self.trained: dict[str, Any] = {}
        self.summary: dict[str, Any] = {}
        self._learned: tuple[str, ...] = ()
        self._columns: list[int] = []
        self._constraint = self._configured(list(self.llm_data))

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: bytes,
        candidates: Mapping[str, Mapping[str, Any]],
        hparam: Mapping[str, Any] | None = None,
    ) -> ParetoRouter:
        """Make a router of what `llmrouter_pareto.train` returned, without files.

        Args:
            checkpoint: The content of a checkpoint.
            candidates: As a router's ``llm_data``: those that may be chosen, at the prices of now.
            hparam: Hyperparameters by which an LLM is chosen.

        Raises:
            CheckpointError: The checkpoint cannot be used.
            ConfigError: A hyperparameter is wrong.
        """
        router = cls({"hparam": dict(hparam or {})}, candidates)
        router.restore(*unpack_checkpoint(checkpoint, _GIVEN), _GIVEN)
        return router

    def route_single(self, query_input: dict[str, Any]) -> dict[str, Any]:
        """Choose the LLM for one query."""
        return self.route_batch([query_input])[0]

    def route_batch(self, batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Choose the LLM for each query.

        Raises:
            LLMRouterError: The router is not trained, or a query's constraint, limit or ``allowed_llms``
                cannot be understood.
        """
        self._check_trained()
        wanted = [self._wanted(query) for query in batch]
        told = self.predict(batch)
        rows = zip(wanted, told.quality.tolist(), told.cost.tolist(), strict=True)
        return [self._result(*want, quality, cost) for want, quality, cost in rows]

    def predict(self, batch: Sequence[Mapping[str, Any]]) -> Predictions:
        """Predict quality and cost of each LLM in `llm_names` for each query.

        Raises:
            LLMRouterError: The router is not trained, or a query cannot be encoded.
        """
        model = self._check_trained()
        limits = np.array([answer_limit(query) for query in batch], float)
        estimated = np.array([prompt_tokens(query) for query in batch], float)
        if model.shape.memory:
            dim = model.shape.dim
            encoded = encode_queries(self.encoder, batch, dim, model.space.sparse)
            features = Features.of(encoded).to(model.bias.device)
        else:
            features = Features(torch.zeros(len(batch), 0))
        raw = model(features)
        quality = self.calibration(raw.quality.double().cpu().numpy())
        outlay = raw.outlay.double().cpu().numpy()
        prices = prices_of(self.llm_data, self._learned)
        cost = self.costs.expected(outlay, estimated, limits, prices)
        return Predictions(tuple(self.llm_names), quality[:, self._columns], cost[:, self._columns])

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
        model = self._check_trained()
        tensors = {f"predictor.{name}": value for name, value in model.state_dict().items()}
        encoded, encoder = encoder_state(self.encoder)
        header = {
            "router": NAME,
            "format": FORMAT,
            "llmrouter": llmrouter.__version__,
            "llms": list(self._learned),
            "hyperparameters": self.settings.learning,
            "predictor": model.shape.to_json(),
            "encoder": encoder,
            "costs": self.costs.to_json(),
            "calibration": self.calibration.to_json(),
            "training": self.trained,
            "summary": self.summary,
        }
        return pack_checkpoint({**tensors, **encoded}, header)

    def save_router(self, path: str | os.PathLike[str]) -> None:
        """Write `checkpoint` to a file, whole or not at all; missing folders are made.

        Raises:
            CheckpointError: There is nothing to save, or the file cannot be written.
        """
        if not isinstance(self.model, Predictor):
            raise CheckpointError(path, f"{NAME} is not trained and has nothing to save")
        write_content(self.checkpoint(), path)

    def load_router(self, path: str | os.PathLike[str]) -> None:
        """Restore what `save_router` wrote; how LLMs are chosen follows this configuration.

        Raises:
            CheckpointError: The file is missing, damaged, of another router, of a newer format, or was
                trained for none of the candidates.
        """
        self.restore(*read_checkpoint(path), path)

    def restore(
        self, tensors: Mapping[str, torch.Tensor], header: Mapping[str, Any], path: str | os.PathLike[str]
    ) -> None:
        """Take over what a checkpoint holds.

        Raises:
            CheckpointError: As `load_router`.
            ConfigError: As `take_over`.
        """
        check_header(header, path, NAME, FORMAT, PACKAGE)
        try:
            encoder = restored_encoder(tensors, header["encoder"], path)
            shape = Shape.from_json(header["predictor"])
            # Nothing in the file bounds what a table of all sparse features takes.
            if shape.kept is not None and (encoder is None or encoder.dim != shape.dim):
                raise ValueError("its features are not those of its encoder")
            with torch.device("meta"):  # whatever size the file claims
                model = Predictor(shape)
            model.load_state_dict(named_under(tensors, "predictor."), assign=True)
            model.prepare()
            costs, calibration = (
                Costs.from_json(header["costs"]),
                Calibration.from_json(header["calibration"]),
            )
            llms = tuple(header["llms"])
            if not all(isinstance(name, str) for name in llms) or len(set(llms)) != len(llms):
                raise ValueError("the names of the LLMs are not told")
            if not len(llms) == len(costs.units) == model.shape.llms:
                raise ValueError("the numbers of LLMs differ")
            trained, summary = dict(header["training"]), dict(header["summary"])
        except CheckpointError:
            raise
        except LLMRouterError as error:
            raise CheckpointError(path, f"its encoder cannot be used: {error}") from error
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
            raise CheckpointError(path, f"is damaged: {' '.join(str(error).split())}") from error
        if not any(name in self.llm_data for name in llms):
            raise CheckpointError(
                path,
                f"was trained for {', '.join(llms)}, none of which is a candidate; train the router anew",
            )
        self.take_over(model.eval(), encoder, llms, costs, calibration, trained, summary)

    def take_over(
        self,
        model: Predictor,
        encoder: Encoder | None,
        llms: Sequence[str],
        costs: Costs,
        calibration: Calibration,
        trained: dict[str, Any],
        summary: dict[str, Any],
    ) -> None:
        """Become trained; the arguments are as the attributes, ``llms`` those that the model predicts.

        Raises:
            ConfigError: A constraint of the configuration names an LLM that the model does not predict, or
                goes by costs of which none is known.
        """
        check_costs(self.settings, costs, llms, self.llm_data, self.source)
        self.model = model
        self.encoder, self.costs, self.calibration = encoder, costs, calibration
        self.trained, self.summary = trained, summary
        self._learned = tuple(llms)
        self._columns = [number for number, name in enumerate(llms) if name in self.llm_data]
        self.llm_names = [self._learned[number] for number in self._columns]
        self._constraint = self._configured(self.llm_names)
        if unknown := [name for name in self.llm_data if name not in self._learned]:
            logger.warning("%s cannot be chosen: %s was not trained on them", ", ".join(unknown), NAME)

    def _check_trained(self) -> Predictor:
        if not isinstance(self.model, Predictor):
            raise LLMRouterError(
                f"{NAME} is not trained; run 'llmrouter train', and name its model_path.save_model_path as "
                "model_path.load_model_path or with --load-model-path"
            )
        return self.model

    def _configured(self, llms: list[str]) -> Constraint | None:
        """Return the constraint of the configuration."""
        for kind in KINDS:
            value = getattr(self.settings, kind)
            if value is not None:
                try:
                    return Constraint.of(kind, value, llms, kind)
                except ConstraintError as error:
                    problem = str(error).partition(": ")[2]
                    raise config_error(self.source, ["hparam", kind], problem) from error
        return None

    def _wanted(self, query: Mapping[str, Any]) -> tuple[Constraint | None, list[int]]:
        """Return a query's constraint, and the numbers of the LLMs that it may go to."""
        constraint = Constraint.parse(query.get(KEY), self.llm_names) or self._constraint
        allowed = query.get(ALLOWED)
        if allowed is None:
            return constraint, list(range(len(self.llm_names)))
        names = set(allowed) if isinstance(allowed, list | tuple) else set()
        numbers = [number for number, name in enumerate(self.llm_names) if name in names]
        if not numbers:
            raise LLMRouterError(
                f"{ALLOWED!r} names no candidate; expected a list, of {', '.join(self.llm_names)}"
            )
        return constraint, numbers

    def _result(
        self, constraint: Constraint | None, allowed: list[int], quality: list[float], cost: list[float]
    ) -> dict[str, Any]:
        trade_off = 0.0 if constraint else self.settings.trade_off or 0.0
        choice = choose(
            self.llm_names,
            quality,
            cost,
            allowed,
            constraint,
            trade_off,
            weights_of(self.llm_data, self.llm_names),
        )
        costs = [None if value != value else value for value in cost]  # NaN alone differs from itself
        result: dict[str, Any] = {
            "model_name": self.llm_names[choice.number],
            "scores": dict(zip(self.llm_names, quality, strict=True)),
            "confidence": quality[choice.number],
            "expected_cost": costs[choice.number],
            "expected_costs": dict(zip(self.llm_names, costs, strict=True)),
        }
        if trade_off:
            result["trade_off"] = trade_off
        return result | choice.told(constraint)
