"""From lengths of prompts and answers, or from costs that were observed, to expected costs in USD."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llmrouter.completion.prices import Price, price_of
from llmrouter.learning.outcomes import Array, Outcomes

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
        """Return whether the cost of each LLM is unknown, given its price."""
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
