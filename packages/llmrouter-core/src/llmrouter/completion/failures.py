"""Whatever goes wrong in a call becomes one error that says which LLM, where and what."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from llmrouter.completion.catalogue import Endpoint
from llmrouter.errors import CompletionError

# Of what a service says about an error.
LONGEST = 500


@contextlib.contextmanager
def call_of(endpoint: Endpoint, timeout: float) -> Iterator[None]:
    """Turn what the official client raises in a call into a `CompletionError` without keys in it.

    Args:
        endpoint: What is called.
        timeout: Seconds that the call may take, for the message.
    """
    import openai

    try:
        yield
    except openai.APIStatusError as error:
        said = _told(error) or error.response.reason_phrase
        raise _error(endpoint, f"answered {error.status_code}: {said}", error.status_code) from error
    except (openai.APITimeoutError, asyncio.TimeoutError) as error:
        raise _error(endpoint, f"did not answer within {timeout:g} s") from error
    except openai.APIConnectionError as error:
        reason = error.__cause__ or error
        raise _error(endpoint, f"cannot be reached: {reason}") from error
    except openai.APIError as error:
        # An event of a stream told it.
        raise _error(endpoint, f"broke off: {error.message}") from error
    except (openai.OpenAIError, ValueError, TypeError, AttributeError) as error:
        raise _error(endpoint, f"did not answer as the chat protocol has it: {error}") from error


def _told(error: object) -> str:
    body = getattr(error, "body", None)
    if isinstance(body, dict):
        return str(body.get("message") or body.get("detail") or body)
    return str(body or "")


def _error(endpoint: Endpoint, problem: str, status: int | None = None) -> CompletionError:
    told = " ".join(endpoint.keys.redact(problem).split())
    if len(told) > LONGEST:
        told = f"{told[:LONGEST]}…"
    return CompletionError(endpoint.name, f"{endpoint.name} at {endpoint.url} {told}", status=status)
