"""Databases that are away: answered with 503, for a client that tries again later may have its answer."""

from __future__ import annotations

import sqlite3
import sys

from llmrouter_server.errors import GatewayError, retry_after

# When to try again, in seconds.
RETRY_SECONDS = 2
CODE = "database_unavailable"


def unavailable(error: BaseException) -> GatewayError | None:
    """Return the 503 for an error that says that a database is away; None for any other error."""
    message = "The database is away; try again."
    # Where no lifecycle is served its package may be missing.
    errors = sys.modules.get("llmrouter_lifecycle.errors")
    outages = sys.modules.get("llmrouter_lifecycle.store.outages")
    if errors is not None and isinstance(error, errors.StoreError):
        message = f"{error}."
    elif not isinstance(error, sqlite3.OperationalError) and not (outages and outages.is_outage(error)):
        return None
    return GatewayError(503, message, code=CODE, headers=retry_after(RETRY_SECONDS))
