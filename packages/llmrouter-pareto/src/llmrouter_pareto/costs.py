"""From lengths of prompts and answers, or from costs that were observed, to expected costs in USD."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llmrouter.completion.prices import Price, price_of
from llmrouter.config import config_error
from llmrouter.constraints import COST, MODEL
from llmrouter.learning.outcomes import Array, Outcomes
from llmrouter_pareto.hyperparameters import Hyperparameters

TOKENS = "tokens"
USD = "usd"


@dataclass(frozen=True)
class Costs:
    """How the costs of m LLMs are predicted.

    Attributes:
        units: What is predicted for each: the `TOKENS` of its answers, which its price turns into a cost; or
            the `USD` that were observed; None where the data tell neither.
        ratios: Tokens of a prompt as each LLM counts them, for each estimated one.
    """

    units: tuple[str | None, ...]
    ratios: tuple[float, ...]

    @classmethod
    def fit(cls, outcomes: Outcomes) -> Costs:
        """Learn them from routing data."""
        answers, usd = (_columns(table) for table in (outcomes.answer, outcomes.usd))
        known = ~np.isnan(outcomes.prompt)
        told = np.where(known, outcomes.prompt, 0.0)
        estimated = np.where(known, outcomes.estimated[:, None], 0.0)
        overall = (told.sum() + 1) / (estimated.sum() + 1)
        # The weight of one token: what is known of all LLMs counts where nothing is of this one.
        ratios = (told.sum(axis=0) + overall) / (estimated.sum(axis=0) + 1)
        units = tuple(
            TOKENS if tokens else USD if paid else None for tokens, paid in zip(answers, usd, strict=True)
        )
        return cls(units, tuple(ratios.tolist()))

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Costs:
        """Read again what `to_json` gave.

        Raises:
            KeyError, TypeError, ValueError: It is something else.
        """
        units = tuple(told["units"])
        if any(unit not in (TOKENS, USD, None) for unit in units):
            raise ValueError(f"costs are in {units!r}")
        ratios = tuple(float(ratio) for ratio in told["ratios"])
        if not all(0 <= ratio < float("inf") for ratio in ratios) or len(ratios) != len(units):
            raise ValueError("ratios of prompt tokens are out of range")
        return cls(units, ratios)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return {"units": list(self.units), "ratios": list(self.ratios)}

    def outlay(self, outcomes: Outcomes) -> Array:
        """Return what is predicted, in each LLM's unit, as the outcomes tell it, (n, m)."""
        return np.stack(
            [
                outcomes.answer[:, number]
                if unit == TOKENS
                else outcomes.usd[:, number]
                if unit == USD
                else np.full(len(outcomes), np.nan)
                for number, unit in enumerate(self.units)
            ],
            axis=1,
        )

    def expected(
        self, outlay: Array, estimated: Array, limits: Array, prices: Sequence[Price | None]
    ) -> Array:
        """Return expected costs in USD, (n, m); NaN where a price, or what it applies to, is unknown.

        Args:
            outlay: Predicted, in each LLM's unit, (n, m).
            estimated: Estimated tokens of the prompts, (n,).
            limits: Tokens that an answer may have at most, (n,); they bound no cost observed in USD.
            prices: Of each LLM, as they are now.
        """
        costs = np.full(outlay.shape, np.nan)
        for number, (unit, ratio, price) in enumerate(zip(self.units, self.ratios, prices, strict=True)):
            if unit == USD:
                costs[:, number] = outlay[:, number]
            elif unit == TOKENS and price is not None:
                answer = np.minimum(outlay[:, number], limits)
                costs[:, number] = (estimated * ratio * price.input + answer * price.output) / 1e6
        return costs

    def unknown(self, prices: Sequence[Price | None]) -> list[bool]:
        """Tell of which LLMs no cost can be expected, at the price of each."""
        return [
            unit is None or (unit == TOKENS and price is None)
            for unit, price in zip(self.units, prices, strict=True)
        ]

    def actual(self, outcomes: Outcomes, prices: Sequence[Price | None]) -> Array:
        """Return the costs that the outcomes tell, (n, m): by tokens and price, else as observed."""
        costs: Array = outcomes.usd.copy()
        for number, (unit, ratio, price) in enumerate(zip(self.units, self.ratios, prices, strict=True)):
            if unit != TOKENS:
                continue
            costs[:, number] = np.nan
            if price is not None:
                prompt = outcomes.prompt[:, number]
                prompt = np.where(np.isnan(prompt), outcomes.estimated * ratio, prompt)
                costs[:, number] = (prompt * price.input + outcomes.answer[:, number] * price.output) / 1e6
        return costs


def check_costs(
    settings: Hyperparameters,
    costs: Costs,
    llms: Sequence[str],
    candidates: Mapping[str, Mapping[str, Any]],
    source: object,
) -> None:
    """Check that a cost is known where the configuration goes by costs.

    Args:
        settings: What it asks for.
        costs: How the costs of the LLMs are predicted.
        llms: Their names.
        candidates: The LLMs that may be chosen, with their prices as they are now.
        source: Where the configuration was read, for errors.

    Raises:
        ConfigError: No candidate's cost is known, or not that of the LLM that sets the limit.
    """
    limit = settings.cost_constraint
    key = COST if limit is not None else "trade_off" if settings.trade_off else None
    named = limit.get(MODEL) if isinstance(limit, Mapping) else limit if isinstance(limit, str) else None
    unknown = dict(zip(llms, costs.unknown(prices_of(candidates, llms)), strict=True))
    needed = [unknown[name] for name in ([named] if named else candidates) if name in unknown]
    if key is not None and needed and all(needed):
        raise config_error(
            source,
            ["hparam", key],
            f"the cost of {named or 'every LLM'} is unknown; give input_price and output_price in llm_data "
            "and the tokens of answers in the routing data, or a cost in USD there",
        )


def prices_of(candidates: Mapping[str, Mapping[str, Any]], llms: Sequence[str]) -> list[Price | None]:
    """Return the price of each LLM; None where it is unknown."""
    return [price_of(candidates.get(name, {})) for name in llms]


def weights_of(candidates: Mapping[str, Mapping[str, Any]], llms: Sequence[str]) -> list[float]:
    """Return the relative ``cost`` of each LLM, which orders those of unknown price; else infinite."""
    told: list[Any] = [candidates.get(name, {}).get("cost") for name in llms]
    return [math.inf if weight is None else float(weight) for weight in told]


def _columns(table: Array) -> list[bool]:
    """Tell which columns hold a number at all."""
    return [bool(known.any()) for known in ~np.isnan(table.T)]
