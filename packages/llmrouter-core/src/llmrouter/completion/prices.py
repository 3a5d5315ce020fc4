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
    """

    input: float
    output: float

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Return the cost of one answer in USD."""
        return (prompt_tokens * self.input + completion_tokens * self.output) / 1e6


def price_of(candidate: Mapping[str, Any]) -> Price | None:
    """Return the price of a candidate, or None where it is unknown.

    ``cost`` is a relative weight and no price, unless ``cost_unit`` is ``usd_per_million_tokens``.
    """
    prompt, answer = candidate.get("input_price"), candidate.get("output_price")
    if prompt is not None and answer is not None:
        return Price(float(prompt), float(answer))
    if candidate.get("cost") is not None and candidate.get("cost_unit") == PER_MILLION:
        return Price(float(candidate["cost"]), float(candidate["cost"]))
    return None
