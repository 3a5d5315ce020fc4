"""What chat messages hold: the text to route by, and what an LLM must be able to take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

Mode = Literal["current_only", "full_context"]
MODES: tuple[Mode, ...] = ("current_only", "full_context")

# A rule of thumb for English and program text; other scripts take more bytes a character and a token.
BYTES_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 4


def query_of(messages: Sequence[Mapping[str, Any]], mode: Mode = "current_only") -> str:
    """Return the text that a router is to judge.

    Args:
        messages: A conversation as the chat protocol has it.
        mode: ``current_only``: the last message of the user; ``full_context``: all messages, each after its
            role.
    """
    if mode == "full_context":
        return "\n".join(f"{message.get('role', '')}: {text_of(message)}" for message in messages)
    for message in reversed(messages):
        if message.get("role") == "user":
            return text_of(message)
    return text_of(messages[-1]) if messages else ""


def text_of(message: Mapping[str, Any]) -> str:
    """Return the text of a message, its parts joined by newlines."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in _parts(message) if isinstance(part.get("text"), str))


def needs(request: Mapping[str, Any]) -> frozenset[str]:
    """Return what a chat request needs beside text, of ``images`` and ``tools``."""
    found = set()
    if request.get("tools") or request.get("functions"):
        found.add("tools")
    for message in request.get("messages") or ():
        if any(part.get("type") in ("image_url", "input_image", "image") for part in _parts(message)):
            found.add("images")
    return frozenset(found)


def estimate_tokens(messages: Sequence[Mapping[str, Any]], tools: Any = None) -> int:
    """Estimate the tokens of a prompt, from its length in bytes; images are not counted."""
    size = sum(len(text_of(message).encode(errors="replace")) for message in messages)
    if tools:
        size += len(str(tools))
    return size // BYTES_PER_TOKEN + TOKENS_PER_MESSAGE * len(messages)


def _parts(message: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    content = message.get("content")
    if isinstance(content, list):
        yield from (part for part in content if isinstance(part, Mapping))
