"""Fixtures of the gateway's tests, for tests that inject faults."""

from __future__ import annotations

from tests.server.conftest import candidates, hidden, raw_upstream, serve

__all__ = ["candidates", "hidden", "raw_upstream", "serve"]
