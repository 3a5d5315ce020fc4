"""Train a ``paretorouter`` without files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from llmrouter.learning import training
from llmrouter.models.base_trainer import Report
from llmrouter_pareto.router import ParetoRouter


def train(
    rows: Iterable[Mapping[str, Any]],
    candidates: Mapping[str, Mapping[str, Any]],
    hparam: Mapping[str, Any] | None = None,
    report: Report | None = None,
) -> bytes:
    """Train a router on routing data, and return its checkpoint, as `llmrouter.learning.training.train`."""
    return training.train(ParetoRouter, rows, candidates, hparam, report)
