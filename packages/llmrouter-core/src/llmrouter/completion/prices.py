"""What an answer costs; an unknown price is unknown, never 0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

PER_MILLION = "usd_per_million_tokens"


class Price(NamedTuple):
    """Prices of an LLM in USD per million tokens.

    Attributes:
        input: Of the prompt's tokens.
        output: Of the answer's tokens.
        cached: Of those tokens of the prompt that the service has kept; None: as `input`.
    """

    input: float
    output: float
    cached: float | None = None

    def cost(self, prompt_tokens: float, completion_tokens: float, cached_tokens: float = 0) -> float:
        """Return the cost of one answer in USD.

        Args:
            prompt_tokens: Of the prompt.
            completion_tokens: Of the answer.
            cached_tokens: How many of the prompt's tokens the service had kept.
        """
        cached = self.input if self.cached is None else self.cached
        prompt = (prompt_tokens - cached_tokens) * self.input + cached_tokens * cached
        return (prompt + completion_tokens * self.output) / 1e6

    @property
    def highest_input(self) -> float:
        """What a token of the prompt costs at most, cached or not."""
        return self.input if self.cached is None else max(self.input, self.cached)


def price_of(candidate: Mapping[str, Any]) -> Price | None:
    """Return the price of a candidate, or None where it is unknown.

    ``cost`` is a relative weight and no price, unless ``cost_unit`` is ``usd_per_million_tokens``.
    """
    prompt, answer = candidate.get("input_price"), candidate.get("output_price")
    cached = candidate.get("cached_input_price")
    if prompt is not None and answer is not None:
        return Price(float(prompt), float(answer), None if cached is None else float(cached))
    if candidate.get("cost") is not None and candidate.get("cost_unit") == PER_MILLION:
        return Price(float(candidate["cost"]), float(candidate["cost"]))
    return None
