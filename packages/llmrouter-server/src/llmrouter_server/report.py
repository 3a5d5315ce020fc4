"""What an answer says of its decision: the field ``llmrouter``, and headers."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec

from llmrouter import decision as decisions
from llmrouter.decision import RoutingDecision


class Report(msgspec.Struct, kw_only=True):
    """The field ``llmrouter`` of an answer; unknown is null.

    It is the decision, without the query, which the client knows; and what came of it.

    Attributes:
        model_name: The candidate that answered.
        upstream_model: What the upstream calls the LLM that answered.
        cost: In USD.
        attempts: Upstreams called for it.
        request_id: Of the request.
        fallback: Whether the choice is a fallback from another one.
        fallback_reason: Why.
        scores: As in `RoutingDecision`.
        confidence: As in `RoutingDecision`.
        expected_cost: As in `RoutingDecision`.
        constraint: As in `RoutingDecision`.
        constraint_met: Whether the choice keeps to it; null where there is none.
        router: As in `RoutingDecision`; null where the client named the candidate.
        router_version: As in `RoutingDecision`.
        latency_ms: As in `RoutingDecision`.
        extra: As in `RoutingDecision`.
    """

    model_name: str
    upstream_model: Any = None
    cost: float | None = None
    attempts: int = 1
    request_id: str = ""
    fallback: bool | None = None
    fallback_reason: str | None = None
    scores: dict[str, float] | None = None
    confidence: float | None = None
    expected_cost: float | None = None
    constraint: Any = None
    constraint_met: bool | None = None
    router: str | None = None
    router_version: str | None = None
    latency_ms: float | None = None
    extra: dict[str, Any] | None = None

    def encode(self) -> msgspec.Raw:
        """Return it as JSON."""
        return msgspec.Raw(decisions.encode(self))


def report_of(decision: RoutingDecision | None, model: str, attempts: int, request_id: str) -> Report:
    """Return the report of an answer, without what only the answer tells.

    Args:
        decision: The router's; None where the client named the candidate.
        model: The candidate that answered.
        attempts: Upstreams called.
        request_id: Of the request.
    """
    if decision is None:
        return Report(model_name=model, attempts=attempts, request_id=request_id)
    return Report(
        model_name=model,
        attempts=attempts,
        request_id=request_id,
        fallback=decision.fallback,
        fallback_reason=decision.fallback_reason,
        scores=decision.scores,
        confidence=decision.confidence,
        expected_cost=decision.expected_cost,
        constraint=decision.constraint,
        constraint_met=None if decision.constraint is None else (decision.extra or {}).get("constraint_met"),
        router=decision.router,
        router_version=decision.router_version,
        latency_ms=decision.latency_ms,
        extra=decision.extra,
    )


def headers_of(report: Report) -> list[tuple[bytes, bytes]]:
    """Return the headers that tell the decision; the id of the request is in every answer's headers."""
    headers = [
        (b"x-llmrouter-model", _value(report.model_name)),
        (b"x-llmrouter-attempts", b"%d" % report.attempts),
    ]
    if report.router is not None:
        headers.append((b"x-llmrouter-router", _value(report.router)))
    if report.fallback:
        headers.append((b"x-llmrouter-fallback", b"true"))
    return headers


def _value(text: str) -> bytes:
    """Return a text as the value of a header; what may not stand there is escaped as in a URL."""
    if text.isascii() and text.isprintable():
        return text.encode()
    return quote(text, safe=" /:@").encode()
