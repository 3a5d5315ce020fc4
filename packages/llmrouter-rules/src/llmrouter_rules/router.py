"""Choose by the first rule that holds."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple

from llmrouter.config import config_error
from llmrouter.errors import ConfigError
from llmrouter.models.hyperparameters import above, read_hyperparameters
from llmrouter.models.router import Router
from llmrouter.spelling import unknown
from llmrouter_rules.conditions import Condition, ConditionError, TookTooLong, read_conditions
from llmrouter_rules.targets import Target, TargetError, read_target

logger = logging.getLogger(__name__)

# Seconds that a regular expression may take.
TIMEOUT = 0.1
_RULE = ("name", "when", "then")


class Rule(NamedTuple):
    """Where queries go for which a condition holds."""

    name: str
    holds: Condition
    target: Target


@dataclass(frozen=True)
class Hyperparameters:
    """What can be set.

    Attributes:
        rules: A list of ``{"name", "when", "then"}``; ``name`` may be left out. ``when`` holds conditions, of
            `llmrouter_rules.conditions.CONDITIONS`, that must all hold. ``then`` names a candidate, or a
            router as ``{"router", "config", "load_model_path"}``.
        otherwise: Where queries go for which no rule holds; as ``then``.
        regex_timeout: Seconds that a regular expression may take on a query; a rule that takes longer does
            not hold.
    """

    rules: list[Any] = field(default_factory=list)
    otherwise: Any = None
    regex_timeout: Annotated[float, above(0)] = TIMEOUT


class RulesRouter(Router):
    """Goes by ordered rules: the first that holds names the LLM, or another router to ask.

    A rule whose LLM may not take the query (``allowed_llms``) is passed over.
    """

    def __init__(self, yaml_path: str | os.PathLike[str] | Mapping[str, Any]) -> None:
        super().__init__(yaml_path)
        self._where = yaml_path
        self._read_rules()

    def __getstate__(self) -> dict[str, Any]:
        # Rules are functions, which do not go to other processes; they are read there again.
        return {name: value for name, value in vars(self).items() if name not in ("rules", "otherwise")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._read_rules()

    def _read_rules(self) -> None:
        # Other hyperparameters may be those of a router that is asked and shares the configuration.
        strict = not _shares(self.cfg["hparam"])
        settings = read_hyperparameters(Hyperparameters, self.cfg, self._where, strict=strict)
        timeout, told = float(settings.regex_timeout), settings.rules
        if not isinstance(told, list):
            raise self._error(["rules"], f"expected a list of rules, found {told!r}")
        self.rules = [self._rule(number, rule, timeout) for number, rule in enumerate(told)]
        otherwise = settings.otherwise
        if otherwise is None:
            raise self._error(["otherwise"], "is missing; name where queries go for which no rule holds")
        self.otherwise = self._target(["otherwise"], otherwise)

    def route_single(self, query_input: dict[str, Any]) -> dict[str, Any]:
        """Choose the LLM for one query."""
        slow: list[str] = []
        for rule in self.rules:
            try:
                if rule.target.takes(query_input) and rule.holds(query_input):
                    return self._told(rule.name, rule.target, query_input, slow)
            except TookTooLong as error:
                logger.warning("Rule %r does not hold: %s", rule.name, error)
                slow.append(rule.name)
        return self._told(None, self.otherwise, query_input, slow)

    def _told(
        self, rule: str | None, target: Target, query: dict[str, Any], slow: list[str]
    ) -> dict[str, Any]:
        told = {**target.decide(query), "rule": rule}
        return {**told, "rules_given_up": slow} if slow else told

    def _rule(self, number: int, told: Any, timeout: float) -> Rule:
        keys: list[str] = ["rules", str(number)]
        if isinstance(told, dict) and (odd := [key for key in told if key not in _RULE]):
            raise self._error([*keys, str(odd[0])], unknown(odd[0], _RULE))
        if not isinstance(told, dict) or not {"when", "then"} <= told.keys():
            raise self._error(keys, f"expected name, when and then, found {told!r}")
        name = told.get("name") or f"rule {number + 1}"
        if not isinstance(name, str):
            raise self._error([*keys, "name"], f"expected text, found {name!r}")
        try:
            holds = read_conditions(told["when"], timeout)
        except ConditionError as error:
            raise self._error([*keys, "when", *error.keys], error.problem) from None
        return Rule(name, holds, self._target([*keys, "then"], told["then"]))

    def _target(self, keys: list[str], told: Any) -> Target:
        try:
            return read_target(told, self._where, self.llm_data)
        except TargetError as error:
            raise self._error(keys, str(error)) from None

    def _error(self, keys: list[str], problem: str) -> ConfigError:
        return config_error(self._where, ["hparam", *keys], problem)


def _shares(told: Any) -> bool:
    """Return whether a target, anywhere in the rules, is a router without a configuration of its own."""
    if isinstance(told, dict):
        return (told.get("router") is not None and told.get("config") is None) or any(
            map(_shares, told.values())
        )
    return isinstance(told, list) and any(map(_shares, told))
