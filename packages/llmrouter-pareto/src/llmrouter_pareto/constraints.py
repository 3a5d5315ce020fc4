"""Constraints on cost or quality, and the choice that keeps to them."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from llmrouter.errors import LLMRouterError
from llmrouter.spelling import unknown

COST = "cost_constraint"
QUALITY = "quality_constraint"
KINDS = (COST, QUALITY)
KEY = "routing_constraint"
NUMBER = "numeric_value"
MODEL = "model_name"


class ConstraintError(LLMRouterError):
    """A constraint cannot be understood.

    Attributes:
        param: Dotted path of the offending key, such as ``routing_constraint.cost_constraint``.
        unknown_llm: The LLM that it names and that is none of the candidates, or None.
    """

    def __init__(self, param: str, problem: str, unknown_llm: str | None = None) -> None:
        self.param = param
        self.unknown_llm = unknown_llm
        super().__init__(f"{param}: {problem}")


@dataclass(frozen=True)
class Constraint:
    """At most so much cost, or at least so much quality.

    Attributes:
        kind: `COST` or `QUALITY`.
        number: The limit: USD for this query, or a quality from 0 to 1; None where an LLM sets it.
        llm: The LLM whose own prediction for the same query is the limit, or None.
    """

    kind: str
    number: float | None = None
    llm: str | None = None

    @classmethod
    def parse(cls, told: Any, llms: Collection[str], param: str = KEY) -> Constraint | None:
        """Read what a query has under ``routing_constraint``; keys whose value is null count as left out.

        Args:
            told: ``{"cost_constraint": V}`` or ``{"quality_constraint": V}``, where V is ``{"numeric_value":
                number}`` or ``{"model_name": name}``. None or an empty mapping: no constraint.
            llms: Names that a constraint may give.
            param: Where it stands, for errors.

        Raises:
            ConstraintError: It is none of these.
        """
        if told is None:
            return None
        if not isinstance(told, Mapping):
            raise ConstraintError(param, f"expected an object with {COST!r} or {QUALITY!r}, found {told!r}")
        given = {key: value for key, value in told.items() if value is not None}
        if odd := [key for key in given if key not in KINDS]:
            raise ConstraintError(param, f"{odd[0]!r} {unknown(odd[0], KINDS)}")
        if len(given) > 1:
            raise ConstraintError(param, f"{COST!r} and {QUALITY!r} exclude each other; keep one")
        for kind, value in given.items():
            return cls._limit(kind, value, llms, f"{param}.{kind}")
        return None

    @classmethod
    def of(cls, kind: str, value: Any, llms: Collection[str], param: str) -> Constraint:
        """Read a limit as a configuration has it: a number, the name of an LLM, or as in a query.

        Raises:
            ConstraintError: It is none of these.
        """
        if isinstance(value, str):
            value = {MODEL: value}
        elif not isinstance(value, Mapping):
            value = {NUMBER: value}
        return cls._limit(kind, value, llms, param)

    @classmethod
    def _limit(cls, kind: str, value: Any, llms: Collection[str], param: str) -> Constraint:
        expected = f"expected {{{NUMBER!r}: number}} or {{{MODEL!r}: name}}"
        if not isinstance(value, Mapping):
            raise ConstraintError(param, f"{expected}, found {value!r}")
        given = {key: item for key, item in value.items() if item is not None}
        if len(given) != 1 or not given.keys() <= {NUMBER, MODEL}:
            raise ConstraintError(param, f"{expected}, found {dict(value)!r}")
        if MODEL in given:
            name = given[MODEL]
            if not isinstance(name, str):
                raise ConstraintError(f"{param}.{MODEL}", f"expected the name of an LLM, found {name!r}")
            if name not in llms:
                raise ConstraintError(
                    f"{param}.{MODEL}", f"no LLM is named {name!r}; there are {', '.join(llms)}", name
                )
            return cls(kind, llm=name)
        number = given[NUMBER]
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            raise ConstraintError(f"{param}.{NUMBER}", f"expected a number, found {number!r}")
        if kind == COST and number < 0:
            raise ConstraintError(f"{param}.{NUMBER}", f"a cost is at least 0, found {number!r}")
        if kind == QUALITY and not 0 <= number <= 1:
            raise ConstraintError(f"{param}.{NUMBER}", f"a quality is from 0 to 1, found {number!r}")
        return cls(kind, number=float(number))

    def to_json(self) -> dict[str, Any]:
        """Return it as a query has it."""
        return {self.kind: {NUMBER: self.number} if self.llm is None else {MODEL: self.llm}}


class Choice(NamedTuple):
    """A chosen LLM.

    Attributes:
        number: Which, counted as the predictions are.
        met: Whether it meets the constraint; None where there is none.
        limit: What the constraint came to; None where there is none, or it is an unknown cost.
        reason: Where the constraint is not met: why, and what was done instead.
    """

    number: int
    met: bool | None = None
    limit: float | None = None
    reason: str | None = None


def choose(
    llms: Sequence[str],
    quality: Sequence[float],
    cost: Sequence[float],
    allowed: Sequence[int],
    constraint: Constraint | None = None,
    trade_off: float = 0.0,
    weights: Sequence[float] | None = None,
) -> Choice:
    """Choose the LLM for one query, of predicted qualities and costs.

    Args:
        llms: Names of the m LLMs.
        quality: Expected quality of each.
        cost: Expected cost of each in USD; NaN where it is unknown, which meets no limit and no trade-off.
        allowed: Numbers of those that may be chosen, one at least.
        constraint: What is to be kept to; equality counts.
        trade_off: Without a constraint, the quality given up for each USD that is saved; 0: none.
        weights: What orders LLMs whose cost is unknown, from the cheapest.
    """
    known = [one for one in allowed if not math.isnan(cost[one])]

    def price(one: int) -> tuple[float, float]:
        return (
            math.inf if math.isnan(cost[one]) else cost[one],
            math.inf if weights is None else weights[one],
        )

    def best(one: int) -> tuple[float, float, float, str]:
        return -quality[one], *price(one), llms[one]

    def cheapest(one: int) -> tuple[float, float, float, str]:
        return *price(one), -quality[one], llms[one]

    if constraint is None:
        if not trade_off or not known:
            return Choice(min(allowed, key=best))
        return Choice(min(known, key=lambda one: (trade_off * cost[one] - quality[one], *cheapest(one))))
    limit = constraint.number
    if constraint.llm is not None:
        limit = (cost if constraint.kind == COST else quality)[llms.index(constraint.llm)]
    if constraint.kind == QUALITY:
        meeting = [one for one in allowed if limit is not None and quality[one] >= limit]
        if meeting:
            return Choice(min(meeting, key=cheapest), True, limit)
        return Choice(
            min(allowed, key=best),
            False,
            limit,
            f"no LLM reaches an expected quality of {limit:g}; took the highest expected quality",
        )
    if limit is None or math.isnan(limit):
        limit, why = None, f"the cost of {constraint.llm} is unknown"
    else:
        meeting = [one for one in known if cost[one] <= limit]
        if meeting:
            return Choice(min(meeting, key=best), True, limit)
        why = f"no LLM has an expected cost of at most {limit:g} USD"
    if known:
        return Choice(min(known, key=cheapest), False, limit, f"{why}; took the lowest expected cost")
    return Choice(
        min(allowed, key=best),
        False,
        limit,
        f"{why}, and no cost is known; took the highest expected quality",
    )
