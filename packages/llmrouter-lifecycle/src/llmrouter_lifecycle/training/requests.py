"""The requests that a router is trained on: chat requests, each with or without the right answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmrouter_lifecycle.errors import InvalidParameterError
from llmrouter_lifecycle.names import is_number, shown

# Not for the LLM: what chooses it, how the answer comes, and which answer is right.
NOT_SENT = frozenset(
    {"id", "messages", "model", "n", "reference", "routing_constraint", "stream", "stream_options"}
)
LARGEST = 100_000
# Fields that bound what an answer costs, and the most that each may be.
_COUNTS = {"max_tokens": 2**53, "max_completion_tokens": 2**53, "n": 128, "best_of": 128}


def check_requests(told: object) -> list[dict[str, Any]]:
    """Return requests to train on.

    Raises:
        InvalidParameterError: They are no list of chat requests, none, or too many.
    """
    if not isinstance(told, list | tuple) or not told:
        raise InvalidParameterError(
            f"requests: expected a list of at least one chat request, found {shown(told)}", param="requests"
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
            f'{param}: expected {{"messages": [...]}}, found {shown(told)}', param=param
        )
    messages = told.get("messages")
    if not isinstance(messages, list | tuple) or not messages:
        raise InvalidParameterError(
            f"{param}.messages: expected a list of at least one message, found {shown(messages)}",
            param=f"{param}.messages",
        )
    for index, message in enumerate(messages):
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise InvalidParameterError(
                f'{param}.messages.{index}: expected {{"role": …, "content": …}}, found {shown(message)}',
                param=f"{param}.messages.{index}",
            )
        content = message.get("content")
        if content is not None and not isinstance(content, str | list):
            raise InvalidParameterError(
                f"{param}.messages.{index}.content: expected text or parts, found {shown(content)}",
                param=f"{param}.messages.{index}.content",
            )
    for field, most in _COUNTS.items():
        value = told.get(field)
        if value is not None and not (is_number(value, most) and value >= 1 and value == int(value)):
            raise InvalidParameterError(
                f"{param}.{field}: expected a whole number from 1 to {most}, found {shown(value)}",
                param=f"{param}.{field}",
            )
    return {**told, "messages": [dict(message) for message in messages]}


def parameters_of(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a request that are sent beside its messages."""
    return {key: value for key, value in request.items() if key not in NOT_SENT}
