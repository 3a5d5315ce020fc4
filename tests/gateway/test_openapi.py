"""The gateway's description of itself holds, and no request made from it breaks the gateway."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.gateway.client import Gateway
from tests.gateway.conftest import Serve

EXAMPLES = 10


@pytest.fixture(scope="module")
def gateway(serve_module: Serve) -> Gateway:
    """A gateway with one candidate."""
    return serve_module("one")


@pytest.mark.extras
def test_requests_made_up_from_the_description_find_no_failure(gateway: Gateway, tmp_path: Path) -> None:
    url = gateway.url.removesuffix("/v1")
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{url}/openapi.json"]
    options = [
        "--url",
        url,
        "--max-examples",
        str(EXAMPLES),
        "--seed",
        "1",
        "--phases",
        "examples,coverage,fuzzing",
    ]
    checks = ["--checks", "not_a_server_error,status_code_conformance,content_type_conformance"]
    done = subprocess.run(
        [*command, *options, *checks, "--request-timeout", "10", "--no-color"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "Traceback" not in gateway.output()


def test_it_describes_every_endpoint(gateway: Gateway) -> None:
    told = gateway.get("/openapi.json").json
    assert told["openapi"].startswith("3.")
    wanted = {
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/models",
        "/v1/route",
        "/healthz",
        "/readyz",
        "/metrics",
    }
    assert wanted <= set(told["paths"])
