"""What a job worker runs finds routers in directories only where the worker was told to look there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmrouter_lifecycle import Client
from llmrouter_lifecycle.worker import start_worker
from tests.lifecycle.conftest import home_of, requests
from tests.lifecycle.server import write_config, write_keys
from tests.lifecycle.test_serve import Process

# A judge that tells which routers it could run.
JUDGE = """
    from pathlib import Path

    from llmrouter import JudgeSpec, hookimpl
    from llmrouter.models.judge import Judge, Judgement
    from llmrouter.plugin_system import get_plugin_registry

    @hookimpl
    def llmrouter_register_judges():
        return [JudgeSpec("looking", "fake_looking:Looking")]

    class Looking(Judge):
        def score(self, request, response):
            Path("seen").write_text(" ".join(get_plugin_registry().get_router_names()))
            return Judgement(1.0)
"""
ASKED = [pytest.param([], id="unasked"), pytest.param(["--plugin-dirs"], id="asked")]

pytestmark = pytest.mark.parametrize("where", ["sqlite"], indirect=True)


@pytest.fixture(autouse=True)
def judge(install: Callable[..., Path], write: Callable[[str, str], Path], catalogue: dict[str, Any]) -> None:
    install("llmrouter-looking", {"fake_looking": JUDGE}, {"looking": "fake_looking"})
    write("custom_routers/mine/router.py", "class MineRouter(Router): ...\n")
    write_config(Path("config.yaml"), catalogue)


def job_of(client: Client) -> str:
    """Have a job done that asks the judge; returns its name."""
    router = client.routers.create_router("r", "local/dear")
    judge = client.judges.create_judge("j", "looking")
    return client.routers.run_training_job(router, judge, ["local/dear"], requests(2)).name


def seen() -> list[str]:
    return Path("seen").read_text().split()


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize(
    "program",
    [
        [str(Path(sys.executable).with_name("llmrouter")), "--no-plugin", "randomrouter", "jobs", "worker"],
        [sys.executable, "-m", "llmrouter_lifecycle.worker"],
    ],
    ids=["command", "module"],
)
def test_a_worker_that_is_started_by_hand(
    client: Client, where: str, program: list[str], asked: list[str]
) -> None:
    job_of(client)
    told = ["--config", "config.yaml", "--lifecycle", where, "--idle", "0", *asked]
    subprocess.run([*program, *told], check=True, timeout=300)
    assert ("mine" in seen()) == bool(asked)
    assert ("randomrouter" in seen()) == ("-m" in program)


def test_a_worker_that_a_client_starts_never_does(client: Client, catalogue: dict[str, Any]) -> None:
    Path("llmrouter.toml").write_text("[plugins]\ndirectories = true\n")
    name = job_of(client)
    process = start_worker(home_of(client).database, catalogue)
    try:
        client.routers.wait_training_job(name, poll_interval=0.1, poll_timeout=300)
    finally:
        process.terminate()
        process.wait(300)
    assert "randomrouter" in seen()
    assert "mine" not in seen()


@pytest.mark.parametrize("asked", ASKED)
def test_the_worker_beside_a_gateway(where: str, asked: list[str]) -> None:
    keys = write_keys(Path("keys.json").absolute(), [("key-acme", "acme", None)])
    process = Process(where, Path("config.yaml").absolute(), keys, *asked)
    try:
        with Client(process.url, api_key="key-acme") as client:
            client.routers.wait_training_job(job_of(client), poll_interval=0.1, poll_timeout=300)
    finally:
        process.close()
    assert ("mine" in seen()) == bool(asked)


def test_on_and_off_contradict_each_other(invoke: Callable[..., Any], where: str) -> None:
    found = invoke("--no-plugin-dirs", "jobs", "worker", "--plugin-dirs", "--lifecycle", where)
    assert found.status == 2
    assert "contradict" in found.err
    assert found.out == ""
