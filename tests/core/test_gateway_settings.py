from __future__ import annotations

from typing import Any

import pytest

from llmrouter.errors import ConfigError
from llmrouter.gateway_settings import Settings, read_settings


@pytest.mark.parametrize("config", [{}, {"gateway": None}, {"gateway": {}}])
def test_what_is_left_out_has_its_default(config: dict[str, Any]) -> None:
    assert read_settings(config) == Settings()


def test_settings_are_read() -> None:
    found = read_settings({"gateway": {"mode": "full_context", "idle_seconds": 2, "max_batch": 7}})
    assert (found.mode, found.idle_seconds, found.max_batch) == ("full_context", 2, 7)


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ({"nope": 1}, "gateway.nope"),
        ({"mode": "some"}, "gateway.mode"),
        ({"idle_seconds": 0}, "gateway.idle_seconds"),
        ({"idle_seconds": "2"}, "gateway.idle_seconds"),
        ({"idle_seconds": float("inf")}, "gateway.idle_seconds"),
        ({"max_batch": 1.5}, "gateway.max_batch"),
        ({"max_request_bytes": -1}, "gateway.max_request_bytes"),
        ([], "gateway"),
    ],
)
def test_a_wrong_setting_is_named(section: Any, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_settings({"gateway": section})
    assert caught.value.key == key
