"""A chat request, as routers are asked it, and how long its prompt and its answer may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmrouter.completion.bounds import LIMITS
from llmrouter.completion.messages import Mode, estimate_tokens, query_of
from llmrouter.constraints import KEY
from llmrouter.errors import LLMRouterError

# What of a query is the user's conversation; observers of decisions get no more of it than the text.
CONVERSATION = ("messages", "tools")


def query_from(request: Mapping[str, Any], mode: Mode = "current_only") -> dict[str, Any]:
    """Return the query that a chat request asks a router.

    Args:
        request: As the chat protocol has it, with ``messages``.
        mode: Which text the router sees, as `llmrouter.completion.messages.query_of` says.

    Returns:
        ``query``, the text, and ``messages``. Where the request has them, also ``tools``, ``max_tokens`` (the
        lower of both its names) and ``routing_constraint``.
    """
    messages = request["messages"]
    query: dict[str, Any] = {"query": query_of(messages, mode), "messages": messages}
    for key in ("tools", KEY):
        if request.get(key) is not None:
            query[key] = request[key]
    if limits := [request[key] for key in LIMITS if request.get(key) is not None]:
        query["max_tokens"] = min(limits)
    return query


def prompt_tokens(query: Mapping[str, Any]) -> int:
    """Estimate the tokens of a query's prompt: of its ``messages`` and ``tools``, else of its text."""
    messages = query.get("messages")
    if not isinstance(messages, list | tuple) or not all(isinstance(one, Mapping) for one in messages):
        messages = [{"role": "user", "content": query["query"]}]
    return estimate_tokens(messages, query.get("tools"))


def answer_limit(query: Mapping[str, Any]) -> float:
    """Return the tokens that an answer may have at most; infinite where the query does not tell.

    Raises:
        LLMRouterError: What it tells is no number from 0.
    """
    limits = [(key, query[key]) for key in LIMITS if query.get(key) is not None]
    for key, limit in limits:
        if isinstance(limit, bool) or not isinstance(limit, int | float) or not limit >= 0:
            raise LLMRouterError(f"{key!r}: expected a number from 0, found {limit!r}")
    return min((float(limit) for _, limit in limits), default=float("inf"))
