"""Fixtures: a gateway in this process, and upstreams that misbehave."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from llmrouter_server.gateway import RouterOption
from llmrouter_testing.upstream import Upstream
from tests.server.serving import RawUpstream, Serve, Serving, StartRaw


@pytest.fixture
def hidden() -> tuple[str, ...]:
    """The gateway's commands are seen here."""
    return ("llmrouter-threshold",)


@pytest.fixture
def candidates(upstream: Upstream) -> dict[str, dict[str, Any]]:
    """Two candidates at one upstream."""
    return {
        "small": {
            "model": "vendor/small",
            "api_endpoint": upstream.url,
            "input_price": 1,
            "output_price": 2,
        },
        "large": {
            "model": "vendor/large",
            "api_endpoint": upstream.url,
            "input_price": 10,
            "output_price": 20,
        },
    }


@pytest.fixture
def serve(config: Callable[..., str], candidates: dict[str, dict[str, Any]]) -> Iterator[Serve]:
    """Start a gateway with ``randomrouter``, which always prefers the first candidate.

    Keywords are settings of the gateway; ``llms`` are the candidates, ``keys_file``, ``router`` and
    ``services`` say more.
    """
    with contextlib.ExitStack() as running:

        def start(
            llms: Mapping[str, Any] | None = None,
            keys_file: str | None = None,
            router: str = "randomrouter",
            hparam: Mapping[str, Any] | None = None,
            services: Mapping[str, Any] | None = None,
            **settings: Any,
        ) -> Serving:
            named = candidates if llms is None else llms
            if hparam is None:
                hparam = {"weights": {name: int(not number) for number, name in enumerate(named)}}
            path = config(named, gateway=settings, hparam=hparam, services=services or {})
            serving = Serving([RouterOption(router, path)], keys_file)
            running.callback(serving.close)
            return serving

        yield start


@pytest.fixture
def raw_upstream() -> Iterator[StartRaw]:
    """Start a server that answers each request as a function writes it to the connection."""
    with contextlib.ExitStack() as running:

        def start(script: Callable[[RawUpstream, socket.socket], None]) -> RawUpstream:
            raw = RawUpstream(script)
            running.callback(raw.close)
            return raw

        yield start
