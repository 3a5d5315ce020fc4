"""Put a request to an LLM, or to a router, which chooses one."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from llmrouter.constraints import KEY
from llmrouter.decision import RoutingDecision
from llmrouter.errors import CompletionError, LLMRouterError, RoutingError
from llmrouter.request import query_from
from llmrouter.routing import ALLOWED
from llmrouter_lifecycle.constraints import check_constraint
from llmrouter_lifecycle.errors import InvalidParameterError, LifecycleError, UpstreamError
from llmrouter_lifecycle.home import Caller, Home
from llmrouter_lifecycle.names import check_version, full_name
from llmrouter_lifecycle.store import accounts
from llmrouter_lifecycle.training.requests import check_request, parameters_of

_ROUTER = re.compile(r"organizations/([^/]+)/routers/([^/]+)(?:/versions/([^/]+))?")
# What an answer tells of a decision.
_TOLD = (
    *("router", "router_version", "scores", "confidence", "expected_cost", "constraint"),
    *("fallback", "fallback_reason", "extra"),
)


@dataclass(frozen=True)
class Choice:
    """Which LLM a request goes to.

    Attributes:
        llm: Its name in the catalogue.
        decision: Of the router; None where the request named the LLM.
    """

    llm: str
    decision: RoutingDecision | None = None


def is_router(model: object) -> bool:
    """Whether a request's ``model`` names a router, which need not exist."""
    return isinstance(model, str) and _ROUTER.fullmatch(model) is not None


def choose(
    home: Home,
    caller: Caller,
    request: Mapping[str, Any],
    allowed: Callable[[Collection[str]], list[str]] | None = None,
) -> Choice:
    """Return which LLM a request goes to, by its ``model`` and its ``routing_constraint``.

    Args:
        home: Where the routers are.
        caller: Whoever asks.
        request: A chat request.
        allowed: Tells which of a router's LLMs may be chosen; by default all.

    Raises:
        ResourceNotFoundError: There is no such LLM, router or version.
        InvalidParameterError: The constraint is malformed, or stands without a router.
        LifecycleError: The router failed.
    """
    model = request.get("model")
    named = _ROUTER.fullmatch(model) if isinstance(model, str) else None
    if named is None:
        if request.get(KEY) is not None:
            raise InvalidParameterError(f"{KEY}: only a router can keep to it", param=KEY)
        return Choice(home.models.resolve(model))
    org, id, version = named.groups()
    # Another organisation's router is not to be told from one that does not exist.
    found = home.routers.get(
        caller.org, id if org == caller.org else str(model), check_version(version, "model")
    )
    policy = home.policies.of(found)
    query = query_from({**request, KEY: check_constraint(request.get(KEY), policy.qualities)})
    if allowed is not None:
        query[ALLOWED] = allowed(policy.qualities)
    try:
        decision = policy.decide(query)
    except RoutingError as error:
        raise LifecycleError(f"the router {id!r} failed: {error}") from error
    name = full_name(caller.org, "routers", id)
    decision = msgspec.structs.replace(decision, router=name, router_version=str(found.version))
    return Choice(decision.model_name, decision)


def chat(home: Home, caller: Caller, query: Mapping[str, Any], body: Mapping[str, Any]) -> Any:
    """Answer a chat request."""
    request = check_request(body, "body")
    if request.get("stream"):
        raise InvalidParameterError("stream: this operation gives whole answers only", param="stream")
    choice = choose(home, caller, request)
    parameters = parameters_of(request)
    bound = home.models.bound(choice.llm, parameters, request["messages"])
    wanted = None if bound is None else bound.wanted
    reservation = accounts.reserve(home.database, caller.account, wanted, sent=True)
    cost: float | None = None
    try:
        if reservation is not None and bound is not None:
            parameters = home.models.limited(choice.llm, parameters, bound, reservation.usd)
        completion, sent = home.models.client.chat(choice.llm, request["messages"], **parameters)
        cost = completion.cost
    except CompletionError as error:
        cost = None if error.sent else 0.0
        raise UpstreamError(str(error)) from error
    except LLMRouterError:
        cost = 0.0
        raise
    finally:
        accounts.settle(home.database, caller.account, reservation, cost)
    return {**sent, "model": choice.llm, "cost": cost, "llmrouter": _told(choice, completion.upstream_model)}


def _told(choice: Choice, upstream_model: str | None) -> dict[str, Any]:
    told: dict[str, Any] = {"model_name": choice.llm, "upstream_model": upstream_model}
    if choice.decision is not None:
        decision = msgspec.to_builtins(choice.decision)
        told |= {key: decision[key] for key in _TOLD}
        told["constraint_met"] = (choice.decision.extra or {}).get("constraint_met")
    return told
