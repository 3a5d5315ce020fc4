"""What a request may cost at most, or how good its answer is to be at least."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from llmrouter_lifecycle.errors import InvalidParameterError, ResourceNotFoundError
from llmrouter_lifecycle.names import is_number, refuse_unknown, shown

PARAM = "routing_constraint"
KINDS = ("cost_constraint", "quality_constraint")
VALUES = ("numeric_value", "model_name")


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
        """Return it as a request bears it."""
        found = {}
        for kind, constraint in (
            ("cost_constraint", self.cost_constraint),
            ("quality_constraint", self.quality_constraint),
        ):
            if constraint is not None:
                value = constraint.value.__dict__
                found[kind] = {key: value[key] for key in VALUES if value[key] is not None}
        return found


def cost_at_most(value: float | str) -> RoutingConstraint:
    """Return the constraint that an answer costs at most so many USD, or no more than that LLM's."""
    return RoutingConstraint(cost_constraint=CostConstraint(_value(value)))


def quality_at_least(value: float | str) -> RoutingConstraint:
    """Return the constraint that an answer is at least so good, from 0 to 1, or as good as that LLM's."""
    return RoutingConstraint(quality_constraint=QualityConstraint(_value(value)))


def constraint_dict(told: Any) -> dict[str, Any] | None:
    """Return a constraint as a request bears it; it may be of these classes, like them, or a dict."""
    if told is None or isinstance(told, Mapping):
        return None if told is None else dict(told)
    if hasattr(told, "to_dict"):
        found: dict[str, Any] = told.to_dict()
        return found
    raise InvalidParameterError(f"{PARAM}: expected a RoutingConstraint, found {shown(told)}", param=PARAM)


def check_constraint(told: Any, llms: Collection[str]) -> dict[str, Any] | None:
    """Return a constraint that can be applied, or None where there is none.

    Args:
        told: As a request bears it.
        llms: Those that a model name may stand for.

    Raises:
        InvalidParameterError: It is malformed, or asks for both; the message names the key.
        ResourceNotFoundError: It names an LLM that the router does not go to.
    """
    if told is None:
        return None
    if isinstance(told, Mapping):
        refuse_unknown(told, KINDS, PARAM)
    kinds = [kind for kind in KINDS if isinstance(told, Mapping) and told.get(kind) is not None]
    if not isinstance(told, Mapping) or not kinds:
        raise _wrong(PARAM, f"an object with {' or '.join(KINDS)}", told)
    if len(kinds) > 1:
        raise InvalidParameterError(
            f"{PARAM}: {' and '.join(KINDS)} exclude each other; give one", param=PARAM
        )
    param, value = f"{PARAM}.{kinds[0]}", told[kinds[0]]
    if isinstance(value, Mapping):
        refuse_unknown(value, VALUES, param)
    given = [key for key in VALUES if isinstance(value, Mapping) and value.get(key) is not None]
    if not isinstance(value, Mapping) or len(given) != 1:
        raise _wrong(param, f"an object with {' or '.join(VALUES)}", value)
    found = value[given[0]]
    if given[0] == "model_name":
        if not isinstance(found, str):
            raise _wrong(f"{param}.model_name", "the name of an LLM", found)
        if found not in llms:
            raise ResourceNotFoundError(
                f"{param}.model_name: the router does not go to {shown(found)}, but to {', '.join(llms)}",
                param=f"{param}.model_name",
            )
    elif kinds[0] == "quality_constraint" and not is_number(found, 1):
        raise _wrong(f"{param}.numeric_value", "a number from 0 to 1", found)
    elif not is_number(found):
        raise _wrong(f"{param}.numeric_value", "a number from 0", found)
    return {kinds[0]: {given[0]: found}}


def _value(value: float | str) -> ConstraintValue:
    return ConstraintValue(model_name=value) if isinstance(value, str) else ConstraintValue(value)


def _wrong(param: str, expected: str, found: object) -> InvalidParameterError:
    return InvalidParameterError(f"{param}: expected {expected}, found {shown(found)}", param=param)
