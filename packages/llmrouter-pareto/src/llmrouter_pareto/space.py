"""The features that count, and a small space in which similar queries are near each other."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from llmrouter.models.features import Features, project

# Passes of the randomised decomposition over the features; more of them do not change the neighbours.
PASSES = 3
EXTRA = 8


class Space(nn.Module):
    """What was learned from the features of the training queries.

    Args:
        dim: Number of features that the encoder gives.
        kept: Sparse features: how many of them count. None: dense ones, which all count.
        components: Dimensions of the small space.

    Attributes:
        kept: Numbers of the features that count, ascending, (f,); empty where all do.
        axes: Sparse: directions in which the queries differ most, (f, components), in half precision. Dense:
            the mean of the features, (1, dim), which is taken off.
    """

    kept: Tensor
    axes: Tensor
    _axes: Tensor
    _numbers: Tensor

    def __init__(self, dim: int, kept: int | None, components: int) -> None:
        super().__init__()
        self.dim = dim
        self.sparse = kept is not None
        self.register_buffer("kept", torch.zeros(kept or 0, dtype=torch.int32))
        axes = (1, dim) if kept is None else (kept, components)
        self.register_buffer("axes", torch.zeros(axes, dtype=torch.half))

    @classmethod
    def fit(cls, features: Features, dim: int, components: int, generator: torch.Generator) -> Space:
        """Learn it from the features of n queries.

        Of sparse features those count that more than one query has. The directions are the right singular
        vectors, by randomised subspace iteration (Halko, Martinsson and Tropp, arXiv 0909.4061).
        """
        if features.indices is None:
            space = cls(dim, None, dim)
            space.axes = features.values.mean(0, keepdim=True).half()
            return space.prepare()
        kept = torch.nonzero(torch.bincount(features.indices, minlength=dim) > 1)[:, 0]
        components = min(components, len(features), len(kept))
        space = cls(dim, len(kept), components)
        space.kept = kept.int()
        space.prepare()
        own = space.compact(features)
        occurring, transposed = own.transposed
        rank = min(components + EXTRA, len(features), len(kept))
        axes = torch.randn(len(kept), rank, generator=generator)
        for _ in range(PASSES):
            left = torch.linalg.qr(project(own, axes)).Q.contiguous()
            axes = torch.zeros(len(kept), left.shape[1])
            axes[occurring] = project(transposed, left)
            axes = torch.linalg.qr(axes).Q.contiguous()
        # Turned so that the first are those in which queries differ most.
        turned = torch.linalg.svd(project(own, axes), full_matrices=False).Vh
        space.axes = (axes @ turned.T)[:, :components].half()
        return space.prepare()

    def prepare(self) -> Space:
        """Make ready what is derived from the buffers.

        Raises:
            ValueError: They do not fit each other.
        """
        self._axes = self.axes.float().contiguous()
        if self.sparse:
            kept = self.kept.long()
            if len(kept) and (kept.min() < 0 or kept.max() >= self.dim):
                raise ValueError("the features that count are out of range")
            self._numbers = torch.full((self.dim,), -1)
            self._numbers[kept] = torch.arange(len(kept))
        return self

    def compact(self, features: Features) -> Features:
        """Keep the features that count, by their new numbers.

        Raises:
            ValueError: The features are of another kind or width.
        """
        if features.indices is None or features.offsets is None:
            if self.sparse or features.values.shape[1] != self.dim:
                raise ValueError(f"features are of shape {tuple(features.values.shape)}, not {self.dim} wide")
            return features
        if not self.sparse:
            raise ValueError("features are sparse, not dense")
        return features.renumbered(self._numbers[features.indices])

    def place(self, compacted: Features) -> Tensor:
        """Return where queries are in the small space, as unit vectors, (n, components)."""
        near = project(compacted, self._axes) if self.sparse else compacted.values - self._axes
        return functional.normalize(near, dim=1)
