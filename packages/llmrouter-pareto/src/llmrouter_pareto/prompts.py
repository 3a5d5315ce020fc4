"""How long a query's prompt is, and how long its answer may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmrouter.completion.messages import estimate_tokens
from llmrouter.errors import LLMRouterError

MAX_TOKENS = ("max_tokens", "max_completion_tokens")


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
    limits = [(key, query[key]) for key in MAX_TOKENS if query.get(key) is not None]
    for key, limit in limits:
        if isinstance(limit, bool) or not isinstance(limit, int | float) or not limit >= 0:
            raise LLMRouterError(f"{key!r}: expected a number from 0, found {limit!r}")
    return min((float(limit) for _, limit in limits), default=float("inf"))
