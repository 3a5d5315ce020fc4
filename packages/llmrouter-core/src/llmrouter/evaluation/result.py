"""What an evaluation found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llmrouter.evaluation.baselines import Baseline
from llmrouter.evaluation.bootstrap import Interval
from llmrouter.evaluation.outcomes import Array, Outcomes
from llmrouter.evaluation.routed import Routed


@dataclass(frozen=True)
class Curve:
    """The cost-quality curve of a router, p points of its sweep.

    Attributes:
        cost: Mean cost, (p,); NaN where unknown.
        share: Share of queries sent to the strong LLM, (p,), or None where there is no pair.
        quality: Mean quality, (p,).
        low: Lower end of its 95 % interval, (p,).
        high: Upper end.
    """

    cost: Array
    share: Array | None
    quality: Array
    low: Array
    high: Array


@dataclass(frozen=True)
class RouterResult:
    """What is known of one router.

    Attributes:
        routed: What it told of each query.
        metrics: Name of each metric to its figure; undefined ones are empty.
        share: LLM to the share of queries decided for it.
        curve: Its cost-quality curve, or None for a router that tells no scores.
        notes: Why something is undefined or was done otherwise.
    """

    routed: Routed
    metrics: Mapping[str, Interval]
    share: Mapping[str, float]
    curve: Curve | None
    notes: Sequence[str]


@dataclass(frozen=True)
class Evaluation:
    """Results of several routers on the same outcomes.

    Attributes:
        outcomes: Of the data.
        weak: The weak LLM, or None where there is no pair.
        strong: The strong one.
        routers: In the order given.
        baselines: Those of `baselines`.
        singles: Each LLM alone.
        seed: Of the permutation that breaks ties, and of the bootstrap.
        resamples: Bootstrap resamples.
    """

    outcomes: Outcomes
    weak: str | None
    strong: str | None
    routers: Sequence[RouterResult]
    baselines: Sequence[Baseline]
    singles: Sequence[Baseline]
    seed: int
    resamples: int
