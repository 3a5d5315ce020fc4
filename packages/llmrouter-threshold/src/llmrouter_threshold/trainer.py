"""Train the difficulty estimator: find the number of epochs on a part kept apart, then learn from all."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from llmrouter.config import config_error
from llmrouter.encoders.base import SparseBatch
from llmrouter.errors import CheckpointError
from llmrouter.learning.outcomes import outcomes_from
from llmrouter.models.arrays import named_under
from llmrouter.models.base_trainer import BaseTrainer
from llmrouter.models.checkpoint import read_checkpoint, write_state
from llmrouter.models.features import Features
from llmrouter_threshold.calibration import NO_GAP, Calibration, calibrate, has_gap
from llmrouter_threshold.estimator import DifficultyEstimator
from llmrouter_threshold.examples import examples_from
from llmrouter_threshold.learning import FullBatch, Learner, MiniBatches
from llmrouter_threshold.parallel import Processes, seeded
from llmrouter_threshold.router import ThresholdRouter

logger = logging.getLogger(__name__)

# With fewer queries none are kept apart.
FEWEST = 40
# By how much of itself the loss has to fall to be better: near its end a convex one falls on and on.
LEAST = 1e-3


@dataclass(frozen=True)
class Progress:
    """Where training stands after an epoch.

    Attributes:
        refitting: False while the number of epochs is sought, True while learning from all queries.
        epoch: Epochs done in this phase.
        best_epoch: Epochs after which the loss on the part kept apart was lowest.
        best_loss: That loss.
    """

    refitting: bool = False
    epoch: int = 0
    best_epoch: int = 0
    best_loss: float = float("inf")


class ThresholdTrainer(BaseTrainer):
    """Trains a `ThresholdRouter`.

    A part of the queries is kept apart. On the others the estimator learns until the loss on that part no
    longer improves; the part also calibrates the scores. Then the estimator learns anew from all queries, for
    as many epochs. The best so far is saved after each improvement, so that an interrupted training leaves a
    usable checkpoint, and ``--resume`` goes on as if nothing had happened.
    """

    router: ThresholdRouter

    def train(self) -> None:
        """Train the router and save it to ``model_path.save_model_path``.

        Raises:
            ConfigError: There is no path to save to, no routing data, or no gap of which to recover a share.
            DataError: The routing data do not tell what training needs.
        """
        router = self.router
        path, rows = self.save_path(), self.routing_data()
        self._path = Path(path)
        # Written beside the checkpoint after each epoch, and removed at the end.
        self._state_path = self._path.with_name(f"{self._path.name}.training")
        outcomes = outcomes_from(rows, router.llm_data).select(router.llm_names)
        self._examples = examples_from(outcomes, router.settings.target)
        self._digest = self._examples.digest
        with Processes(self.device) as self._processes:
            resumed = self._resumed()
            self._prepare()
            if resumed is None:
                progress = Progress()
                self._start(progress)
            else:
                progress = self._restore(*resumed)
            self._traffic = self._unseen_traffic()
            if not progress.refitting:
                progress = self._search(progress)
                progress = replace(progress, refitting=True, epoch=0)
                self._start(progress)
            self._refit(progress)
            if self._processes.first:
                self._state_path.unlink(missing_ok=True)

    def _prepare(self) -> None:
        """Split the queries, and encode them."""
        router, examples, settings = self.router, self._examples, self.router.settings
        apart = kept_apart(examples.queries, settings.validation_share, settings.seed)
        if apart.all():
            apart[:] = False
        self._all = torch.arange(len(examples.queries))
        self._learning = self._all[torch.from_numpy(~apart)]
        self._apart = self._all[torch.from_numpy(apart)] if apart.any() else self._all
        if settings.quality is not None and not has_gap(examples.take(self._apart.numpy())):
            raise config_error(router.source, ["hparam", "quality"], NO_GAP)
        router.model = None
        router.encoder = router.make_encoder()
        if router.encoder is not None:
            router.encoder.fit(examples.queries)
        encoded = router.encode(examples.rows)
        self._sparse = isinstance(encoded, SparseBatch)
        if isinstance(encoded, SparseBatch):
            dim = router.encoder.dim if router.encoder is not None else None
            self._dim = int(dim or encoded.indices.max() + 1)
        else:
            self._dim = encoded.shape[1]
        self._features = Features.of(encoded).to(self.device)
        # An embedding of the features that several queries have. One of all that there may be would be a
        # hundred times as large, and Adam would go through all of it in each step.
        self._kept = torch.empty(0, dtype=torch.int32)
        if settings.hidden_dim and self._features.indices is not None:
            counts = torch.bincount(self._features.indices)
            self._kept = torch.nonzero(counts > min(1, int(counts.max()) - 1))[:, 0].int()
        self._labels = torch.from_numpy(examples.labels).to(self.device)

    def _unseen_traffic(self) -> Features | None:
        """Encode the user's own queries, as far as training does not see them: what it saw scores otherwise.

        Where they are too few to tell quantiles, the part kept apart has to.
        """
        seen = set(self._examples.queries)
        rows = [row for row in self.router.query_data_train or () if row["query"] not in seen]
        if len(rows) < FEWEST:
            return None
        return Features.of(self.router.encode(rows)).to(self.device)

    def _start(self, progress: Progress) -> None:
        """Make the estimator anew, and what fits it to the queries of this phase."""
        settings = self.router.settings
        model = DifficultyEstimator(
            self._dim,
            self._labels.shape[1],
            self._sparse,
            settings.embedding_dim or 64,
            settings.hidden_dim,
            settings.dropout,
            len(self._kept),
        )
        if len(self._kept):
            model.kept = self._kept
        model.initialise(seeded(settings.seed))
        self._model = model.to(self.device)
        self.router.model = self._model
        rows = self._all if progress.refitting else self._learning
        make_learner = MiniBatches if settings.hidden_dim else FullBatch
        self._learner: Learner = make_learner(
            self._model, self._features.take(rows), self._labels[rows], settings, self._processes
        )

    def _search(self, progress: Progress) -> Progress:
        """Learn from a part until the loss on the other no longer improves."""
        settings = self.router.settings
        held, labels = self._features.take(self._apart), self._labels[self._apart]
        while (
            progress.epoch < settings.train_epoch and progress.epoch - progress.best_epoch < settings.patience
        ):
            learned = self._epoch(progress)
            self._model.eval()
            with torch.inference_mode():
                loss = self._processes.agree(
                    float(functional.binary_cross_entropy_with_logits(self._model(held), labels))
                )
                raw = self._model.raw_scores(held).double().cpu().numpy()
            progress = replace(progress, epoch=progress.epoch + 1)
            calibration = calibrate(raw, self._examples.take(self._apart.numpy()))
            if loss < progress.best_loss * (1 - LEAST):
                progress = replace(progress, best_epoch=progress.epoch, best_loss=loss)
                self.router.calibration = calibration
                self._publish(progress)
            self._save_state(progress)
            figures = {"loss": learned, "dev loss": loss}
            if calibration.apgr is not None:
                figures["dev APGR"] = calibration.apgr
            self.report(progress.epoch, settings.train_epoch, figures)
        return progress

    def _refit(self, progress: Progress) -> None:
        """Learn from all queries, for as many epochs as were best."""
        while progress.epoch < progress.best_epoch:
            learned = self._epoch(progress)
            progress = replace(progress, epoch=progress.epoch + 1)
            self._save_state(progress)
            self.report(progress.epoch, progress.best_epoch, {"loss": learned})
        self._publish(progress)

    def _epoch(self, progress: Progress) -> float:
        """Learn for an epoch that depends on nothing but the weights, the seed, the phase and its number."""
        return self._learner.epoch(
            self.router.settings.seed * 1_000_003 + 2 * progress.epoch + progress.refitting
        )

    def _publish(self, progress: Progress) -> None:
        """Save the router as it stands."""
        router = self.router
        self._model.eval()
        if self._traffic is not None:
            with torch.inference_mode():
                raw = self._model.raw_scores(self._traffic).double().cpu().numpy()
            router.calibration = router.calibration.with_traffic(raw)
        router.choose_thresholds()
        router.trained = {
            "data": self._digest,
            "queries": len(self._examples.queries),
            "target": self._examples.target,
            "validation": len(self._apart),
            "epochs": progress.best_epoch,
            "finished": progress.refitting,
            "metrics": {"loss": progress.best_loss, "calibration_error": router.calibration.error},
        }
        if self._processes.first:
            router.save_router(self._path)
        self._processes.wait()

    def _save_state(self, progress: Progress) -> None:
        """Write all that resuming needs."""
        if not self._processes.first:
            return
        tensors = {f"model.{name}": value for name, value in self._model.state_dict().items()}
        tensors |= {f"learner.{name}": value for name, value in self._learner.state().items()}
        header = {
            "progress": asdict(progress),
            "calibration": self.router.calibration.to_json(),
            "data": self._digest,
            "hyperparameters": asdict(self.router.settings),
        }
        write_state(tensors, self._state_path, header)

    def _resumed(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Read the state of an interrupted training, where the user asked to resume it."""
        if self.router.loaded_from is None or not self._state_path.exists():
            return None
        tensors, header = read_checkpoint(self._state_path)
        if header.get("data") != self._digest or header.get("hyperparameters") != asdict(
            self.router.settings
        ):
            raise CheckpointError(
                self._state_path,
                "belongs to other data or hyperparameters; train without --resume to begin anew",
            )
        return tensors, header

    def _restore(self, tensors: dict[str, Tensor], header: dict[str, Any]) -> Progress:
        try:
            progress = Progress(**header["progress"])
            self._start(progress)
            self._model.load_state_dict(named_under(tensors, "model."))
            self._learner.restore(named_under(tensors, "learner."))
            self.router.calibration = Calibration.from_json(header["calibration"])
            return progress
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise CheckpointError(self._state_path, f"is damaged: {' '.join(str(error).split())}") from error


def kept_apart(queries: Sequence[str], share: float, seed: int) -> NDArray[np.bool_]:
    """Tell which queries are kept apart, by a hash of their text, so that the same text falls on one side."""
    if len(queries) < FEWEST or not share:
        return np.zeros(len(queries), dtype=bool)
    drawn = [int(hashlib.sha256(f"{seed}:{query}".encode()).hexdigest()[:8], 16) / 2**32 for query in queries]
    return np.asarray(drawn) < share
