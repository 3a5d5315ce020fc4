"""Send easy queries to a small LLM and hard ones to a large one."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch

import llmrouter
from llmrouter.config import config_error
from llmrouter.encoders import create_encoder
from llmrouter.encoders.base import Encoder, Floats, SparseBatch
from llmrouter.encoders.cache import cached
from llmrouter.encoders.queries import encode_queries
from llmrouter.errors import CheckpointError, LLMRouterError
from llmrouter.models.arrays import check_header, named_under
from llmrouter.models.calibration import Doubles
from llmrouter.models.checkpoint import read_checkpoint, write_state
from llmrouter.models.encoder_state import BROUGHT, encoder_state, restored_encoder
from llmrouter.models.features import Features
from llmrouter.models.meta_router import MetaRouter
from llmrouter_threshold.calibration import Calibration
from llmrouter_threshold.candidates import tiers
from llmrouter_threshold.estimator import DifficultyEstimator
from llmrouter_threshold.hyperparameters import Hyperparameters
from llmrouter_threshold.plugin import NAME

FORMAT = 1


class ThresholdRouter(MetaRouter):
    """Estimates how hard a query is, and chooses the LLM by thresholds on that score.

    The score is the calibrated probability that the large LLM does better than the small one (target
    ``gain``) or that the query needs the large one (``difficulty``). The hyperparameters are those of
    `llmrouter_threshold.hyperparameters.Hyperparameters`.

    Attributes:
        llm_names: The LLMs that take part, from small to large.
        settings: The hyperparameters.
        encoder: Encoder of the texts; None before training where each query brings its embedding.
        calibration: From raw scores to probabilities.
        thresholds: Scores at which the next larger LLM begins, one less than LLMs.
        chosen: How the thresholds were chosen, in words.
        trained: What the trainer tells of the training: data digest, metrics; empty before.
        loaded_from: The checkpoint that was loaded, or None.
    """

    def __init__(self, yaml_path: str) -> None:
        super().__init__(yaml_path=yaml_path)
        self.source = yaml_path
        self.settings = Hyperparameters.from_config(self.cfg, self.source)
        self.llm_names = tiers(self.llm_data, self.cfg["hparam"], self.source)
        given, needed = self.settings.thresholds, len(self.llm_names) - 1
        if given is not None and len(given) != needed:
            raise config_error(
                self.source,
                ["hparam", "thresholds"],
                f"{needed + 1} LLMs need {needed} thresholds, found {len(given)}",
            )
        self.encoder: Encoder | None = None
        self.calibration = Calibration()
        self.thresholds: list[float] = []
        self.chosen = ""
        self.trained: dict[str, Any] = {}
        self.loaded_from: str | None = None

    def route_single(self, query_input: dict[str, Any]) -> dict[str, Any]:
        """Choose the LLM for one query."""
        return self.route_batch([query_input])[0]

    def route_batch(self, batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Choose the LLM for each query."""
        return [self._result(score) for score in self.scores(batch).tolist()]

    def scores(self, batch: Sequence[dict[str, Any]]) -> Doubles:
        """Return the calibrated scores of queries, shape (n,): how much each needs the large LLM.

        Raises:
            LLMRouterError: The router is not trained, or as `encode` says.
        """
        if not isinstance(self.model, DifficultyEstimator):
            raise LLMRouterError(
                f"{NAME} is not trained; run 'llmrouter train', and name its model_path.save_model_path as "
                "model_path.load_model_path or with --load-model-path"
            )
        features = Features.of(self.encode(batch)).to(self.model.bias.device)
        with torch.inference_mode():
            raw = self.model.raw_scores(features)
        return self.calibration.probabilities(raw.double().cpu().numpy())

    def encode(self, batch: Sequence[dict[str, Any]]) -> Floats | SparseBatch:
        """Return the features of queries.

        An ``embedding`` that a query brings stands in for the encoder's, where that is dense; what a sparse
        encoder gives cannot be brought.

        Raises:
            LLMRouterError: An embedding is missing where there is no encoder, or of another width.
        """
        model = self.model if isinstance(self.model, DifficultyEstimator) else None
        width = self.settings.embedding_dim if self.encoder is None else None
        return encode_queries(
            self.encoder, batch, width if model is None else model.dim, model is not None and model.sparse
        )

    def make_encoder(self) -> Encoder | None:
        """Make the encoder that the hyperparameters name; None where queries bring their embeddings."""
        if self.settings.encoder == BROUGHT:
            return None
        return cached(create_encoder(self.settings.encoder), self.settings.embedding_cache)

    def choose_thresholds(self) -> None:
        """Take over what the user wants, given the calibration.

        Raises:
            ConfigError: The calibration cannot tell what is wanted.
        """
        try:
            self.thresholds, self.chosen = self.calibration.thresholds(self.settings, len(self.llm_names))
        except ValueError as error:
            key = "strong_share" if self.settings.strong_share is not None else "quality"
            raise config_error(self.source, ["hparam", key], str(error)) from error

    def save_router(self, path: str | os.PathLike[str]) -> None:
        """Write estimator, encoder state, calibration and what is known of the training, as safetensors.

        Raises:
            CheckpointError: There is nothing to save, or the file cannot be written.
        """
        if not isinstance(self.model, DifficultyEstimator):
            raise CheckpointError(path, f"{NAME} is not trained and has nothing to save")
        tensors = {f"estimator.{name}": value for name, value in self.model.state_dict().items()}
        encoded, encoder = encoder_state(self.encoder)
        header = {
            "router": NAME,
            "format": FORMAT,
            "llmrouter": llmrouter.__version__,
            "llms": self.llm_names,
            "hyperparameters": asdict(self.settings),
            "estimator": self.model.shape,
            "encoder": encoder,
            "calibration": self.calibration.to_json(),
            "thresholds": self.thresholds,
            "chosen": self.chosen,
            "training": self.trained,
        }
        write_state({**tensors, **encoded}, path, header)

    def load_router(self, path: str | os.PathLike[str]) -> None:
        """Restore what `save_router` wrote; the thresholds follow this configuration.

        Raises:
            CheckpointError: The file is missing, damaged, of another router, of a newer format, or was
                trained for other LLMs or with another encoder.
        """
        tensors, header = read_checkpoint(path)
        check_header(header, path, NAME, FORMAT, "llmrouter-threshold")
        try:
            ends = (header["llms"][0], header["llms"][-1])
            if ends != (self.llm_names[0], self.llm_names[-1]):
                raise CheckpointError(
                    path,
                    f"was trained for {' and '.join(ends)}, not {self.llm_names[0]} and {self.llm_names[-1]}",
                )
            encoder = restored_encoder(tensors, header["encoder"], path)
            with torch.device("meta"):  # whatever size the file claims
                model = DifficultyEstimator(**header["estimator"])
            model.load_state_dict(named_under(tensors, "estimator."), assign=True)
            model.float()
            calibration = Calibration.from_json(header["calibration"])
            if not calibration.quantiles:
                raise ValueError("the calibration has no quantiles")
            trained = dict(header["training"])
        except CheckpointError:
            raise
        except LLMRouterError as error:
            raise CheckpointError(path, f"its encoder cannot be used: {error}") from error
        except (
            KeyError,
            IndexError,
            TypeError,
            ValueError,
            AttributeError,
            ArithmeticError,
            RuntimeError,
        ) as error:
            raise CheckpointError(path, f"is damaged: {' '.join(str(error).split())}") from error
        self.model = model.eval()
        self.encoder, self.calibration, self.trained = encoder, calibration, trained
        self.loaded_from = str(path)
        self.choose_thresholds()

    def _result(self, score: float) -> dict[str, Any]:
        steps = len(self.llm_names) - 1
        chosen = self.llm_names[bisect_left(self.thresholds, score)]
        return {
            "model_name": chosen,
            "scores": {name: 1 - abs(score - rank / steps) for rank, name in enumerate(self.llm_names)},
            "confidence": max(score, 1 - score),
            "difficulty": score,
        }
