"""The installed plugins are seen, rulesrouter among them."""

from __future__ import annotations

import pytest


@pytest.fixture
def hidden() -> tuple[str, ...]:
    return ()
