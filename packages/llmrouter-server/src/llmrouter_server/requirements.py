"""Which candidates can take a request: the others are left out before the router scores them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from llmrouter.completion.messages import estimate_tokens, needs
from llmrouter_server.errors import GatewayError, retry_after

if TYPE_CHECKING:
    from llmrouter_server.candidates import Candidate
    from llmrouter_server.parsing import Asked


class Demand:
    """What a request demands of the LLM that answers it.

    Args:
        asked: The request.
        size: Of its body in bytes, which no count of tokens exceeds.
        priced: Whether the price must be known.
    """

    def __init__(self, asked: Asked, size: int, priced: bool) -> None:
        self._asked = asked
        self._size = size
        self.priced = priced

    @cached_property
    def features(self) -> frozenset[str]:
        """What it needs beside text; looked for only where a candidate says what it takes."""
        asked = self._asked
        return needs({"messages": asked.conversation, "tools": asked.tools, "functions": asked.functions})

    @cached_property
    def prompt_tokens(self) -> int:
        """An estimate of the prompt's tokens."""
        return estimate_tokens(self._asked.conversation, self._asked.tools)

    def problem(self, candidate: Candidate) -> str | None:
        """Return why a candidate cannot take the request; None where it can."""
        endpoint = candidate.endpoint
        if endpoint.features is not None:
            for feature in self.features:
                if not endpoint.supports(feature):
                    return f"it takes no {feature}"
        if self.priced and endpoint.price is None:
            return "its price is unknown, and the key has a budget"
        window = endpoint.context_window
        answer = self._asked.answer_tokens or 0
        if window is not None and self._size + answer > window and self.prompt_tokens + answer > window:
            wanted = f"about {self.prompt_tokens} tokens" + (
                f" and {answer:g} for the answer" if answer else ""
            )
            return f"its context window is {window} tokens, and the request has {wanted}"
        return None


def able(candidates: Mapping[str, Candidate], names: Iterable[str], demand: Demand, now: float) -> list[str]:
    """Return those candidates that can take a request, in order.

    Candidates that cool down after a fault are left out, unless no other can take it: then those are tried
    whose upstream did not say how long to wait.

    Args:
        candidates: All of them.
        names: Those to choose from.
        demand: What the request demands.
        now: The event loop's time.

    Raises:
        GatewayError: 400, none can, with the reason for each; 429 or 503, all who can asked to wait.
    """
    fitting, reasons = [], []
    for name in names:
        problem = demand.problem(candidates[name])
        if problem is None:
            fitting.append(name)
        else:
            reasons.append(f"{name}: {problem}")
    if not fitting:
        raise GatewayError(
            400, f"No candidate can take this request. {'; '.join(reasons)}.", code="no_suitable_candidate"
        )
    ready = [name for name in fitting if candidates[name].cooldown.until <= now]
    if ready:
        return ready
    ready = [name for name in fitting if not candidates[name].cooldown.asked]
    if ready:
        return ready
    soonest = min((candidates[name].cooldown for name in fitting), key=lambda cooldown: cooldown.until)
    seconds = soonest.until - now
    raise GatewayError(
        soonest.status,
        f"All candidates that can take this request asked to wait; try again in {seconds:.0f} s.",
        code="candidates_cooling_down",
        headers=retry_after(seconds),
    )


def cost_estimate(candidate: Candidate, demand: Demand, answer_tokens: float) -> float:
    """Return what an answer may cost in USD; 0 where the price is unknown."""
    price: Any = candidate.endpoint.price
    return float(price.cost(demand.prompt_tokens, answer_tokens)) if price is not None else 0.0
