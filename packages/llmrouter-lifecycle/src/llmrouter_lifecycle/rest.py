"""What a server needs to mount the protocol: errors as JSON, and requests that may be repeated.

A server tells who asks (`Caller`), and hands the request to `handle`, from a thread.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import delete, select, update

from llmrouter.errors import FileError, LLMRouterError
from llmrouter_lifecycle.api import Api
from llmrouter_lifecycle.errors import ConflictError, InvalidParameterError, LifecycleError
from llmrouter_lifecycle.home import Caller
from llmrouter_lifecycle.store.schema import replies

# Seconds for which a request may be repeated without being done again.
REPEATABLE = 24 * 3600.0
LONGEST_KEY = 255


class Reply(NamedTuple):
    """What a request is answered with."""

    status: int
    body: Any


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
        told = json.loads(body) if body else None
        if idempotency_key is None or method != "POST":
            return Reply(200, api.call(caller, method, path, query, told))
        return _once(api, caller, path, query, told, body, idempotency_key)
    except (ValueError, RecursionError) as error:
        return error_reply(InvalidParameterError(f"the body is no JSON: {error}"))
    except LLMRouterError as error:
        return error_reply(error)


def error_reply(error: LLMRouterError) -> Reply:
    """Return the reply that tells an error."""
    known = error if isinstance(error, LifecycleError) else None
    # A configuration that cannot be used for what was asked, such as an LLM whose key is not set.
    status = known.status if known is not None else 400 if isinstance(error, FileError) else 500
    return Reply(
        status,
        {
            "error": {
                "message": str(error),
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
    if len(key) > LONGEST_KEY:
        raise InvalidParameterError(f"Idempotency-Key: is longer than {LONGEST_KEY} characters")
    request = f"{path}?{json.dumps(dict(query), sort_keys=True)}\n".encode() + body
    digest = hashlib.sha256(request).hexdigest()
    database = api.home.database
    row = {"org": caller.org, "account": caller.key, "key": key}
    mine = (replies.c.org == caller.org) & (replies.c.account == caller.key) & (replies.c.key == key)
    with database.write() as connection:
        connection.execute(delete(replies).where(replies.c.created < time.time() - REPEATABLE))
        new = database.insert_missing(
            connection, replies, [{**row, "request": digest, "created": time.time()}]
        )
        found = None if new else connection.execute(select(replies).where(mine)).first()
    if found is not None:
        if found.request != digest:
            raise InvalidParameterError("Idempotency-Key: was used for another request; choose a new one")
        if found.status is None:
            raise ConflictError("this request is being answered; repeat it later")
        return Reply(found.status, found.body)
    try:
        reply = Reply(200, api.call(caller, "POST", path, query, told))
    except LLMRouterError as error:
        reply = error_reply(error)
    except BaseException:
        reply = Reply(500, None)
        raise
    finally:
        with database.write() as connection:
            # What failed may be tried again.
            if reply.status >= 500:
                connection.execute(delete(replies).where(mine))
            else:
                values = {"status": reply.status, "body": reply.body}
                connection.execute(update(replies).where(mine).values(**values))
    return reply
