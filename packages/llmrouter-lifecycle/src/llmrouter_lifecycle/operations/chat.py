"""Put a request to an LLM, or to a router, which chooses one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from llmrouter.completion.messages import estimate_tokens, query_of
from llmrouter.decision import RoutingDecision
from llmrouter.errors import CompletionError, RoutingError
from llmrouter_lifecycle.constraints import PARAM, check_constraint
from llmrouter_lifecycle.errors import InvalidParameterError, LifecycleError, UpstreamError
from llmrouter_lifecycle.home import Caller, Home
from llmrouter_lifecycle.names import check_version
from llmrouter_lifecycle.store import accounts
from llmrouter_lifecycle.training.estimate import answer_tokens
from llmrouter_lifecycle.training.requests import check_request, parameters_of

_ROUTER = re.compile(r"organizations/([^/]+)/routers/([^/]+)(?:/versions/([^/]+))?")


@dataclass(frozen=True)
class Choice:
    """Which LLM a request goes to.

    Attributes:
        decision: Of the router; None where the request named the LLM.
        router: The full name and version of the router, or None.
    """

    llm: str
    decision: RoutingDecision | None = None
    router: tuple[str, int] | None = None


def choose(home: Home, caller: Caller, request: Mapping[str, Any]) -> Choice:
    """Return which LLM a request goes to, by its ``model`` and its ``routing_constraint``.

    Raises:
        ResourceNotFoundError: There is no such LLM, router or version.
        InvalidParameterError: The constraint is malformed, or stands without a router.
        LifecycleError: The router failed.
    """
    model = request.get("model")
    named = _ROUTER.fullmatch(model) if isinstance(model, str) else None
    if named is None:
        if request.get(PARAM) is not None:
            raise InvalidParameterError(f"{PARAM}: only a router can keep to it", param=PARAM)
        return Choice(home.models.resolve(model))
    org, id, version = named.groups()
    # Another organisation's router is not to be told from one that does not exist.
    found = home.routers.get(
        caller.org, id if org == caller.org else str(model), check_version(version, "model")
    )
    policy = home.policies.of(found)
    constraint = check_constraint(request.get(PARAM), policy.qualities)
    query: dict[str, Any] = {"query": query_of(request["messages"])}
    if constraint is not None:
        query[PARAM] = constraint
    try:
        decision = policy.decide(request, query)
    except RoutingError as error:
        raise LifecycleError(f"the router {id!r} failed: {error}") from error
    return Choice(decision.model_name, decision, (f"organizations/{caller.org}/routers/{id}", found.version))


def chat(home: Home, caller: Caller, query: Mapping[str, Any], body: Mapping[str, Any]) -> Any:
    """Answer a chat request."""
    request = check_request(body, "body")
    if request.get("stream"):
        raise InvalidParameterError("stream: this operation gives whole answers only", param="stream")
    choice = choose(home, caller, request)
    price = home.models.price(choice.llm)
    expected = price and price.cost(
        estimate_tokens(request["messages"], request.get("tools")), answer_tokens(request)
    )
    reservation = accounts.reserve(home.database, caller.account, expected, "chat")
    cost: float | None = 0.0
    try:
        completion, sent = home.models.client.chat(choice.llm, request["messages"], **parameters_of(request))
        cost = completion.cost
    except CompletionError as error:
        raise UpstreamError(str(error)) from error
    finally:
        accounts.settle(home.database, caller.account, reservation, cost)
    return {**sent, "model": choice.llm, "cost": cost, "llmrouter": _told(choice, completion.upstream_model)}


def _told(choice: Choice, upstream_model: str | None) -> dict[str, Any]:
    told: dict[str, Any] = {"upstream_model": upstream_model}
    if choice.decision is not None and choice.router is not None:
        decision = msgspec.to_builtins(choice.decision)
        told["router"], told["router_version"] = choice.router
        for key in ("scores", "expected_cost", "constraint", "fallback_reason"):
            told[key] = decision[key]
        told.update(decision["extra"] or {})
    return told
