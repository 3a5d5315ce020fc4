"""Whatever goes wrong in a call becomes one error that says which LLM, where and what."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import msgspec
import openai

from llmrouter.completion.catalogue import Endpoint
from llmrouter.errors import CompletionError

# How the HTTP client below calls it that no connection came about.
_UNSENT = ("ConnectError", "ConnectTimeout")
# Characters of what a service says about an error.
LONGEST = 500


@contextlib.contextmanager
def call_of(endpoint: Endpoint, timeout: float) -> Iterator[None]:
    """Turn whatever a call raises into a `CompletionError` without keys in it.

    What it was made of is not kept as its cause, for that may quote a key, and a traceback would show it.

    Args:
        endpoint: What is called.
        timeout: Seconds that the call may take, for the message.
    """
    try:
        yield
    except Exception as error:  # the client's own errors, and those of the HTTP client below it
        problem = endpoint.keys.redact(_problem(error, timeout))
        told = "".join(letter if letter.isprintable() else " " for letter in problem)
        told = " ".join(told.split())
        if len(told) > LONGEST:
            told = f"{told[:LONGEST]}…"
        status = error.status_code if isinstance(error, openai.APIStatusError) else None
        raise CompletionError(
            endpoint.name,
            f"{endpoint.name} at {endpoint.url} {told}",
            status=status,
            sent=status is None and type(error.__cause__).__name__ not in _UNSENT,
        ) from None


def _problem(error: Exception, timeout: float) -> str:
    if isinstance(error, openai.APIStatusError):
        return f"answered {error.status_code}: {_said(error)}"
    if isinstance(error, openai.APITimeoutError | asyncio.TimeoutError):
        return f"did not answer within {timeout:g} s, repetitions included"
    if isinstance(error, openai.APIConnectionError):
        return f"cannot be reached: {_named(error.__cause__ or error)}"
    if isinstance(error, openai.APIError):  # an event of a stream told it
        return f"broke off: {error.message}"
    if isinstance(error, ValueError | msgspec.MsgspecError):
        return f"did not answer as the chat protocol has it: {error}"
    return f"broke off: {_named(error)}"


def _said(error: openai.APIStatusError) -> str:
    if location := error.response.headers.get("Location"):
        return f"it has moved to {location}; if that is right, make it the api_endpoint"
    body = error.body
    if isinstance(body, dict):
        body = body.get("message") or body.get("detail") or body
    return str(body or "") or error.response.reason_phrase


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
