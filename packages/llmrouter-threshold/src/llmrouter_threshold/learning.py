"""How the estimator learns from queries: from all at once where that is convex, else batch by batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from llmrouter.models.features import Features
from llmrouter_threshold.estimator import DifficultyEstimator
from llmrouter_threshold.hyperparameters import Hyperparameters
from llmrouter_threshold.parallel import Processes, seeded

# Iterations of L-BFGS in an epoch.
ITERATIONS = 10


class Learner(ABC):
    """Fits an estimator to queries, epoch by epoch.

    What is minimised is the mean cross-entropy of the labels, with an L2 penalty on the weights against its
    sum over all queries: one prior, so that one penalty suits few and many of them.

    Args:
        model: The estimator; it is changed in place.
        features: Of the n queries.
        labels: Soft labels of shape (n, heads).
        settings: The hyperparameters.
        processes: Those that learn together.
    """

    def __init__(
        self,
        model: DifficultyEstimator,
        features: Features,
        labels: Tensor,
        settings: Hyperparameters,
        processes: Processes,
    ) -> None:
        self.model = model
        self.features = features
        self.labels = labels
        self.settings = settings
        self.processes = processes
        self.count = len(labels)

    @abstractmethod
    def epoch(self, seed: int) -> float:
        """Learn for an epoch that depends on nothing but the weights, the state and the seed.

        Returns:
            The mean cross-entropy.
        """

    def state(self) -> dict[str, Tensor]:
        """Return what going on takes beside the weights; by default nothing."""
        return {}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take over what `state` returned."""
        return

    def _entropy(self, features: Features, labels: Tensor, over: int) -> Tensor:
        """Return the cross-entropy of some queries, as their part of a mean over as many as are named."""
        total = functional.binary_cross_entropy_with_logits(self.model(features), labels, reduction="sum")
        return total / (over * labels.shape[1])

    def _backward(self, entropy: Tensor) -> Tensor:
        """Leave in the weights the gradients of all processes together; returns what is minimised."""
        squares = sum((weight**2).sum() for weight in self.model.parameters() if weight.dim() == 2)
        penalty = self.settings.weight_decay * squares / (self.count * self.labels.shape[1])
        minimised = entropy + penalty / self.processes.count
        torch.autograd.backward(minimised)
        total = minimised.detach()
        self.processes.add_up([*(w.grad for w in self.model.parameters() if w.grad is not None), total])
        return total


class FullBatch(Learner):
    """L-BFGS with a line search, for the linear estimator: convex, so that it ends at the one best.

    Each epoch begins it anew, so that there is nothing beside the weights to keep. It counts with 64 bits:
    with 32, which steps it takes depends on the processor, and on how many processes add up.
    """

    @cached_property
    def _mine(self) -> tuple[Features, Tensor]:
        """The queries that are this process's."""
        mine = self.processes.share(torch.arange(self.count))
        return self.features.take(mine).double(), self.labels[mine].double()

    def epoch(self, seed: int) -> float:
        """Take some steps down from where the weights are; the seed plays no part."""
        self.model.train()
        self.model.double()
        try:
            optimizer = torch.optim.LBFGS(
                self.model.parameters(),
                max_iter=ITERATIONS,
                history_size=ITERATIONS,
                line_search_fn="strong_wolfe",
            )

            def closure() -> float:
                optimizer.zero_grad()
                return float(self._backward(self._entropy(*self._mine, self.count)))

            optimizer.step(closure)  # type: ignore[no-untyped-call]
            with torch.inference_mode():
                entropy = self._entropy(*self._mine, self.count)
                self.processes.add_up([entropy])
        finally:
            self.model.float()
        return float(entropy)


class MiniBatches(Learner):
    """Adam on batches of queries, for an estimator with a hidden layer."""

    @cached_property
    def _optimizer(self) -> torch.optim.Adam:
        return torch.optim.Adam(self.model.parameters(), lr=self.settings.learning_rate)

    def epoch(self, seed: int) -> float:
        """Go through all queries once, in the order that the seed tells."""
        order = torch.randperm(self.count, generator=seeded(seed))
        self.model.train()
        entropy = 0.0
        device = self.labels.device
        # Dropout draws from torch's own numbers, which are seeded for it and then put back.
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed + self.processes.rank)
            for batch in torch.split(order, self.settings.batch_size):
                mine = self.processes.share(batch)
                self._optimizer.zero_grad()
                found = self._entropy(self.features.take(mine), self.labels[mine], len(batch))
                self._backward(found)
                self._optimizer.step()
                entropy += float(found.detach()) * len(batch)
        return entropy / self.count

    def state(self) -> dict[str, Tensor]:
        """Return the state of the optimizer, by number of the weight and name."""
        states = self._optimizer.state_dict()["state"]
        return {
            f"{number}.{name}": torch.as_tensor(value)
            for number, state in states.items()
            for name, value in state.items()
        }

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take over the state of the optimizer."""
        states: dict[int, dict[str, Tensor]] = {}
        for key, value in state.items():
            number, _, name = key.partition(".")
            states.setdefault(int(number), {})[name] = value
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": states, "param_groups": groups})
