"""Predict, from a query's features, how well each LLM does and how long its answer is or what it costs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, NamedTuple

import msgspec
import torch
from torch import Tensor, nn

from llmrouter.models.features import Features, project
from llmrouter_pareto.space import Space

# Neighbours that an LLM's chance by the linear model counts as, beside those of which its outcome is known.
CHANCE = 20
# Neighbours whose length of answers is as much evidence as an LLM's mean over all queries.
PRIOR = 1
# Queries that are compared with all that are remembered at a time; bounds the memory this takes.
AT_ONCE = 512

Count = Annotated[int, msgspec.Meta(ge=0)]


@dataclass(frozen=True)
class Shape:
    """What it takes to make a predictor like another one.

    Attributes:
        llms: Number of LLMs, m.
        dim: Number of features that the encoder gives.
        kept: How many of them count, f; None where features are dense, and all do.
        components: Dimensions of the space in which neighbours are looked for, d.
        memory: Queries that are remembered, r; 0: qualities and costs are the means.
        neighbors: Neighbours that a quality is averaged over.
        cost_neighbors: Neighbours that an answer's length or cost is averaged over.
        common_share: How far the mean over the LLMs goes by the neighbours, from 0 to 1; else by the linear
            model.
        own_share: The same for how an LLM differs from that mean.
    """

    llms: Count
    dim: Count
    kept: Count | None
    components: Count
    memory: Count
    neighbors: Count
    cost_neighbors: Count
    common_share: float = 0.5
    own_share: float = 0.5

    @classmethod
    def from_json(cls, told: Any) -> Shape:
        """Read again what `to_json` gave.

        Raises:
            ValueError: It is something else.
        """
        return msgspec.convert(told, cls)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return asdict(self)

    def with_shares(self, common_share: float, own_share: float) -> Shape:
        """Return one with other shares."""
        return replace(self, common_share=common_share, own_share=own_share)


class Raw(NamedTuple):
    """Predictions for n queries and m LLMs.

    Attributes:
        quality: Uncalibrated, from 0 to 1, (n, m).
        outlay: Tokens of the answer, or USD, as each LLM's unit is, (n, m); NaN where nothing is known.
    """

    quality: Tensor
    outlay: Tensor


class Model(nn.Module):
    """A linear model of all that queries say, and what happened with the queries nearest to this one.

    The linear model gives each LLM's chance to answer well. From it the quality is moved towards the mean
    over the k nearest training queries, in which the chance counts as `CHANCE` further ones, so that few
    known outcomes move it little. Lengths and costs of answers are means over the nearest queries, in which
    the LLM's mean over all counts as `PRIOR` further ones.

    Attributes:
        weights: Of the linear model, (f, m); bias: (m,).
        places: Of the remembered queries in the small space, (r, d), in half precision.
        quality: Their qualities, (r, m), NaN where unknown.
        outlay: Their tokens of answers or USD, (r, m), NaN where unknown.
        mean_outlay: Mean over all training queries, (m,), NaN where unknown.
    """

    weights: Tensor
    bias: Tensor
    places: Tensor
    quality: Tensor
    outlay: Tensor
    mean_outlay: Tensor
    _places: Tensor
    _quality: Tensor
    _outlay: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.space = Space(shape.dim, shape.kept, shape.components)
        width = shape.dim if shape.kept is None else shape.kept
        components = shape.dim if shape.kept is None else shape.components
        for name, size in {
            "weights": (width, shape.llms),
            "bias": (shape.llms,),
            "quality": (shape.memory, shape.llms),
            "outlay": (shape.memory, shape.llms),
            "mean_outlay": (shape.llms,),
        }.items():
            self.register_buffer(name, torch.zeros(size))
        self.register_buffer("places", torch.zeros(shape.memory, components, dtype=torch.half))

    def prepare(self) -> Model:
        """Make ready what is derived from the buffers, once they are filled.

        Raises:
            ValueError: They do not fit each other, or hold what is no number.
        """
        self.space.prepare()
        shares = (self.shape.common_share, self.shape.own_share)
        if not all(0 <= share <= 1 for share in shares):
            raise ValueError("the shares of the neighbours are out of range")
        for name in ("weights", "bias", "places"):
            if not torch.isfinite(getattr(self, name)).all():
                raise ValueError(f"{name} holds what is no number")
        self._places = self.places.float().T.contiguous()
        self._quality, self._outlay = _sums(self.quality), _sums(self.outlay)
        return self

    @torch.inference_mode()
    def forward(self, features: Features) -> Raw:
        """Predict for n queries."""
        if not self.shape.memory:
            count = len(features)
            return Raw(torch.sigmoid(self.bias).repeat(count, 1), self.mean_outlay.repeat(count, 1))
        own = self.space.compact(features)
        chances = torch.sigmoid(project(own, self.weights) + self.bias)
        near = self.nearest(self.space.place(own))
        return self.combine(chances, near)

    def nearest(self, places: Tensor) -> Tensor:
        """Return the numbers of the remembered queries nearest to others, the nearest first, (n, k)."""
        most = min(max(self.shape.neighbors, self.shape.cost_neighbors), self.shape.memory)
        found = [(part @ self._places).topk(most, dim=1).indices for part in torch.split(places, AT_ONCE)]
        return torch.cat(found) if found else torch.zeros(0, most, dtype=torch.long)

    def combine(self, chances: Tensor, near: Tensor) -> Raw:
        """Join the linear model's chances, (n, m), with what happened with the nearest queries, (n, k)."""
        local, outlay = self.local(chances, near)
        moved = local - chances
        common = moved.mean(1, keepdim=True)
        quality = chances + self.shape.common_share * common + self.shape.own_share * (moved - common)
        return Raw(quality.clamp(0, 1), outlay)

    def local(self, chances: Tensor, near: Tensor) -> Raw:
        """Return what the nearest queries tell, (n, m) each; arguments are those of `combine`."""
        total, count = _added(self._quality, near[:, : self.shape.neighbors])
        quality = (total + CHANCE * chances) / (count + CHANCE)
        total, count = _added(self._outlay, near[:, : self.shape.cost_neighbors])
        # Where an LLM's mean is unknown, so is every outlay.
        return Raw(quality, (total + PRIOR * self.mean_outlay) / (count + PRIOR))


def _sums(table: Tensor) -> Tensor:
    """Return what adds up to sums and counts, (r, 2m), of a table with NaN in it, (r, m)."""
    known = ~torch.isnan(table)
    return torch.cat([table.nan_to_num(0.0), known.float()], dim=1)


def _added(table: Tensor, near: Tensor) -> tuple[Tensor, ...]:
    return torch.nn.functional.embedding_bag(near.contiguous(), table, mode="sum").chunk(2, dim=1)
