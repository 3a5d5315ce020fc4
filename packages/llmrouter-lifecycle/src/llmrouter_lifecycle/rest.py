"""What a server needs to mount the protocol: errors as JSON, and requests that may be repeated.

A server tells who asks (`Caller`), and hands the request to `handle`, from a thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from llmrouter.errors import FileError, LLMRouterError
from llmrouter_lifecycle.api import Api, find_route
from llmrouter_lifecycle.errors import InvalidParameterError, LifecycleError, StoreError
from llmrouter_lifecycle.home import Caller
from llmrouter_lifecycle.repeats import Reply, claim, once
from llmrouter_lifecycle.store.outages import is_outage, reason_of

__all__ = ["Reply", "error_reply", "handle"]

# Characters of an error that are sent: it may quote what the request holds.
LONGEST_MESSAGE = 2000


def handle(
    api: Api,
    caller: Caller,
    method: str,
    path: str,
    query: Mapping[str, Any],
    body: bytes,
    idempotency_key: str | None = None,
) -> Reply:
    """Answer a request, whatever it asks for.

    Args:
        api: The operations.
        caller: Whoever asks.
        method: Of HTTP.
        path: Below the API's address, decoded.
        query: The parameters of the address.
        body: As it came; empty where none did.
        idempotency_key: The header ``Idempotency-Key``; a POST that bears one is done once.
    """
    try:
        told = msgspec.json.decode(body) if body else None
        if idempotency_key is None or method != "POST":
            return Reply(200, api.call(caller, method, path, query, told))
        return _once(api, caller, path, query, told, body, idempotency_key)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return error_reply(InvalidParameterError(f"the body is no JSON: {error}"))
    except LLMRouterError as error:
        return error_reply(error)
    except SQLAlchemyError as error:
        if not is_outage(error):
            raise
        return error_reply(StoreError(f"the database is away: {reason_of(error)}"))


def error_reply(error: LLMRouterError) -> Reply:
    """Return the reply that tells an error."""
    known = error if isinstance(error, LifecycleError) else None
    # A configuration that cannot be used for what was asked, such as an LLM whose key is not set.
    status = known.status if known is not None else 400 if isinstance(error, FileError) else 500
    return Reply(
        status,
        {
            "error": {
                "message": str(error)[:LONGEST_MESSAGE],
                "type": known.type if known is not None else "invalid_request_error",
                "param": known.param if known is not None else None,
                "code": known.code if known is not None else None,
            }
        },
    )


def _once(
    api: Api, caller: Caller, path: str, query: Mapping[str, Any], told: Any, body: bytes, key: str
) -> Reply:
    """Answer a POST; where the same one was answered already, return that answer."""

    def work() -> Reply:
        try:
            return Reply(200, api.call(caller, "POST", path, query, told))
        except LLMRouterError as error:
            return error_reply(error)

    database = api.home.database
    if not find_route("POST", path)[0].slow:
        return once(database, caller, path, query, body, key, work)
    # An LLM is called, which no transaction can undo.
    claimed = claim(database, caller, path, query, body, key)
    if isinstance(claimed, Reply):
        return claimed
    try:
        reply = work()
    except BaseException:  # whatever it is: a claim that stays would refuse who tries again
        claimed.release()
        raise
    # What failed may be tried again.
    if reply.status >= 500:
        claimed.release()
    else:
        claimed.keep(reply)
    return reply
