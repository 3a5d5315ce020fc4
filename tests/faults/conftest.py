"""Fixtures of the gateway's and the lifecycle's tests, for tests that inject faults."""

from __future__ import annotations

from tests.lifecycle.conftest import catalogue, client, postgresql_server, where, work
from tests.server.conftest import candidates, hidden, raw_upstream, serve

__all__ = [
    "candidates",
    "catalogue",
    "client",
    "hidden",
    "postgresql_server",
    "raw_upstream",
    "serve",
    "where",
    "work",
]
