"""Which candidates can take a request: the others are left out before the router scores them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from llmrouter.completion.bounds import COUNTS, LIMITS, OTHER_LIMITS, Bound, bound_of, has_media
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
    def media(self) -> bool:
        """Whether it has more than text, or asks for a search, so that its size bounds nothing."""
        return has_media(self._asked.conversation) or self._asked.web_search_options is not None

    def bound(self, candidate: Candidate, given: Collection[str], answer_tokens: int) -> Bound:
        """Return what an answer may use at most.

        Args:
            candidate: Who answers; `problem` has none.
            given: Names of the fields that the client sets; the candidate's ``parameters`` set others.
            answer_tokens: The limit of an answer where neither the request nor the candidate has one.

        Raises:
            GatewayError: 400, a field may set another limit than the known ones.
        """
        asked, own = self._asked, candidate.endpoint.parameters
        for name in OTHER_LIMITS:
            if name in given:
                raise GatewayError(
                    400,
                    f"A key with a budget limits answers by {' or '.join(LIMITS)}, not by {name!r}.",
                    param=name,
                    code="unsupported_parameter",
                )
        told = {name: getattr(asked, name) if name in given else own.get(name) for name in (*LIMITS, *COUNTS)}
        try:
            bound = bound_of(
                candidate.endpoint,
                {**{name: own.get(name) for name in OTHER_LIMITS}, **told},
                self._size + candidate.parameters_size,
                self.prompt_tokens,
                answer_tokens=answer_tokens,
                prompts=asked.prompts,
                media=self.media,
            )
        except ValueError as error:
            raise RuntimeError(f"the parameters of {candidate.name!r}: {error}") from error
        if bound is None:
            raise RuntimeError(f"nothing bounds what {candidate.name!r} costs")  # as `problem` says
        return bound

    @cached_property
    def prompt_tokens(self) -> int:
        """An estimate of the prompt's tokens."""
        return estimate_tokens(self._asked.conversation, self._asked.tools)

    def problem(self, candidate: Candidate) -> str | None:
        """Return why a candidate cannot take the request; None where it can."""
        endpoint = candidate.endpoint
        allowed = self._asked.allowed
        if allowed is not None and candidate.name not in allowed:
            return "the request does not allow it"
        if endpoint.features is not None:
            for feature in self.features:
                if not endpoint.supports(feature):
                    return f"it takes no {feature}"
        if self.priced and endpoint.price is None:
            return "its price is unknown, and the key has a budget"
        if self.priced and endpoint.context_window is None and self.media:
            return (
                "its context_window is unknown, which alone bounds what media cost, and the key has a budget"
            )
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
