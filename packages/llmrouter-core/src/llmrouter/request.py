"""A chat request, as routers are asked it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmrouter.completion.bounds import LIMITS
from llmrouter.completion.messages import Mode, query_of
from llmrouter.constraints import KEY

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
