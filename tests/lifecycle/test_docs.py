"""What docs/lifecycle.md tells of the protocol is so."""

from __future__ import annotations

import re


def test_its_table_of_scopes_is_that_of_the_protocol() -> None:
    from llmrouter_lifecycle.api import ROUTES

    for route in ROUTES:
        changes = route.method in ("PATCH", "DELETE") or route.path.endswith((":cancel", ":retry"))
        if changes or (
            route.method == "POST" and re.search(r"/(routers|judges|router_training_jobs)$", route.path)
        ):
            assert route.scope == "write", route.path
        elif route.method == "GET" or route.path.endswith((":render", ":estimate")):
            assert route.scope == "read", route.path
        else:
            assert route.scope == "chat", route.path
