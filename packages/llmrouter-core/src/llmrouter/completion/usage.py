"""Tokens as a service counts them; what cannot be true is not believed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

Tokens = Annotated[int, msgspec.Meta(ge=0)]

# No call uses more tokens.
MOST_TOKENS = 1_000_000_000


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tokens of one call, or of several together.

    Attributes:
        prompt_tokens: Of the prompt.
        completion_tokens: Of the answer; what an LLM thinks before it answers is billed as part of it.
        cached_tokens: Those of the prompt's that the service had kept from an earlier call.
    """

    prompt_tokens: Tokens
    completion_tokens: Tokens
    cached_tokens: Tokens = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
        )


def read_usage(told: Any) -> Usage | None:
    """Return the tokens that an answer reports; None where it reports none.

    Some services count the tokens of reasoning in ``total_tokens`` alone. They are billed as part of the
    answer, so the answer has all of the total that the prompt has not.

    Args:
        told: The field ``usage``, decoded from JSON.

    Raises:
        ValueError: The numbers cannot be counts of tokens.
    """
    if told is None:
        return None
    if not isinstance(told, Mapping):
        raise ValueError(f"expected an object, found {type(told).__name__}")
    prompt, completion = _count(told, "prompt_tokens"), _count(told, "completion_tokens")
    if told.get("total_tokens") is not None:
        completion = max(completion, _count(told, "total_tokens") - prompt)
    details = told.get("prompt_tokens_details")
    cached = 0
    if isinstance(details, Mapping) and details.get("cached_tokens") is not None:
        cached = _count(details, "cached_tokens")
        if cached > prompt:
            raise ValueError(f"cached_tokens: {cached} are more than the prompt's {prompt}")
    return Usage(prompt, completion, cached)


def _count(told: Mapping[str, Any], key: str) -> int:
    value = told.get(key)
    # The bounds come first: a number outside them may be too large to be converted.
    if type(value) in (int, float) and 0 <= value <= MOST_TOKENS and value == int(value):  # type: ignore[operator,arg-type]
        return int(value)
    raise ValueError(f"{key}: expected a whole number from 0 to {MOST_TOKENS}")
