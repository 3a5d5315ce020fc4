"""The gateway's description of itself holds, and no request made from it breaks the gateway."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from llmrouter_server.key_file import create_key
from tests.gateway.client import Gateway
from tests.gateway.conftest import Serve

EXAMPLES = 10


@pytest.fixture(scope="module")
def gateway(serve_module: Serve) -> Gateway:
    """A gateway with one candidate."""
    return serve_module("one")


def check_requests(gateway: Gateway, folder: Path, *options: str, settings: str = "") -> None:
    """Make requests up from a gateway's description of itself, and check that none of them fails.

    Args:
        gateway: The gateway.
        folder: Where Schemathesis runs.
        options: More of Schemathesis.
        settings: What its file of settings says.
    """
    (folder / "schemathesis.toml").write_text(settings)
    url = gateway.url.removesuffix("/v1")
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{url}/openapi.json"]
    limits = ["--max-examples", str(EXAMPLES), "--seed", "1", "--phases", "examples,coverage,fuzzing"]
    checks = ["--checks", "not_a_server_error,status_code_conformance,content_type_conformance"]
    done = subprocess.run(
        [*command, "--url", url, *limits, *checks, "--request-timeout", "10", "--no-color", *options],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "Traceback" not in gateway.output()


@pytest.mark.extras
def test_requests_made_up_from_the_description_find_no_failure(gateway: Gateway, tmp_path: Path) -> None:
    check_requests(gateway, tmp_path)


@pytest.mark.extras
def test_requests_made_up_from_the_description_of_a_lifecycle_find_no_failure(
    serve: Serve, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.json"
    key = create_key(keys, "ann", org="acme", budget_usd=1000)
    lifecycle = ("--lifecycle", str(tmp_path / "lifecycle.sqlite"), "--no-worker")
    gateway = serve("one", arguments=(*lifecycle, "--keys-file", str(keys)))
    gateway.key = key
    organisation = "/v1/organizations/acme"
    point = {"x": 0.5, "y": 0.5}
    executor = {"spec": {"executor_type": "ModelExecutor", "model_name": "one"}}
    spec = {"points": [{"point": point, "executor": executor}]}
    judge = {"judgeSpec": {"model_type": "numeric"}}
    assert gateway.post(f"{organisation}/routers?routerId=x", {"routerSpec": spec}).status == 200
    assert gateway.post(f"{organisation}/judges?judgeId=x", {"judgeSpec": judge}).status == 200
    # Of what the gateway has without a lifecycle, the test before makes its requests.
    only = ("--include-path-regex", "organizations|/openai/", "--header", f"Authorization: Bearer {key}")
    check_requests(gateway, tmp_path, *only, settings='[parameters]\n"path.org" = "acme"\n"path.id" = "x"\n')


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
