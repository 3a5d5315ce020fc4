"""A request and the answer to it as text for a judge, who must not take orders from either."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from llmrouter.completion.messages import text_of

# What the prompt's structure, and the judge's answer, is made of.
_TAGS = re.compile(r"<(\s*/?\s*(?:content|rubric|score|rationale)\b)", re.IGNORECASE)


def conversation_text(request: Mapping[str, Any], response: Mapping[str, Any]) -> str:
    """Return all messages, each after its role, the answer last."""
    messages = [*(request.get("messages") or ()), {"role": "assistant", **response}]
    return "\n\n".join(f"{message.get('role', 'user')}: {message_text(message)}" for message in messages)


def request_text(request: Mapping[str, Any]) -> str:
    """Return the texts of a request's messages, joined by newlines."""
    return "\n".join(message_text(message) for message in request.get("messages") or ())


def message_text(message: Mapping[str, Any]) -> str:
    """Return the text of a message; tool calls stand as JSON below it."""
    text = text_of(message)
    if calls := message.get("tool_calls"):
        import json

        text = "\n".join(filter(None, [text, json.dumps(calls, ensure_ascii=False)]))
    return text


def neutralise(text: str) -> str:
    """Return a text in which the tags that structure a judge's prompt and answer are none."""
    return _TAGS.sub(r"&lt;\1", text)
