"""The difficulty estimator: features of a query in, logits out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from llmrouter.models.features import Features, project


class DifficultyEstimator(nn.Module):
    """A linear part, and a hidden layer beside it where that is asked for ("wide and deep").

    With the target ``gain`` its two heads tell how well the small and the large LLM do, and the raw score is
    the difference; with ``difficulty`` one head tells the raw score itself.

    Args:
        dim: Number of features.
        heads: Number of logits.
        sparse: Whether features come as a sparse batch.
        embedding_dim: Width of the learned embedding of sparse features, before the hidden layer.
        hidden_dim: Width of the hidden layer; 0: the linear part alone.
        dropout: Share of hidden units left out in training.
        kept: Sparse: how many of the features count, those in `kept`; 0: all do.

    Attributes:
        kept: Numbers of the features that count, ascending, (kept,).
    """

    kept: Tensor

    def __init__(
        self,
        dim: int,
        heads: int,
        sparse: bool,
        embedding_dim: int = 64,
        hidden_dim: int = 0,
        dropout: float = 0.1,
        kept: int = 0,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.sparse = sparse
        # What it takes to make one like it.
        self.shape = {
            "dim": dim,
            "heads": heads,
            "sparse": sparse,
            "embedding_dim": embedding_dim,
            "hidden_dim": hidden_dim,
            "dropout": dropout,
            **({"kept": kept} if kept else {}),
        }
        rows = kept or dim
        if kept:
            self.register_buffer("kept", torch.zeros(kept, dtype=torch.int32))
        self.linear = nn.Parameter(torch.zeros(rows, heads))
        self.bias = nn.Parameter(torch.zeros(heads))
        self.embedding: nn.Parameter | None = None
        self.hidden: nn.Sequential | None = None
        if hidden_dim:
            width = embedding_dim if sparse else dim
            if sparse:
                self.embedding = nn.Parameter(torch.zeros(rows, embedding_dim))
            self.hidden = nn.Sequential(
                nn.Dropout(dropout), _layer(width, hidden_dim), nn.ReLU(), _layer(hidden_dim, heads)
            )

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the weights that must not begin alike; no other random state is touched."""
        for weight in self.parameters():
            if weight.dim() == 2 and weight is not self.linear:
                with torch.no_grad():
                    weight.normal_(0, weight.shape[-1] ** -0.5, generator=generator)

    def forward(self, features: Features) -> Tensor:
        """Return logits of shape (n, heads)."""
        if "kept" in self.shape and features.indices is not None:
            places = torch.searchsorted(self.kept, features.indices).clamp(max=len(self.kept) - 1)
            features = features.renumbered(torch.where(self.kept[places] == features.indices, places, -1))
        logits = project(features, self.linear) + self.bias
        if self.hidden is not None:
            inner = features.values if self.embedding is None else project(features, self.embedding)
            logits = logits + self.hidden(inner)
        return logits

    def raw_scores(self, features: Features) -> Tensor:
        """Return uncalibrated scores of shape (n,): higher for the queries that need the large LLM more."""
        chances = torch.sigmoid(self(features))
        return chances[:, 1] - chances[:, 0] if chances.shape[1] == 2 else chances[:, 0]


def _layer(inputs: int, outputs: int) -> nn.Linear:
    # torch would draw its weights from the random numbers that others use.
    layer = nn.Linear(inputs, outputs, device="meta")
    layer.weight = nn.Parameter(torch.zeros(outputs, inputs))
    layer.bias = nn.Parameter(torch.zeros(outputs))
    return layer
