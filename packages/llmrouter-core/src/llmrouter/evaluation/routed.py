"""Put the queries of routing data to a router, and arrange what it told."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmrouter.decision import RoutingDecision
from llmrouter.errors import DataError, RoutingError
from llmrouter.evaluation.outcomes import Array, Outcomes
from llmrouter.routing import Decided, DecisionEngine


@dataclass(frozen=True)
class Routed:
    """What a router told of n queries and m LLMs.

    Attributes:
        label: By which the router is shown; two of one name differ in it.
        name: Of the router.
        version: Of its distribution.
        answers: A decision or an error for each query, n of them.
    """

    label: str
    name: str | None
    version: str | None
    answers: list[Decided]

    @property
    def decided(self) -> NDArray[np.bool_]:
        """Which queries were decided, (n,)."""
        return np.array([isinstance(answer, RoutingDecision) for answer in self.answers])

    @property
    def failures(self) -> list[tuple[int, RoutingError]]:
        """Number of each query that could not be routed, and why."""
        return [
            (number, answer) for number, answer in enumerate(self.answers) if isinstance(answer, RoutingError)
        ]

    def chosen(self, llms: Sequence[str]) -> NDArray[np.intp]:
        """Return the numbers of the LLMs chosen for the decided queries."""
        number = {name: place for place, name in enumerate(llms)}
        return np.array([number[decision.model_name] for decision in self._decisions], np.intp)

    def scores(self, llms: Sequence[str]) -> Array | None:
        """Return the scores told for the decided queries, -inf where an LLM has none.

        None unless every decision tells a number for its own choice or another LLM.
        """
        table = _table((decision.scores for decision in self._decisions), llms)
        if table is None or np.isnan(table).all(axis=1).any():
            return None
        return np.where(np.isnan(table), -np.inf, table)

    def expected_costs(self, llms: Sequence[str]) -> Array | None:
        """Return ``extra["expected_costs"]`` of the decided queries; None unless all name every LLM."""
        told = [(decision.extra or {}).get("expected_costs") for decision in self._decisions]
        table = _table(told, llms)
        return None if table is None or np.isnan(table).any() else table

    @property
    def _decisions(self) -> list[RoutingDecision]:
        return [answer for answer in self.answers if isinstance(answer, RoutingDecision)]


def route(
    engine: DecisionEngine,
    outcomes: Outcomes,
    label: str,
    batch_size: int = 1024,
    advance: Callable[[int], None] = lambda count: None,
) -> Routed:
    """Route all queries of the outcomes, in order.

    Args:
        engine: The router.
        outcomes: Whose queries to route.
        label: By which the router is shown.
        batch_size: Queries routed at once.
        advance: Called with the number of queries after each batch.

    Raises:
        DataError: The router has candidates of which there are no outcomes.
    """
    if absent := [name for name in engine.router.llm_data if name not in outcomes.llms]:
        names = ", ".join(map(repr, absent))
        raise DataError(None, f"{label} has the candidates {names}, of which the data hold no outcomes")
    answers: list[Decided] = []
    for start in range(0, len(outcomes.queries), batch_size):
        batch = outcomes.queries[start : start + batch_size]
        answers += engine.decide_batch(batch)
        advance(len(batch))
    return Routed(label, engine.name, engine.version, answers)


def _table(told: Any, llms: Sequence[str]) -> Array | None:
    rows = []
    for values in told:
        if not isinstance(values, Mapping):
            return None
        rows.append([_number(values.get(name)) for name in llms])
    return np.array(rows) if rows else None


def _number(value: Any) -> float:
    """Turn what a router told, a tensor perhaps, into a number; NaN for what is none."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return math.nan
    return found if math.isfinite(found) else math.nan
