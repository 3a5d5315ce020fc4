"""The requests that a router is trained on: chat requests, each with or without the right answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmrouter_lifecycle.errors import InvalidParameterError

# Not for the LLM: what chooses it, how the answer comes, and which answer is right.
NOT_SENT = frozenset(
    {"id", "messages", "model", "n", "reference", "routing_constraint", "stream", "stream_options"}
)
LARGEST = 100_000


def check_requests(told: object) -> list[dict[str, Any]]:
    """Return requests to train on.

    Raises:
        InvalidParameterError: They are no list of chat requests, none, or too many.
    """
    if not isinstance(told, list | tuple) or not told:
        raise InvalidParameterError(
            f"requests: expected a list of at least one chat request, found {_shown(told)}", param="requests"
        )
    if len(told) > LARGEST:
        raise InvalidParameterError(
            f"requests: {len(told)} are more than {LARGEST}; train on a sample of them", param="requests"
        )
    return [check_request(item, f"requests.{index}") for index, item in enumerate(told)]


def check_request(told: object, param: str = "completion_request") -> dict[str, Any]:
    """Return a chat request.

    Raises:
        InvalidParameterError: It is none; the message names the key.
    """
    if not isinstance(told, Mapping):
        raise InvalidParameterError(
            f'{param}: expected {{"messages": [...]}}, found {_shown(told)}', param=param
        )
    messages = told.get("messages")
    if not isinstance(messages, list | tuple) or not messages:
        raise InvalidParameterError(
            f"{param}.messages: expected a list of at least one message, found {_shown(messages)}",
            param=f"{param}.messages",
        )
    for index, message in enumerate(messages):
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise InvalidParameterError(
                f'{param}.messages.{index}: expected {{"role": …, "content": …}}, found {_shown(message)}',
                param=f"{param}.messages.{index}",
            )
        content = message.get("content")
        if content is not None and not isinstance(content, str | list):
            raise InvalidParameterError(
                f"{param}.messages.{index}.content: expected text or parts, found {_shown(content)}",
                param=f"{param}.messages.{index}.content",
            )
    return {**told, "messages": [dict(message) for message in messages]}


def parameters_of(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a request that are sent beside its messages."""
    return {key: value for key, value in request.items() if key not in NOT_SENT}


def _shown(value: object) -> str:
    if isinstance(value, list | tuple | dict) and not value:
        return "none"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
