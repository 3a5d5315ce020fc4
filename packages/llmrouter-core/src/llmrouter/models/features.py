"""Features of queries as torch tensors, dense or sparse, of which rows can be taken."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from llmrouter.encoders.base import Floats, SparseBatch


@dataclass(frozen=True)
class Features:
    """Features of n queries.

    Attributes:
        values: Dense: shape (n, dim). Sparse: the values that are not 0, row by row.
        indices: Sparse: which feature each value is; None where dense.
        offsets: Sparse: where each row begins, with the end of the last; shape (n + 1,). None where dense.
    """

    values: Tensor
    indices: Tensor | None = None
    offsets: Tensor | None = None

    @classmethod
    def of(cls, encoded: Floats | SparseBatch) -> Features:
        """Take over what an encoder gave."""
        if not isinstance(encoded, SparseBatch):
            return cls(torch.from_numpy(encoded))
        offsets = np.append(encoded.offsets, len(encoded.indices))
        return cls(
            torch.from_numpy(encoded.values), torch.from_numpy(encoded.indices), torch.from_numpy(offsets)
        )

    def __len__(self) -> int:
        return len(self.values) if self.offsets is None else len(self.offsets) - 1

    def take(self, rows: Tensor) -> Features:
        """Return some rows, in the order given."""
        if self.indices is None or self.offsets is None:
            return Features(self.values[rows])
        lengths = (self.offsets[1:] - self.offsets[:-1])[rows]
        offsets = torch.cat([torch.zeros(1, dtype=torch.long), lengths.cumsum(0)])
        # Where each value of the new rows stands in the old ones.
        shift = (self.offsets[:-1][rows] - offsets[:-1]).repeat_interleave(lengths)
        places = torch.arange(int(offsets[-1])) + shift
        return Features(self.values[places], self.indices[places], offsets)

    def renumbered(self, numbers: Tensor) -> Features:
        """Return sparse features by other numbers, one for each value; negative ones are left out."""
        if self.offsets is None:
            raise TypeError("only sparse features have numbers")
        there = numbers >= 0
        before = functional.pad(there.cumsum(0), (1, 0))
        return Features(self.values[there], numbers[there], before[self.offsets])

    def double(self) -> Features:
        """Return them with 64 bits each."""
        return replace(self, values=self.values.double())

    @cached_property
    def transposed(self) -> tuple[Tensor, Features]:
        """Of sparse features those that occur, and for each the rows that have it, with its values."""
        if self.indices is None or self.offsets is None:
            raise TypeError("only sparse features are transposed this way")
        indices, order = self.indices.sort(stable=True)
        occurring, counts = torch.unique_consecutive(indices, return_counts=True)
        rows = torch.arange(len(self), device=order.device).repeat_interleave(self.offsets.diff())
        offsets = functional.pad(counts.cumsum(0), (1, 0))
        return occurring, Features(self.values[order], rows[order], offsets)

    @cached_property
    def matrix(self) -> Tensor:
        """Sparse features as a CSR tensor of shape (n, highest index + 1)."""
        if self.indices is None or self.offsets is None:
            raise TypeError("only sparse features are a sparse matrix")
        low, high = (int(end) for end in self.indices.aminmax()) if len(self.indices) else (0, -1)
        if low < 0:
            raise IndexError(f"a feature has the index {low}")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
            # torch would also check that the indices of a row are sorted and differ: no matter for products.
            return torch.sparse_csr_tensor(
                self.offsets, self.indices, self.values, (len(self), high + 1), check_invariants=False
            )

    def to(self, device: str | torch.device) -> Features:
        """Return them on a device."""
        if self.values.device == torch.device(device):
            return self
        if self.indices is None or self.offsets is None:
            return Features(self.values.to(device))
        return Features(self.values.to(device), self.indices.to(device), self.offsets.to(device))


def project(features: Features, weight: Tensor) -> Tensor:
    """Multiply features by weights of shape (dim, width); returns (n, width), and gradients flow back."""
    if features.indices is None:
        return features.values @ weight
    if not torch.is_grad_enabled():
        return _summed(features, weight)
    projected: Tensor = _SparseProjection.apply(weight, features)  # type: ignore[no-untyped-call]
    return projected


class _SparseProjection(torch.autograd.Function):
    """Sparse features times weights, of which torch's own gradient takes sixty times as long as this one."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, features: Features) -> Tensor:
        ctx.features, ctx.rows = features, len(weight)
        return _summed(features, weight)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        occurring, transposed = ctx.features.transposed
        whole = gradient.new_zeros(ctx.rows, gradient.shape[1])
        whole[occurring] = _summed(transposed, gradient.contiguous())
        return whole, None


def _summed(features: Features, weight: Tensor) -> Tensor:
    """Return the sum of the weights' rows that each row of sparse features names, times its values."""
    if features.indices is None or features.offsets is None:
        raise TypeError("dense features are multiplied")
    if features.values.dtype == torch.float64:
        # For these, embedding_bag takes ten times as long as for 32 bits, and this does not.
        return features.matrix @ weight[: features.matrix.shape[1]]
    # What functional.embedding_bag calls in the end; for a single query its checks take longer than the work.
    summed, *_ = torch.embedding_bag(
        weight,
        features.indices,
        features.offsets,
        mode=0,  # add up
        per_sample_weights=features.values,
        include_last_offset=True,
    )
    return summed
