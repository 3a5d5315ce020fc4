"""How a learned router chooses: by a constraint or a trade-off, of what it predicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from llmrouter.config import config_error
from llmrouter.constraints import COST, KEY, KINDS, MODEL, Constraint, ConstraintError, choose
from llmrouter.errors import LLMRouterError
from llmrouter.learning.costs import Costs, prices_of
from llmrouter.models.hyperparameters import number
from llmrouter.routing import ALLOWED

TRADE_OFF = "trade_off"
# At most one of them may be configured.
WAYS = (*KINDS, TRADE_OFF)


@dataclass(frozen=True)
class PolicySettings:
    """The hyperparameters by which an LLM is chosen; to change them takes no training.

    Attributes:
        cost_constraint: The best LLM of at most this expected cost in USD, or at most that of the LLM named.
        quality_constraint: The cheapest LLM of at least this expected quality, or that of the LLM named.
        trade_off: The LLM of the highest expected quality less ``trade_off`` times its expected cost: the
            quality, from 0 to 1, given up for each USD that a query costs less.
    """

    # Constraints are read once the LLMs are known.
    cost_constraint: float | str | dict[str, Any] | None = None
    quality_constraint: float | str | dict[str, Any] | None = None
    trade_off: Annotated[float | None, number(0)] = None

    def constraint(self, llms: Sequence[str], source: object) -> Constraint | None:
        """Return the constraint that is configured.

        Raises:
            ConfigError: It is malformed, or names an LLM that is none of these.
        """
        for kind in KINDS:
            value = getattr(self, kind)
            if value is not None:
                try:
                    return Constraint.of(kind, value, llms, kind)
                except ConstraintError as error:
                    problem = str(error).partition(": ")[2]
                    raise config_error(source, ["hparam", kind], problem) from error
        return None

    def check_costs(
        self, costs: Costs, llms: Sequence[str], candidates: Mapping[str, Mapping[str, Any]], source: object
    ) -> None:
        """Check that a cost is known where the configuration goes by costs.

        Args:
            costs: How the costs of the LLMs are predicted.
            llms: Their names.
            candidates: The LLMs that may be chosen, with their prices as they are now.
            source: Where the configuration was read, for errors.

        Raises:
            ConfigError: No candidate's cost is known, or not that of the LLM that sets the limit.
        """
        limit = self.cost_constraint
        key = COST if limit is not None else TRADE_OFF if self.trade_off else None
        named = limit.get(MODEL) if isinstance(limit, Mapping) else limit if isinstance(limit, str) else None
        unknown = dict(zip(llms, costs.unknown(prices_of(candidates, llms)), strict=True))
        needed = [unknown[name] for name in ([named] if named else candidates) if name in unknown]
        if key is not None and needed and all(needed):
            raise config_error(
                source,
                ["hparam", key],
                f"the cost of {named or 'every LLM'} is unknown; give input_price and output_price in "
                "llm_data and the tokens of answers in the routing data, or a cost in USD there",
            )


class Policy:
    """Chooses among LLMs, a query's own constraint before that of the configuration.

    Args:
        settings: What is configured.
        llms: Names of the m LLMs that may be chosen.
        weights: The relative cost of each, which orders those of unknown cost.
        source: The configuration, for errors.

    Raises:
        ConfigError: The constraint of the configuration names an LLM that is none of these.
    """

    def __init__(
        self, settings: PolicySettings, llms: Sequence[str], weights: Sequence[float], source: object
    ) -> None:
        self._llms = list(llms)
        self._weights = weights
        self._constraint = settings.constraint(llms, source)
        self._trade_off = settings.trade_off or 0.0

    def wanted(self, query: Mapping[str, Any]) -> tuple[Constraint | None, Sequence[int]]:
        """Return a query's constraint, and the numbers of the LLMs that it may go to.

        Raises:
            LLMRouterError: Either cannot be understood.
        """
        constraint = Constraint.parse(query.get(KEY), self._llms) or self._constraint
        allowed = query.get(ALLOWED)
        if allowed is None:
            return constraint, range(len(self._llms))
        names = set(allowed) if isinstance(allowed, list | tuple | set | frozenset) else set()
        numbers = [number for number, name in enumerate(self._llms) if name in names]
        if not numbers:
            raise LLMRouterError(
                f"{ALLOWED!r} names no candidate; expected a list, of {', '.join(self._llms)}"
            )
        return constraint, numbers

    def result(
        self,
        constraint: Constraint | None,
        allowed: Sequence[int],
        quality: Sequence[float],
        cost: Sequence[float],
    ) -> dict[str, Any]:
        """Choose for one query, of expected qualities and costs, m each; returns a router's result."""
        trade_off = 0.0 if constraint else self._trade_off
        choice = choose(self._llms, quality, cost, allowed, constraint, trade_off, self._weights)
        costs = [None if value != value else value for value in cost]  # NaN alone differs from itself
        result: dict[str, Any] = {
            "model_name": self._llms[choice.number],
            "scores": dict(zip(self._llms, quality, strict=True)),
            "confidence": quality[choice.number],
            "expected_cost": costs[choice.number],
            "expected_costs": dict(zip(self._llms, costs, strict=True)),
        }
        if trade_off:
            result[TRADE_OFF] = trade_off
        return result | choice.told(constraint)
