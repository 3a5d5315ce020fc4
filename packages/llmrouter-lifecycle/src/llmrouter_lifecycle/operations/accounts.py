"""Operations on organisations and their credits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmrouter_lifecycle.home import Caller, Home
from llmrouter_lifecycle.store import accounts

# Stands for credits without a limit, for the protocol has a number there.
UNLIMITED = 1e12


def organizations(home: Home, caller: Caller, query: Mapping[str, Any], body: Mapping[str, Any]) -> Any:
    """Return the organisation of the key."""
    return [{"uid": caller.org, "name": f"organizations/{caller.org}"}]


def credits(home: Home, caller: Caller, query: Mapping[str, Any], body: Mapping[str, Any]) -> Any:
    """Return what the key may still spend, in USD."""
    if caller.budget_usd is None:
        return {"credits": UNLIMITED}
    with home.database.read() as connection:
        return {"credits": caller.budget_usd - accounts.spent(connection, caller.account)}
