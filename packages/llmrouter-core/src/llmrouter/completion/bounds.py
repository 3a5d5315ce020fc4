"""What a call may cost at most, known before it is made: by that much a budget is lowered meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from llmrouter.completion.prices import Price, price_of
from llmrouter.completion.usage import MOST_TOKENS

if TYPE_CHECKING:
    from llmrouter.completion.catalogue import Endpoint

# Fields that limit an answer's tokens.
LIMITS = ("max_tokens", "max_completion_tokens")
# Fields that ask for several answers.
COUNTS = ("n", "best_of")
MOST_ANSWERS = 128
# Fields by which some servers take a limit too, and prefer it to those above.
OTHER_LIMITS = ("max_new_tokens", "max_output_tokens", "n_predict", "num_predict", "max_length")
# Tokens of an answer, where neither the request nor the candidate limits them.
ANSWER_TOKENS = 4096
# A budget that cannot pay for the default limit pays for half of what it has left, so that another request
# may run beside, but for no fewer tokens than these while it can pay them.
ENOUGH_TOKENS = 256
_TEXT_PARTS = ("text", "refusal", "input_text", "output_text")


class Terms(Protocol):
    """What of an LLM bounds a call of it; unknown is None. An `Endpoint` has it."""

    @property
    def price(self) -> Price | None:
        """In USD per million tokens."""

    @property
    def context_window(self) -> int | None:
        """Tokens of prompt and answer together."""

    @property
    def max_output_tokens(self) -> int | None:
        """Tokens of an answer."""


class KnownTerms(NamedTuple):
    """The terms of an LLM that cannot be called from here, as for want of its key."""

    price: Price | None
    context_window: int | None
    max_output_tokens: int | None


class Wanted(NamedTuple):
    """What a call wants to have set aside, in USD.

    Attributes:
        usd: For all that it may use.
        least: With less it cannot be made.
        enough: What it takes, if it must, even where that leaves nothing for others.
    """

    usd: float
    least: float
    enough: float

    def granted(self, left: float) -> float | None:
        """Return how much is set aside where so much is left; None where that is too little."""
        if left >= self.usd:
            # A budget that is used up pays for nothing, not even for what is free.
            return self.usd if left > 0 else None
        if not left >= self.least:
            return None
        return max(left / 2, min(left, self.enough))


@dataclass(frozen=True)
class Bound:
    """What a call may use at most.

    Attributes:
        prompt_usd: What its prompt may cost.
        token_usd: What one more token in each answer costs.
        limit: Tokens of each answer.
        given: Whether the request sets that limit; else it must be sent, and may be lowered.
    """

    prompt_usd: float
    token_usd: float
    limit: int
    given: bool

    @property
    def wanted(self) -> Wanted:
        """What is to be set aside."""
        usd = self._usd(self.limit)
        if self.given:
            return Wanted(usd, usd, usd)
        return Wanted(usd, self._usd(1), self._usd(min(self.limit, ENOUGH_TOKENS)))

    def limit_for(self, usd: float) -> int:
        """Return how many tokens each answer may have where so much was set aside."""
        if usd >= self._usd(self.limit) or not self.token_usd:
            return self.limit
        return max(1, min(self.limit, int((usd - self.prompt_usd) / self.token_usd)))

    def _usd(self, tokens: int) -> float:
        return self.prompt_usd + tokens * self.token_usd


def bound_of(
    terms: Terms,
    request: Mapping[str, Any],
    size: int,
    estimate: int,
    *,
    answer_tokens: int = ANSWER_TOKENS,
    prompts: int = 1,
    media: bool = False,
) -> Bound | None:
    """Return what a call may use at most; None where its price is unknown, or nothing bounds its prompt.

    Args:
        terms: Of the LLM that is called.
        request: Its fields, those of the candidate's ``parameters`` among them.
        size: Of the request in bytes, which the tokens of no text exceed.
        estimate: Of the prompt's tokens.
        answer_tokens: The limit of an answer where neither the request nor the candidate has one.
        prompts: How many it has.
        media: Whether it has more than text, whose tokens only the context window bounds.

    Raises:
        ValueError: A limit is no whole number of tokens; the message begins with the field.
    """
    price, window = terms.price, terms.context_window
    if price is None or (media and window is None):
        return None
    prompt = size if window is None else int(window) * prompts if media else min(size, int(window) * prompts)
    limits = [_whole(request, name, MOST_TOKENS) for name in (*LIMITS, *OTHER_LIMITS)]
    given = any(request.get(name) is not None for name in LIMITS)
    limit = max((limit for limit in limits if limit is not None), default=0)
    if not given:
        room = MOST_TOKENS if window is None else max(window - size, (window - estimate) // 2, 1)
        limit = max(limit, int(min(room, answer_tokens, terms.max_output_tokens or MOST_TOKENS)))
    if window is not None:
        limit = max(1, min(limit, int(window)))
    answers = prompts * max(_whole(request, name, MOST_ANSWERS) or 1 for name in COUNTS)
    return Bound(prompt * price.highest_input / 1e6, answers * price.output / 1e6, limit, given)


def terms_of(candidate: Mapping[str, Any]) -> KnownTerms:
    """Return the terms of a candidate, from what is known of it."""
    return KnownTerms(
        price_of(candidate), candidate.get("context_window"), candidate.get("max_output_tokens")
    )


def limit_parameter(endpoint: Endpoint) -> str:
    """Return the field by which a candidate's service takes the limit of an answer's tokens."""
    if endpoint.limit_parameter is not None:
        return endpoint.limit_parameter
    # OpenAI's newer LLMs refuse the older name, which most other services know alone.
    return LIMITS[1] if endpoint.service is not None and endpoint.service.name == "openai" else LIMITS[0]


def has_media(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Whether messages hold more than text, so that their bytes do not bound their tokens."""
    return any(message.get("audio") is not None or not _is_text(message) for message in messages)


def _is_text(message: Mapping[str, Any]) -> bool:
    content = message.get("content")
    parts: Iterable[Any] = content if isinstance(content, list) else ()
    return all(isinstance(part, Mapping) and part.get("type") in _TEXT_PARTS for part in parts)


def _whole(request: Mapping[str, Any], name: str, most: int) -> int | None:
    value = request.get(name)
    if value is None:
        return None
    # The bounds come first: a number outside them may be too large to be converted.
    if type(value) in (int, float) and 1 <= value <= most and value == int(value):
        return int(value)
    raise ValueError(f"{name}: expected a whole number from 1 to {most}")
