"""Constraints of a request at the plain gateway: kept by the router, by the next choices, and not sent on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llmrouter_server.gateway import RouterOption
from llmrouter_testing.upstream import Reply, Upstream
from tests.server.serving import MESSAGES, Serve, Serving

# USD for 1,000 tokens of an answer.
PRICES = {"cheap": 0.001, "middling": 0.004, "dear": 0.02}
QUALITY = {"cheap": 0.3, "middling": 0.6, "dear": 0.95}
TOKENS = 400


@pytest.fixture
def candidates(upstream: Upstream) -> dict[str, dict[str, Any]]:
    """Three candidates, of which the more expensive ones are better."""
    return {
        name: {
            "api_endpoint": upstream.url,
            "model": name,
            "input_price": 0,
            "output_price": price * 1000,
        }
        for name, price in PRICES.items()
    }


@pytest.fixture
def pareto(config: Callable[..., str], candidates: dict[str, dict[str, Any]]) -> Iterator[Serving]:
    """A gateway with a trained ``paretorouter``, which expects `TOKENS` tokens of each answer."""
    training = pytest.importorskip("llmrouter_pareto.training")
    rows = [
        {
            "query": f"Question {number}",
            "model_name": name,
            "performance": QUALITY[name],
            "completion_tokens": TOKENS,
        }
        for number in range(10)
        for name in PRICES
    ]
    Path("checkpoint.safetensors").write_bytes(training.train(rows, candidates))
    path = config(candidates, model_path={"load_model_path": "checkpoint.safetensors"})
    serving = Serving([RouterOption("paretorouter", path)], None)
    yield serving
    serving.close()


def cost(limit: float | str) -> dict[str, Any]:
    key = "model_name" if isinstance(limit, str) else "numeric_value"
    return {"routing_constraint": {"cost_constraint": {key: limit}}}


def quality(least: float) -> dict[str, Any]:
    return {"routing_constraint": {"quality_constraint": {"numeric_value": least}}}


@pytest.mark.torch
@pytest.mark.parametrize(
    ("fields", "order"),
    [
        ({}, ["dear", "middling", "cheap"]),
        (cost(0.002), ["middling", "cheap", "dear"]),
        (quality(0.5), ["middling", "dear", "cheap"]),
        # Nobody meets these: the lowest cost, and the highest quality.
        (cost(0.0001), ["cheap", "middling", "dear"]),
        (quality(0.99), ["dear", "middling", "cheap"]),
        # The shorter the answer may be, the more LLMs are within the limit.
        ({**cost(0.002), "max_tokens": 50}, ["dear", "middling", "cheap"]),
        (
            {"routing_constraint": {"cost_constraint": {"model_name": "middling"}}},
            ["middling", "cheap", "dear"],
        ),
    ],
)
def test_the_choice_and_all_next_choices_keep_to_it(
    pareto: Serving, upstream: Upstream, fields: dict[str, Any], order: list[str]
) -> None:
    def fails(request: dict[str, Any]) -> str:
        raise Reply(500, {})

    upstream.script = fails
    assert pareto.chat(**fields).status_code == 502
    assert [request["model"] for request in upstream.requests] == order
    assert not any("routing_constraint" in request for request in upstream.requests)


@pytest.mark.torch
def test_the_answer_says_whether_it_was_kept(pareto: Serving) -> None:
    told = pareto.chat(**cost(0.002)).json()["llmrouter"]
    assert (told["model_name"], told["constraint_met"], told["constraint"]["limit"]) == (
        "middling",
        True,
        0.002,
    )
    told = pareto.chat(**cost(0)).json()["llmrouter"]
    assert (told["model_name"], told["constraint_met"]) == ("cheap", False)
    assert "lowest expected cost" in told["fallback_reason"]


@pytest.mark.torch
def test_a_constraint_by_a_candidate_that_was_not_trained_on_is_404(
    config: Callable[..., str], candidates: dict[str, dict[str, Any]], pareto: Serving
) -> None:
    path = config(
        {**candidates, "new": candidates["dear"]}, model_path={"load_model_path": "checkpoint.safetensors"}
    )
    serving = Serving([RouterOption("paretorouter", path)], None)
    try:
        told = serving.chat(routing_constraint={"cost_constraint": {"model_name": "new"}})
        assert (told.status_code, told.json()["error"]["code"]) == (404, "model_not_found")
    finally:
        serving.close()


def test_a_router_that_knows_no_constraints_says_so(serve: Serve, upstream: Upstream) -> None:
    response = serve().chat(**cost(0.000001))
    told = response.json()["llmrouter"]
    assert (told["model_name"], told["constraint"], told["constraint_met"]) == ("cheap", None, None)
    assert upstream.requests == [{"messages": MESSAGES, "model": "cheap"}]


@pytest.mark.parametrize(
    ("constraint", "status", "param"),
    [
        ({}, 400, "routing_constraint"),
        (3, 400, "routing_constraint"),
        (
            {"quality_constraint": {"numeric_value": -1}},
            400,
            "routing_constraint.quality_constraint.numeric_value",
        ),
        ({"cost_contraint": {"numeric_value": 1}}, 400, "routing_constraint"),
        (
            {"cost_constraint": {"model_name": "nobody"}},
            404,
            "routing_constraint.cost_constraint.model_name",
        ),
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/route"])
def test_one_that_cannot_be_understood_is_refused(
    serve: Serve, upstream: Upstream, constraint: Any, status: int, param: str, path: str
) -> None:
    response = serve().post(path, messages=MESSAGES, routing_constraint=constraint)
    assert (response.status_code, response.json()["error"]["param"]) == (status, param)
    assert upstream.requests == []


def test_a_candidate_that_is_named_gets_no_constraint(serve: Serve, upstream: Upstream) -> None:
    assert serve().chat(model="dear", **cost(1)).status_code == 200
    assert upstream.requests == [{"messages": MESSAGES, "model": "dear"}]
