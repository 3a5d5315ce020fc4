"""What a request may cost at most, or how good its answer is to be at least."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from llmrouter.constraints import KEY, KINDS, MODEL, NUMBER, Constraint, ConstraintError
from llmrouter_lifecycle.errors import InvalidParameterError, ResourceNotFoundError
from llmrouter_lifecycle.names import shown


@dataclass(frozen=True)
class ConstraintValue:
    """A number, or an LLM whose own prediction for the request stands for it.

    Attributes:
        numeric_value: USD for a request, or quality from 0 to 1.
        model_name: The LLM.
    """

    numeric_value: float | None = None
    model_name: str | None = None


@dataclass(frozen=True)
class CostConstraint:
    """An answer may cost at most this, in USD."""

    value: ConstraintValue


@dataclass(frozen=True)
class QualityConstraint:
    """An answer is to be at least this good, from 0 to 1."""

    value: ConstraintValue


@dataclass(frozen=True)
class RoutingConstraint:
    """A limit of cost or of quality, not both."""

    cost_constraint: CostConstraint | None = None
    quality_constraint: QualityConstraint | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as a request has it."""
        found = {}
        for kind, constraint in zip(KINDS, (self.cost_constraint, self.quality_constraint), strict=True):
            if constraint is not None:
                value = constraint.value.__dict__
                found[kind] = {key: value[key] for key in (NUMBER, MODEL) if value[key] is not None}
        return found


def cost_at_most(value: float | str) -> RoutingConstraint:
    """Return the constraint that an answer costs at most so many USD, or no more than that LLM's."""
    return RoutingConstraint(cost_constraint=CostConstraint(_value(value)))


def quality_at_least(value: float | str) -> RoutingConstraint:
    """Return the constraint that an answer is at least so good, from 0 to 1, or as good as that LLM's."""
    return RoutingConstraint(quality_constraint=QualityConstraint(_value(value)))


def constraint_dict(told: Any) -> dict[str, Any] | None:
    """Return a constraint as a request has it; it may be of these classes, like them, or a dict."""
    if told is None or isinstance(told, Mapping):
        return None if told is None else dict(told)
    if hasattr(told, "to_dict"):
        found: dict[str, Any] = told.to_dict()
        return found
    raise InvalidParameterError(f"{KEY}: expected a RoutingConstraint, found {shown(told)}", param=KEY)


def check_constraint(told: Any, llms: Collection[str]) -> dict[str, Any] | None:
    """Return a constraint that can be applied, or None where there is none.

    Args:
        told: As a request has it.
        llms: Those that a model name may stand for.

    Raises:
        InvalidParameterError: It is malformed, or asks for both; the message names the key.
        ResourceNotFoundError: It names an LLM that the router does not go to.
    """
    try:
        found = Constraint.parse(told, llms)
    except ConstraintError as error:
        kind = InvalidParameterError if error.unknown_llm is None else ResourceNotFoundError
        raise kind(str(error), param=error.param) from None
    return None if found is None else found.to_json()


def _value(value: float | str) -> ConstraintValue:
    return ConstraintValue(model_name=value) if isinstance(value, str) else ConstraintValue(value)
