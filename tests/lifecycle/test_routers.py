"""Routers before they are trained: created, updated, listed, run."""

from __future__ import annotations

from typing import Any

import pytest

from llmrouter_lifecycle import (
    Client,
    InvalidParameterError,
    ResourceAlreadyExistsError,
    ResourceNotFoundError,
    cost_at_most,
    quality_at_least,
)
from llmrouter_testing.upstream import Reply, Upstream

QUESTION = {"messages": [{"role": "user", "content": "Say plainly what comes after 4"}]}


def point(model: str, x: float, y: float) -> dict[str, Any]:
    return {
        "point": {"x": x, "y": y},
        "executor": {"spec": {"executor_type": "ModelExecutor", "model_name": model}},
    }


def test_a_new_router_goes_to_its_base_model_alone(client: Client, upstream: Upstream) -> None:
    router = client.routers.create_router("r", "local/cheap", "about it")
    assert (router.id, router.version, router.description) == ("r", 1, "about it")
    assert router.name == "organizations/local/routers/r"
    for constraint in (None, cost_at_most(0), quality_at_least(1), {"cost_constraint": {"numeric_value": 9}}):
        answer = client.routers.run(router, constraint, QUESTION)
        assert answer.model == "local/cheap"
    assert answer.choices[0].message.content == "It is 5."
    assert {request["model"] for request in upstream.requests} == {"cheap"}


def test_the_last_part_of_a_model_s_name_is_enough_where_one_has_it(client: Client) -> None:
    assert client.routers.create_router("r", "cheap").llms == ["local/cheap"]


def test_an_answer_says_what_it_cost_and_how_its_llm_was_chosen(client: Client) -> None:
    router = client.routers.create_router("r", "local/cheap")
    told = client.routers.run(router, cost_at_most(1), QUESTION).to_dict()
    assert told["cost"] == pytest.approx((6 * 0.1 + 3 * 0.2) / 1e6)
    assert told["llmrouter"]["router_version"] == "1"  # type: ignore[index]
    assert told["llmrouter"]["constraint_met"] is True  # type: ignore[index]
    assert told["llmrouter"]["upstream_model"] == "upstream-cheap"  # type: ignore[index]


def test_an_unknown_price_is_an_unknown_cost(client: Client) -> None:
    router = client.routers.create_router("r", "local/free")
    assert client.routers.run(router, None, QUESTION).to_dict()["cost"] is None


def test_what_the_request_sets_reaches_the_llm_and_what_chooses_it_does_not(
    client: Client, upstream: Upstream
) -> None:
    router = client.routers.create_router("r", "local/cheap")
    client.routers.run(router, cost_at_most(1), {**QUESTION, "model": "other", "temperature": 0.5})
    (sent,) = upstream.requests
    assert sent["temperature"] == 0.5
    assert set(sent) == {"model", "messages", "stream", "temperature"}


def test_ids_are_taken_once(client: Client) -> None:
    client.routers.create_router("r", "local/cheap")
    with pytest.raises(ResourceAlreadyExistsError, match="'r' exists already"):
        client.routers.create_router("r", "local/dear")


@pytest.mark.parametrize("id", ["", "-a", "a/b", "a b", "ä", "a" * 64, None])
def test_an_id_that_cannot_stand_in_a_path_is_refused(client: Client, id: Any) -> None:
    with pytest.raises(InvalidParameterError, match="routerId"):
        client.routers.create_router(id, "local/cheap")


def test_an_unknown_base_model_is_refused_and_nothing_is_created(client: Client) -> None:
    with pytest.raises(ResourceNotFoundError, match="no LLM is named 'gpt-0'"):
        client.routers.create_router("r", "gpt-0")
    assert client.routers.list() == []


def test_an_update_adds_a_version_and_keeps_the_description(client: Client) -> None:
    first = client.routers.create_router("r", "local/cheap", "about it")
    second = client.routers.update_router("r", {"points": [point("local/dear", 1, 1)]})
    assert (second.version, second.description, second.llms) == (2, "about it", ["local/dear"])
    third = client.routers.update_router("r", {"points": [point("local/dear", 1, 1)]}, "new")
    assert (third.version, third.description) == (3, "new")
    assert client.routers.get("r") == third
    assert client.routers.get("r", version=1) == first
    assert client.routers.versions("r") == [third, second, first]
    assert client.routers.list() == [third]


def test_run_takes_the_latest_version_unless_one_is_named(client: Client) -> None:
    router = client.routers.create_router("r", "local/cheap")
    client.routers.update_router("r", {"points": [point("local/dear", 1, 1)]})
    assert client.routers.run(router, None, QUESTION).model == "local/dear"
    assert client.routers.run(router, None, QUESTION, version=1).model == "local/cheap"
    assert client.routers.run("r", None, QUESTION, version=2).model == "local/dear"
    with pytest.raises(ResourceNotFoundError, match="has no version 3"):
        client.routers.run(router, None, QUESTION, version=3)


def test_points_by_hand_are_static_routing_under_constraints(client: Client) -> None:
    spec = {"points": [point("local/cheap", 0, 0.4), point("local/dear", 1, 0.9)]}
    client.routers.create_router("r", "local/cheap")
    router = client.routers.update_router("r", spec)

    def chosen(constraint: Any) -> str:
        return client.routers.run(router, constraint, QUESTION).model

    assert chosen(None) == "local/dear"
    assert chosen(quality_at_least(0.4)) == "local/cheap"
    assert chosen(quality_at_least(0.5)) == "local/dear"
    assert chosen(quality_at_least("local/cheap")) == "local/cheap"
    assert chosen(cost_at_most("local/cheap")) == "local/cheap"
    assert chosen(cost_at_most("local/dear")) == "local/dear"
    assert chosen(cost_at_most(1)) == "local/dear"
    # What nobody meets is no error.
    assert chosen(cost_at_most(0)) == "local/cheap"
    assert chosen(quality_at_least(1)) == "local/dear"


def test_a_constraint_that_nobody_meets_says_what_was_done(client: Client) -> None:
    router = client.routers.create_router("r", "local/cheap")
    told = client.routers.run(router, cost_at_most(0), QUESTION).to_dict()["llmrouter"]
    assert told["constraint_met"] is False  # type: ignore[index]
    assert "took the lowest expected cost" in told["fallback_reason"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("constraint", "param"),
    [
        ({"cost_constraint": {"numeric_value": 1}, "quality_constraint": {"numeric_value": 1}}, "exclude"),
        ({"cost_constraint": {"numeric_value": -1}}, "cost_constraint.numeric_value"),
        ({"cost_constraint": {"numeric_value": "1"}}, "cost_constraint.numeric_value"),
        ({"cost_constraint": {"numeric_value": float("nan")}}, "cost_constraint.numeric_value"),
        ({"cost_constraint": {"numeric_value": True}}, "cost_constraint.numeric_value"),
        ({"quality_constraint": {}}, "quality_constraint"),
        ({"quality_constraint": {"numeric_value": 1, "model_name": "local/cheap"}}, "quality_constraint"),
        ({"price": 1}, "routing_constraint"),
        ({"cost_contraint": {"numeric_value": 1}}, "did you mean 'cost_constraint'?"),
        ({"cost_constraint": {"numericvalue": 1}}, "did you mean 'numeric_value'?"),
        ({}, "routing_constraint"),
        (3, "routing_constraint"),
    ],
)
def test_a_malformed_constraint_is_refused_before_anything_is_called(
    client: Client, upstream: Upstream, constraint: Any, param: str
) -> None:
    router = client.routers.create_router("r", "local/cheap")
    with pytest.raises(InvalidParameterError, match=param.replace("?", r"\?")):
        client.routers.run(router, constraint, QUESTION)
    assert upstream.requests == []


def test_a_constraint_by_a_model_that_the_router_does_not_go_to_is_refused(client: Client) -> None:
    router = client.routers.create_router("r", "local/cheap")
    with pytest.raises(ResourceNotFoundError, match="no LLM is named 'local/dear'"):
        client.routers.run(router, cost_at_most("local/dear"), QUESTION)


@pytest.mark.parametrize("request_", [{}, {"messages": []}, {"messages": [{"content": "x"}]}, [], "hello"])
def test_a_malformed_request_is_refused(client: Client, request_: Any) -> None:
    router = client.routers.create_router("r", "local/cheap")
    with pytest.raises(InvalidParameterError):
        client.routers.run(router, None, request_)


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"points": []},
        {"points": [{}]},
        {"points": [point("local/cheap", 2, 0)]},
        {"points": [point("local/cheap", 0, 0)], "path": "/etc/passwd"},
        {"points": [{**point("local/cheap", 0, 0), "executor": {"spec": {"executor_type": "X"}}}]},
    ],
)
def test_a_malformed_spec_is_refused_and_adds_no_version(client: Client, spec: Any) -> None:
    client.routers.create_router("r", "local/cheap")
    with pytest.raises(InvalidParameterError, match="routerSpec"):
        client.routers.update_router("r", spec)
    assert client.routers.get("r").version == 1


def test_a_spec_may_only_name_checkpoints_that_are_there(client: Client) -> None:
    client.routers.create_router("r", "local/cheap")
    spec = {"points": [point("local/cheap", 0, 0)], "router": {"checkpoint": "sha256:0"}}
    with pytest.raises(ResourceNotFoundError, match="checkpoint"):
        client.routers.update_router("r", spec)


def test_a_router_is_deleted_with_its_versions_and_its_id_is_free(client: Client) -> None:
    router = client.routers.create_router("r", "local/cheap")
    assert client.routers.run(router, None, QUESTION).model == "local/cheap"
    client.routers.delete("r")
    for call in (client.routers.get, client.routers.delete):
        with pytest.raises(ResourceNotFoundError, match="'r' does not exist"):
            call("r")
    with pytest.raises(ResourceNotFoundError):
        client.routers.run(router, None, QUESTION)
    # Nothing of the one before is remembered.
    again = client.routers.create_router("r", "local/dear")
    assert client.routers.run(again, None, QUESTION).model == "local/dear"


def test_an_llm_that_fails_is_an_error_that_names_it(client: Client, upstream: Upstream) -> None:
    def fail(request: dict[str, Any]) -> str:
        raise Reply(400, {"error": {"message": "too long"}})

    upstream.script = fail
    router = client.routers.create_router("r", "local/cheap")
    with pytest.raises(Exception, match=r"local/cheap at .* answered 400: too long"):
        client.routers.run(router, None, QUESTION)
