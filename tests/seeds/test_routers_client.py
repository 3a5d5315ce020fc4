"""The document about the routers client, line for line, against LLMs on this machine.

Two services stand behind all the models it names: one whose models know little and cost little, and one whose
models know all and cost much.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmrouter.models.llm_models import (
    ALL_MODELS,
    ANTHROPIC_MODELS,
    GEMINI_MODELS,
    OPENAI_MODELS,
    TOGETHER_MODELS,
)
from llmrouter_lifecycle import Client, cost_at_most, quality_at_least
from llmrouter_testing.upstream import Upstream
from tests.lifecycle.conftest import answer, requests

OPUS = "anthropic/anthropic/claude-3-opus-latest"
GPT = "openai/openai/gpt-4o"
MISTRAL = "together/mistralai/Mistral-Small-24B-Instruct-2501"
EASY = {"messages": [{"role": "user", "content": "Say plainly what comes after 5000"}]}
HARD = {"messages": [{"role": "user", "content": "Prove by induction over the integers what follows 5000"}]}


@pytest.fixture
def hidden() -> tuple[str, ...]:
    return ("llmrouter-threshold",)


@pytest.fixture
def strong() -> Iterator[Upstream]:
    server = Upstream()
    server.script = lambda request: answer({**request, "model": "dear"})
    yield server
    server.close()


@pytest.fixture
def weak() -> Iterator[Upstream]:
    server = Upstream()
    server.script = lambda request: answer({**request, "model": "cheap"})
    yield server
    server.close()


@pytest.fixture
def client(strong: Upstream, weak: Upstream, tmp_path: Path) -> Iterator[Client]:
    llms = {}
    for name in sorted(ALL_MODELS):
        good = name.startswith("anthropic/")
        llms[name] = {
            "api_endpoint": (strong if good else weak).url,
            "input_price": 15 if good else 0.1,
            "output_price": 75 if good else 0.3,
        }
    config = {"data_path": {"llm_data": llms}}
    with Client(tmp_path / "lifecycle.sqlite", config=config) as client:
        yield client
        process = client._backend._process  # type: ignore[attr-defined]
        if process is not None:
            process.terminate()
            process.wait(300)


def test_a_router_is_created_trained_and_routes(client: Client, strong: Upstream, weak: Upstream) -> None:
    quality_judge = client.judges.create_judge("quality", "numeric")
    example_requests = requests(60)

    # Creating a router.
    router = client.routers.create_router(
        router_id="my-router",
        base_model="anthropic/anthropic/claude-3-opus-latest",  # Initial model before training
        description="Routes between different models based on quality and cost",
    )
    # "It only routes to a single model."
    assert client.routers.run(router, cost_at_most(1e-9), EASY).model == OPUS
    assert router.description == "Routes between different models based on quality and cost"

    # Training a router: on specific models.
    training_job = client.routers.run_training_job(
        router=router,
        judge=quality_judge,
        llms=[
            "anthropic/anthropic/claude-3-opus-latest",
            "openai/openai/gpt-4o",
            "together/mistralai/Mistral-Small-24B-Instruct-2501",
        ],
        requests=example_requests,
    )
    job = client.routers.wait_training_job(training_job.name, poll_interval=0.2, poll_timeout=200)
    assert job.status == "SUCCESS", job.error_message

    # "The router can intelligently route between any of the models it was trained on."
    assert set(client.routers.get("my-router").llms) == {OPUS, GPT, MISTRAL}
    assert client.routers.run(router, quality_at_least(0.8), EASY).model in (GPT, MISTRAL)
    assert client.routers.run(router, quality_at_least(0.8), HARD).model == OPUS
    assert client.routers.run(router, cost_at_most(GPT), HARD).model in (GPT, MISTRAL)
    answered = client.routers.run(router, quality_at_least(0.8), HARD)
    assert answered.choices[0].message.content == "It is 5001."
    # At endpoints of their own, they are called by their whole names.
    assert {body["model"] for body in weak.requests} == {GPT, MISTRAL}

    # Train on all Anthropic and OpenAI models.
    training_job = client.routers.run_training_job(
        router=router,
        judge=quality_judge,
        llms=list(ANTHROPIC_MODELS | OPENAI_MODELS),  # Combine model sets using set operations
        requests=example_requests,
    )
    job = client.routers.wait_training_job(training_job.name, poll_interval=0.2, poll_timeout=200)
    assert job.status == "SUCCESS", job.error_message
    assert set(client.routers.get("my-router").llms) == ANTHROPIC_MODELS | OPENAI_MODELS
    assert client.routers.run(router, quality_at_least(0.8), EASY).model in OPENAI_MODELS
    assert client.routers.run(router, quality_at_least(0.8), HARD).model in ANTHROPIC_MODELS


def test_every_available_model_can_be_trained_on(client: Client) -> None:
    quality_judge = client.judges.create_judge("quality", "numeric")
    router = client.routers.create_router(router_id="my-router", base_model=OPUS)
    estimate = client.routers.estimate_training_job(quality_judge, list(ALL_MODELS), requests(3))
    assert estimate.calls == 3 * len(ALL_MODELS)
    assert ALL_MODELS == OPENAI_MODELS | ANTHROPIC_MODELS | TOGETHER_MODELS | GEMINI_MODELS
    assert {OPUS, GPT, MISTRAL} <= ALL_MODELS
    training_job = client.routers.run_training_job(
        router=router,
        judge=quality_judge,
        llms=list(ALL_MODELS),  # Convert set to list
        requests=requests(3),
    )
    job = client.routers.wait_training_job(training_job.name, poll_interval=0.2, poll_timeout=200)
    assert job.status == "SUCCESS", job.error_message
    assert set(client.routers.get("my-router").llms) == ALL_MODELS


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("create_router", "router_id base_model description"),
        ("update_router", "router_id router_spec description"),
        ("list", ""),
        ("get", "router_id version"),
        ("run", "router routing_constraint completion_request version"),
        ("run_training_job", "router judge llms requests"),
        ("poll_training_job", "job_name"),
        ("wait_training_job", "job_name poll_interval poll_timeout"),
    ],
)
def test_the_methods_take_what_the_document_says(client: Client, method: str, parameters: str) -> None:
    found: Any = inspect.signature(getattr(client.routers, method)).parameters.values()
    positional = [each.name for each in found if each.kind is not each.KEYWORD_ONLY]
    assert positional == parameters.split()
