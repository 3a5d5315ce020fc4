"""Fit the predictors: a linear model with what LLMs have in common, and the memory beside it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from llmrouter.models.features import Features, project

# Steps of L-BFGS at most, and how many of them it remembers.
STEPS = 60
HISTORY = 10


@dataclass(frozen=True)
class Decay:
    """L2 penalties against the summed loss.

    Attributes:
        common: On the weights that all LLMs share: how hard a query is.
        own: On the weights by which one LLM differs from that.
    """

    common: float
    own: float


class Linear:
    """Logistic regression for several LLMs at once, whose weights lean on common ones.

    The weights of an LLM are common weights and its own, each with their penalty (Evgeniou and Pontil 2004,
    "Regularized multi-task learning"), so that an LLM with few outcomes goes by what is known of the others.

    Args:
        features: Of the n queries.
        quality: (n, m), NaN where unknown.
        width: Number of features.
    """

    def __init__(self, features: Features, quality: Tensor, width: int) -> None:
        self._features = features
        known = ~torch.isnan(quality)
        self._known = known.float()
        self._quality = quality.nan_to_num(0.0)
        # An LLM's mean leans on that of all by the weight of one outcome.
        overall = (self._quality.sum() + 0.5) / (self._known.sum() + 1)
        means = (self._quality.sum(0) + overall) / (self._known.sum(0) + 1)
        self.bias = torch.logit(means.clamp(0.01, 0.99))
        self.common = torch.zeros(width, 1)
        self.own = torch.zeros(width, quality.shape[1])

    def fit(self, decay: Decay) -> tuple[Tensor, Tensor]:
        """Fit from where the weights are; it ends at the one best, however it begins.

        Returns:
            Weights (width, m) and bias (m,).
        """
        weights = [self.common, self.own, self.bias]
        start = self.bias.clone()
        for weight in weights:
            weight.requires_grad_(True)
        optimizer = torch.optim.LBFGS(
            weights,
            max_iter=STEPS,
            history_size=HISTORY,
            tolerance_grad=1e-7,
            tolerance_change=1e-9,
            line_search_fn="strong_wolfe",
        )
        scale = 1 / float(self._known.sum())

        def closure() -> float:
            optimizer.zero_grad()
            logits = project(self._features, self.common + self.own) + self.bias
            loss = functional.binary_cross_entropy_with_logits(
                logits, self._quality, weight=self._known, reduction="sum"
            )
            loss = loss + decay.common * (self.common**2).sum() + decay.own * (self.own**2).sum()
            loss = scale * loss + scale * ((self.bias - start) ** 2).sum()
            torch.autograd.backward(loss)
            return float(loss.detach())

        optimizer.step(closure)  # type: ignore[no-untyped-call]
        for weight in weights:
            weight.requires_grad_(False)
        return (self.common + self.own).contiguous(), self.bias.clone()
