from __future__ import annotations

import json
from typing import Any

import pytest

from llmrouter_testing.upstream import Upstream
from tests.server.serving import MESSAGES, Serve
from tests.server.test_faults import unused_url


def test_models_are_the_routers_auto_and_the_candidates(serve: Serve) -> None:
    listed = serve().client.get("/v1/models").json()
    assert listed["object"] == "list"
    models = {model["id"]: model for model in listed["data"]}
    assert list(models) == ["auto", "randomrouter", "small", "large"]
    assert models["auto"]["llmrouter"] == {
        "kind": "router",
        "router": "randomrouter",
        "candidates": ["small", "large"],
    }
    assert models["small"]["llmrouter"]["price"] == {"input": 1.0, "output": 2.0}
    assert {model["object"] for model in models.values()} == {"model"}


def test_a_model_is_told_by_name_with_or_without_slashes(serve: Serve, upstream: Upstream) -> None:
    client = serve({"acme/big/llm": {"api_endpoint": upstream.url}}).client
    assert client.get("/v1/models/acme/big/llm").json()["id"] == "acme/big/llm"
    assert client.get("/v1/models/acme%2Fbig%2Fllm").json()["id"] == "acme/big/llm"
    assert client.get("/v1/models/auto").json()["id"] == "auto"
    response = client.get("/v1/models/nobody")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize("fields", [{"messages": MESSAGES}, {"query": "What is AI?"}])
def test_a_decision_alone_calls_nobody(serve: Serve, upstream: Upstream, fields: dict[str, Any]) -> None:
    decision = serve().post("/v1/route", **fields).json()
    assert (decision["model_name"], decision["router"]) == ("small", "randomrouter")
    assert decision["query"] == "What is AI?"
    assert upstream.requests == []


def test_a_decision_about_a_candidate_is_an_error(serve: Serve) -> None:
    response = serve().post("/v1/route", query="x", model="small")
    assert (response.status_code, response.json()["error"]["code"]) == (400, "not_a_router")


@pytest.mark.parametrize("fields", [{}, {"messages": []}, {"query": 3}, {"messages": [{}]}])
def test_a_decision_about_nothing_is_an_error(serve: Serve, fields: dict[str, Any]) -> None:
    assert serve().post("/v1/route", **fields).status_code == 400


@pytest.mark.parametrize(
    ("fields", "param", "told"),
    [
        ({"query": "x", "allowed_llm": ["small"]}, "allowed_llm", "did you mean 'allowed_llms'?"),
        ({"query": "x", "max_token": 5}, "max_token", "did you mean 'max_tokens'?"),
        ({"query": "x", "modle": "small"}, "modle", "did you mean 'model'?"),
        ({"qurey": "x"}, "qurey", "did you mean 'query'?"),
        ({"query": "x", "routing_constrain": {}}, "routing_constrain", "did you mean 'routing_constraint'?"),
        (
            {"query": "x", "cost_contraint": {}},
            "cost_contraint",
            "inside 'routing_constraint', as 'cost_cons",
        ),
    ],
)
def test_a_misspelt_field_of_a_decision_names_what_was_meant(
    serve: Serve, fields: dict[str, Any], param: str, told: str
) -> None:
    response = serve().post("/v1/route", **fields)
    error = response.json()["error"]
    assert (response.status_code, error["param"], error["code"]) == (400, param, "unknown_field")
    assert told in error["message"]


def test_other_fields_of_a_decision_are_the_clients_own(serve: Serve) -> None:
    fields: dict[str, Any] = {
        "query": "x",
        "min_tokens": 1,
        "temperature": 0,
        "user": "u",
        "topic": "t",
        "task_id": 3,
    }
    assert serve().post("/v1/route", **fields).status_code == 200


def test_a_field_of_a_decision_that_is_there_twice_is_an_error(serve: Serve) -> None:
    response = serve().client.post(
        "/v1/route", content=b'{"query": "x", "query": "y"}', headers={"content-type": "application/json"}
    )
    assert (response.status_code, response.json()["error"]["param"]) == (400, "query")


def test_a_decision_is_among_the_allowed_llms(serve: Serve) -> None:
    running = serve()
    for _ in range(8):
        assert running.post("/v1/route", query="x", allowed_llms=["large"]).json()["model_name"] == "large"
    response = running.post("/v1/route", query="x", allowed_llms=["nobody"])
    assert (response.status_code, response.json()["error"]["code"]) == (400, "no_suitable_candidate")
    assert "the request does not allow it" in response.json()["error"]["message"]


def test_the_process_is_healthy(serve: Serve) -> None:
    assert serve().client.get("/healthz").json() == {"status": "ok"}


def test_it_is_ready_when_the_upstreams_can_be_reached(serve: Serve) -> None:
    response = serve().client.get("/readyz")
    assert (response.status_code, response.json()) == (200, {"status": "ok", "problems": {}})


def test_a_dead_upstream_is_named(serve: Serve, upstream: Upstream) -> None:
    dead = unused_url()
    serving = serve({"gone": {"api_endpoint": dead}, "there": {"api_endpoint": upstream.url}})
    response = serving.client.get("/readyz")
    assert response.status_code == 200
    assert response.json() == {"status": "degraded", "problems": {"candidate gone": "cannot be reached"}}


def test_it_is_not_ready_when_no_upstream_can_be_reached(serve: Serve) -> None:
    response = serve({"gone": {"api_endpoint": unused_url()}}).client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["status"] == "unavailable"


def test_a_candidate_that_failed_is_named(serve: Serve, upstream: Upstream) -> None:
    from llmrouter_testing.upstream import Reply

    def script(request: dict[str, Any]) -> str:
        raise Reply(500)

    upstream.script = script
    serving = serve(cooldown_seconds=30)
    serving.chat(model="small")
    response = serving.client.get("/readyz")
    assert response.status_code == 200
    assert response.json()["problems"] == {"candidate small": "failed, and is left alone for 30 s"}


def test_several_routers_are_served_and_the_first_is_the_default(
    serve: Serve, write: Any, upstream: Upstream
) -> None:
    from llmrouter_server.gateway import RouterOption
    from tests.server.serving import Serving

    serving = serve()
    serving.close()
    write(
        "custom_routers/last/router.py",
        """
        from llmrouter.models.router import Router

        class LastRouter(Router):
            def route_single(self, query_input):
                return {"model_name": list(self.llm_data)[-1]}
        """,
    )
    both = Serving([RouterOption("last", "config.yaml"), RouterOption("randomrouter", "config.yaml")], None)
    try:
        assert both.chat().json()["llmrouter"]["router"] == "last"
        assert both.chat(model="randomrouter").json()["model"] == "small"
        assert both.chat(model="last").json()["model"] == "large"
    finally:
        both.close()


def test_the_description_names_every_route(serve: Serve) -> None:
    from llmrouter_server.service import gateway_routes

    described = serve().client.get("/openapi.json").json()
    found = {(method.upper(), path) for path, methods in described["paths"].items() for method in methods}
    served = {(route.method, route.path.replace("...", "")) for route in gateway_routes()}
    assert found == served
    assert json.dumps(described).count("$ref") > 10
