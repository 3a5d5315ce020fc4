"""Limits of cost and quality: how they are read, which LLM keeps to them best, and which one comes next."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from llmrouter.errors import LLMRouterError
from llmrouter.spelling import unknown

if TYPE_CHECKING:
    from llmrouter.decision import RoutingDecision

KEY = "routing_constraint"
COST = "cost_constraint"
QUALITY = "quality_constraint"
KINDS = (COST, QUALITY)
NUMBER = "numeric_value"
MODEL = "model_name"

# Orders LLMs, the best first.
Order = Callable[[int], tuple[Any, ...]]


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
    def parse(cls, told: Any, llms: Collection[str] | None = None, param: str = KEY) -> Constraint | None:
        """Read what a request has under ``routing_constraint``; None stands for no constraint.

        Args:
            told: ``{"cost_constraint": V}`` or ``{"quality_constraint": V}``, where V is ``{"numeric_value":
                number}`` or ``{"model_name": name}``. Keys whose value is null count as left out.
            llms: Names that a constraint may give; None: any.
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
        raise ConstraintError(param, f"expected an object with {COST!r} or {QUALITY!r}, found none of them")

    @classmethod
    def of(cls, kind: str, value: Any, llms: Collection[str] | None, param: str) -> Constraint:
        """Read a limit as a configuration has it: a number, the name of an LLM, or as in a request.

        Raises:
            ConstraintError: It is none of these.
        """
        if isinstance(value, str):
            value = {MODEL: value}
        elif not isinstance(value, Mapping):
            value = {NUMBER: value}
        return cls._limit(kind, value, llms, param)

    @classmethod
    def _limit(cls, kind: str, value: Any, llms: Collection[str] | None, param: str) -> Constraint:
        expected = f"expected {{{NUMBER!r}: number}} or {{{MODEL!r}: name}}"
        if not isinstance(value, Mapping):
            raise ConstraintError(param, f"{expected}, found {value!r}")
        given = {key: item for key, item in value.items() if item is not None}
        if odd := [key for key in given if key not in (NUMBER, MODEL)]:
            raise ConstraintError(param, f"{odd[0]!r} {unknown(odd[0], (NUMBER, MODEL))}")
        if len(given) != 1:
            raise ConstraintError(param, f"{expected}, found {dict(value)!r}")
        if MODEL in given:
            name = given[MODEL]
            if not isinstance(name, str):
                raise ConstraintError(f"{param}.{MODEL}", f"expected the name of an LLM, found {name!r}")
            if llms is not None and name not in llms:
                raise ConstraintError(
                    f"{param}.{MODEL}", f"no LLM is named {name!r}; there are {', '.join(llms)}", name
                )
            return cls(kind, llm=name)
        number = given[NUMBER]
        if type(number) not in (int, float) or not abs(number) <= _LARGEST:
            raise ConstraintError(f"{param}.{NUMBER}", f"expected a number, found {number!r:.60}")
        if kind == COST and number < 0:
            raise ConstraintError(f"{param}.{NUMBER}", f"a cost is at least 0, found {number!r}")
        if kind == QUALITY and not 0 <= number <= 1:
            raise ConstraintError(f"{param}.{NUMBER}", f"a quality is from 0 to 1, found {number!r:.60}")
        return cls(kind, number=float(number))

    def to_json(self) -> dict[str, Any]:
        """Return it as a request has it."""
        return {self.kind: {NUMBER: self.number} if self.llm is None else {MODEL: self.llm}}


# A number of JSON may have more digits than a float holds.
_LARGEST = 1e300


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

    def told(self, constraint: Constraint | None) -> dict[str, Any]:
        """Return what a router's result says of a constraint; nothing where there is none."""
        if constraint is None:
            return {}
        told = {"constraint": {**constraint.to_json(), "limit": self.limit}, "constraint_met": self.met}
        if self.reason is None:
            return told
        return {**told, "fallback": True, "fallback_reason": self.reason}


def choose(
    llms: Sequence[str],
    quality: Sequence[float],
    cost: Sequence[float],
    allowed: Collection[int],
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
    if constraint is None:
        return Choice(min(allowed, key=_order(llms, quality, cost, None, None, trade_off, weights)))
    limit = constraint.number
    if constraint.llm is not None:
        limit = (cost if constraint.kind == COST else quality)[llms.index(constraint.llm)]
    if limit is not None and math.isnan(limit):
        limit = None
    order = _order(llms, quality, cost, constraint.kind, limit, 0.0, weights)
    number = min(allowed, key=order)
    if order(number)[0] == 0:
        return Choice(number, True, limit)
    done = "took the highest expected quality"
    if limit is None:
        why = f"the {constraint.kind.partition('_')[0]} of {constraint.llm} is unknown"
    elif constraint.kind == QUALITY:
        why = f"no LLM reaches an expected quality of {limit:g}"
    else:
        why = f"no LLM has an expected cost of at most {limit:g} USD"
    if constraint.kind == COST:
        if math.isnan(cost[number]):
            why += ", and no cost is known"
        else:
            done = "took the lowest expected cost"
    return Choice(number, False, limit, f"{why}; {done}")


def ranked(decision: RoutingDecision, names: Iterable[str] | None = None) -> list[str]:
    """Return LLMs in the order in which a decision prefers them, its constraint kept as far as it can be.

    The chosen LLM comes first, then those that keep to the constraint, then the others; without a constraint
    they follow by score, from the highest. Those without a score come last, in the order given.

    Args:
        decision: Of any router.
        names: The LLMs that may answer; by default those that have a score.
    """
    scores = decision.scores if isinstance(decision.scores, Mapping) else {}
    listed = [decision.model_name, *scores] if names is None else list(names)
    listed = list(dict.fromkeys(listed))
    extra = decision.extra if isinstance(decision.extra, Mapping) else {}
    costs = extra.get("expected_costs")
    costs = costs if isinstance(costs, Mapping) else {}
    told = decision.constraint if isinstance(decision.constraint, Mapping) else {}
    kind = next((kind for kind in KINDS if told.get(kind) is not None), None)
    limit = _number(told.get("limit")) if kind is not None else math.nan
    trade_off = _number(extra.get("trade_off"))
    quality = [_number(scores.get(name)) for name in listed]
    order = _order(
        listed,
        quality,
        [_number(costs.get(name)) for name in listed],
        kind,
        None if math.isnan(limit) else limit,
        0.0 if math.isnan(trade_off) else trade_off,
    )

    def place(number: int) -> tuple[Any, ...]:
        if math.isnan(quality[number]):
            return (listed[number] != decision.model_name, 1)
        return listed[number] != decision.model_name, 0, order(number)

    return [listed[number] for number in sorted(range(len(listed)), key=place)]


def _order(
    llms: Sequence[str],
    quality: Sequence[float],
    cost: Sequence[float],
    kind: str | None,
    limit: float | None,
    trade_off: float = 0.0,
    weights: Sequence[float] | None = None,
) -> Order:
    """Return what orders LLMs, counted as the predictions are; it begins with 0 for those that keep to it."""

    def price(one: int) -> tuple[float, float]:
        known = cost[one]
        return (
            math.inf if known != known else known,  # NaN alone differs from itself
            math.inf if weights is None else weights[one],
        )

    def best(one: int) -> tuple[Any, ...]:
        return -quality[one], *price(one), llms[one]

    def cheapest(one: int) -> tuple[Any, ...]:
        return *price(one), -quality[one], llms[one]

    def by_trade_off(one: int) -> tuple[Any, ...]:
        if math.isnan(cost[one]):
            return 1, *best(one)
        return 0, trade_off * cost[one] - quality[one], *cheapest(one)

    def by_cost(one: int) -> tuple[Any, ...]:
        known = cost[one]
        if math.isnan(known):
            return 2, *best(one)
        return (0, *best(one)) if limit is not None and known <= limit else (1, *cheapest(one))

    def by_quality(one: int) -> tuple[Any, ...]:
        return (0, *cheapest(one)) if limit is not None and quality[one] >= limit else (1, *best(one))

    if kind is None:
        return by_trade_off if trade_off else best
    return by_cost if kind == COST else by_quality


def _number(told: Any) -> float:
    """Return a number that a router told; NaN for what is none."""
    try:
        return float(told)
    except Exception:  # an object of the router's may raise anything
        return math.nan
