"""A routing decision: what a router's answer means, in one shape for every face."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import Any

import msgspec

from llmrouter.constraints import ranked
from llmrouter.errors import RoutingError, text_of

# What a result may tell under these names; its other keys go to `extra`.
_FIELDS = ("scores", "confidence", "expected_cost", "constraint", "fallback", "fallback_reason")
_KNOWN = frozenset({"model_name", "predicted_llm", "query", "id", *_FIELDS})


class RoutingDecision(msgspec.Struct, frozen=True, kw_only=True):
    """Which LLM is to answer a query, and what is known about the choice; unknown is None.

    Attributes:
        model_name: The chosen candidate.
        predicted_llm: The same, by its older name.
        query: Text of the query.
        id: The query's id.
        scores: A number for each candidate, higher is better.
        confidence: How sure the router is, from 0 to 1.
        expected_cost: Expected cost of the answer in USD.
        constraint: The cost or quality constraint that was applied.
        fallback: Whether the choice is a fallback from another one.
        fallback_reason: Why.
        router: Name of the router.
        router_version: Version of the distribution that it comes from.
        latency_ms: Time to decide, in milliseconds; in a batch its share of the batch's time.
        extra: Whatever else the router tells.
    """

    model_name: str
    predicted_llm: str = ""
    query: str | None = None
    id: Any = None
    scores: dict[str, float] | None = None
    confidence: float | None = None
    expected_cost: float | None = None
    constraint: Any = None
    fallback: bool | None = None
    fallback_reason: str | None = None
    router: str | None = None
    router_version: str | None = None
    latency_ms: float | None = None
    extra: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "predicted_llm", self.model_name)

    @property
    def ranking(self) -> list[str]:
        """The LLMs that have a score, in the order in which they keep to the constraint best.

        The chosen one comes first. It is worked out when it is asked for.
        """
        return ranked(self)


def decision_from_result(
    result: Any,
    query: Mapping[str, Any],
    candidates: Container[str],
    *,
    router: str | None = None,
    router_version: str | None = None,
    latency_ms: float | None = None,
) -> RoutingDecision:
    """Turn what a router returned for a query into a decision.

    Raises:
        RoutingError: It is not a dict, names no LLM, two of them, or one outside the candidates.
    """
    if type(result) is not dict:
        if not isinstance(result, dict):
            raise RoutingError(f"the router returned {type(result).__name__}, not a dict")
        result = {**result}
    get = result.get
    name = get("model_name")
    predicted = get("predicted_llm")
    if name is None:
        name = predicted
    elif predicted is not None and predicted != name:
        raise RoutingError(
            f"the router named two LLMs, {_shown(name)} as model_name and {_shown(predicted)} as "
            "predicted_llm"
        )
    if not isinstance(name, str):
        if name is None:
            raise RoutingError(
                "the router named no LLM: neither 'model_name' nor 'predicted_llm' is in its result"
            )
        raise RoutingError(f"the router named {_shown(name)}, which is not the name of an LLM")
    if name not in candidates:
        raise RoutingError(f"the router named {_shown(name)}, which is not one of the candidates")
    extra = None
    if not _KNOWN.issuperset(result):
        extra = {key: value for key, value in result.items() if key not in _KNOWN}
    id, scores = get("id"), get("scores")
    if scores is not None and type(scores) is not dict and isinstance(scores, Mapping):
        scores = {**scores}
    return RoutingDecision(
        model_name=str.__str__(name),  # plain, where it is an item of a NumPy array
        query=query.get("query"),
        id=id if id is not None else query.get("id"),
        scores=scores,
        confidence=get("confidence"),
        expected_cost=get("expected_cost"),
        constraint=get("constraint"),
        fallback=get("fallback"),
        fallback_reason=get("fallback_reason"),
        router=router,
        router_version=router_version,
        latency_ms=latency_ms,
        extra=extra,
    )


def _shown(value: Any) -> str:
    return text_of(value, repr, 200) or type(value).__name__


def _plain(value: Any) -> Any:
    """Turn what routers put into their results, arrays and tensors above all, into what JSON holds."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no form in JSON")


encode: Callable[[Any], bytes] = msgspec.json.Encoder(enc_hook=_plain).encode
