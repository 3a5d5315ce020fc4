"""What routers see of a request, and how long its prompt and its answer may be."""

from __future__ import annotations

import math
from typing import Any

import pytest

from llmrouter.errors import LLMRouterError
from llmrouter.request import answer_limit, prompt_tokens, query_from

NAN = math.nan
MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is AI?"}]


def test_a_query_is_the_text_and_what_a_router_may_look_at() -> None:
    request: dict[str, Any] = {"model": "auto", "messages": MESSAGES, "temperature": 0, "max_tokens": None}
    assert query_from(request) == {"query": "What is AI?", "messages": MESSAGES}
    more = {"tools": [{}], "max_tokens": 9, "max_completion_tokens": 7, "routing_constraint": {"a": 1}}
    assert query_from({**request, **more}, "full_context") == {
        "query": "system: Be brief.\nuser: What is AI?",
        "messages": MESSAGES,
        "tools": [{}],
        "max_tokens": 7,
        "routing_constraint": {"a": 1},
    }


class TestPrompts:
    def test_messages_and_tools_count_in_place_of_the_text(self) -> None:
        long = [{"role": "user", "content": "word " * 100}]
        assert prompt_tokens({"query": "hi", "messages": long}) > 5 * prompt_tokens({"query": "hi"})
        assert prompt_tokens({"query": "hi", "messages": "none"}) == prompt_tokens({"query": "hi"})
        tools = [{"type": "function", "function": {"name": "look_up", "parameters": {}}}]
        assert prompt_tokens({"query": "hi", "tools": tools}) > prompt_tokens({"query": "hi"})

    def test_the_lower_limit_counts(self) -> None:
        assert answer_limit({}) == math.inf
        assert answer_limit({"max_tokens": 9, "max_completion_tokens": 7}) == 7
        for wrong in (-1, "9", True, NAN):
            with pytest.raises(LLMRouterError, match="'max_tokens': expected a number from 0"):
                answer_limit({"max_tokens": wrong})
