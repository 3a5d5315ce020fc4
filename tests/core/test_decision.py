"""What a router returns becomes one decision, or an error that says what is wrong with it."""

from __future__ import annotations

import enum
import json
import math
from typing import Any

import msgspec
import numpy as np
import pytest

from llmrouter.decision import RoutingDecision, decision_from_result, encode
from llmrouter.errors import RoutingError

CANDIDATES: dict[str, dict[str, Any]] = {"small": {}, "large": {}}
QUERY = {"query": "one?", "id": 7}


class Name(str, enum.Enum):
    SMALL = "small"


def decision(result: Any, query: dict[str, Any] = QUERY, **more: Any) -> RoutingDecision:
    return decision_from_result(result, query, CANDIDATES, **more)


def shown(result: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(encode(decision({"model_name": "small", **result})))
    return found


@pytest.mark.parametrize(
    "result",
    [
        {"model_name": "small"},
        {"predicted_llm": "small"},
        {"model_name": "small", "predicted_llm": "small"},
        {"model_name": "small", "predicted_llm": None},
        {"model_name": None, "predicted_llm": "small"},
    ],
)
def test_either_name_names_the_llm(result: dict[str, Any]) -> None:
    found = decision(result)
    assert (found.model_name, found.predicted_llm) == ("small", "small")
    assert found.extra is None


@pytest.mark.parametrize("name", [np.str_("small"), np.array(["small", "large"])[0], Name.SMALL])
@pytest.mark.parametrize("key", ["model_name", "predicted_llm"])
def test_a_name_may_be_an_item_of_an_array_and_becomes_plain(name: str, key: str) -> None:
    found = decision({key: name})
    assert (type(found.model_name), found.model_name) == (str, "small")
    assert found.predicted_llm == "small"


@pytest.mark.parametrize(
    ("result", "problem"),
    [
        ({}, "the router named no LLM: neither 'model_name' nor 'predicted_llm' is in its result"),
        ({"model_name": None}, "the router named no LLM"),
        ({"Model_Name": "small"}, "the router named no LLM"),
        (
            {"model_name": "small", "predicted_llm": "large"},
            "the router named two LLMs, 'small' as model_name and 'large' as predicted_llm",
        ),
        ({"model_name": "small", "predicted_llm": ["small"]}, "the router named two LLMs"),
        ({"model_name": 0}, "the router named 0, which is not the name of an LLM"),
        ({"model_name": ["small"]}, "named ['small'], which is not the name of an LLM"),
        ({"model_name": b"small"}, "named b'small', which is not the name of an LLM"),
        ({"predicted_llm": {}}, "named {}, which is not the name of an LLM"),
        ({"model_name": True}, "named True, which is not the name of an LLM"),
        ({"model_name": "tiny"}, "the router named 'tiny', which is not one of the candidates"),
        ({"model_name": ""}, "named '', which is not one of the candidates"),
        ({"model_name": "Small"}, "named 'Small', which is not one of the candidates"),
        ({"model_name": "small "}, "named 'small ', which is not one of the candidates"),
        (None, "the router returned NoneType, not a dict"),
        ("small", "the router returned str, not a dict"),
        ([{"model_name": "small"}], "the router returned list, not a dict"),
        (("small", 1.0), "the router returned tuple, not a dict"),
    ],
)
def test_a_result_that_names_no_candidate(result: Any, problem: str) -> None:
    with pytest.raises(RoutingError) as caught:
        decision(result)
    assert problem in str(caught.value)


def test_the_fields_of_a_result_are_those_of_the_decision() -> None:
    told = {
        "scores": {"small": 0.75, "large": 0.25},
        "confidence": 0.5,
        "expected_cost": 0.001,
        "constraint": {"max_cost": 1},
        "fallback": True,
        "fallback_reason": "too dear",
    }
    found = decision({"model_name": "small", **told})
    assert {name: getattr(found, name) for name in told} == told
    assert found.extra is None


def test_other_keys_of_a_result_go_to_extra() -> None:
    found = decision({"model_name": "small", "query": "altered", "id": 9, "task_name": "math", "score": 3})
    assert found.extra == {"task_name": "math", "score": 3}


def test_the_query_is_the_one_that_was_put() -> None:
    assert decision({"model_name": "small", "query": "altered"}).query == "one?"
    assert decision({"model_name": "small"}, {}).query is None


@pytest.mark.parametrize(
    ("told", "put", "found"),
    [
        ({}, {}, None),
        ({}, {"id": "q1"}, "q1"),
        ({"id": "r1"}, {"id": "q1"}, "r1"),
        ({"id": None}, {"id": "q1"}, "q1"),
        ({"id": 0}, {"id": "q1"}, 0),
        ({"id": ""}, {"id": 5}, ""),
        ({}, {"id": 0}, 0),
    ],
)
def test_the_id_is_the_results_or_else_the_querys(told: Any, put: Any, found: Any) -> None:
    assert decision({"model_name": "small", **told}, {"query": "one?", **put}).id == found


def test_who_decided_and_in_what_time() -> None:
    found = decision({"model_name": "small"}, router="mine", router_version="1.2", latency_ms=0.5)
    assert (found.router, found.router_version, found.latency_ms) == ("mine", "1.2", 0.5)


def test_a_router_does_not_sign_for_another() -> None:
    found = decision({"model_name": "small", "router": "somebody", "latency_ms": 0})
    assert (found.router, found.latency_ms) == (None, None)
    assert found.extra == {"router": "somebody", "latency_ms": 0}


def test_in_json_both_names_are_shown_and_what_is_unknown_is_null() -> None:
    assert shown({}) == {
        "model_name": "small",
        "predicted_llm": "small",
        "query": "one?",
        "id": 7,
        **dict.fromkeys(["scores", "confidence", "expected_cost", "constraint"]),
        **dict.fromkeys(["fallback", "fallback_reason", "router", "router_version", "latency_ms", "extra"]),
    }


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float32("nan"), np.float64("inf")])
def test_what_json_has_no_number_for_is_null(value: float) -> None:
    found = shown({"confidence": value, "scores": {"small": value}, "mine": [value]})
    assert (found["confidence"], found["scores"], found["extra"]) == (None, {"small": None}, {"mine": [None]})


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (np.float32(0.5), 0.5),
        (np.float64(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.str_("text"), "text"),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array(5), 5),
        ({"deep": [np.float32(0.5)]}, {"deep": [0.5]}),
        ((1, 2), [1, 2]),
    ],
)
def test_values_of_numpy_are_shown_as_plain_ones(value: Any, found: Any) -> None:
    assert shown({"mine": value})["extra"] == {"mine": found}


@pytest.mark.torch
def test_values_of_torch_are_shown_as_plain_ones() -> None:
    import torch

    found = shown({"scores": {"small": torch.tensor(0.5)}, "mine": torch.ones(2, requires_grad=True)})
    assert found["scores"] == {"small": 0.5}
    assert found["extra"] == {"mine": [1.0, 1.0]}


def test_scores_may_come_from_an_array_with_its_names() -> None:
    scores = dict(zip(np.array(["small", "large"]), np.array([0.25, 0.75]), strict=True))
    assert shown({"scores": scores})["scores"] == {"small": 0.25, "large": 0.75}


def test_a_value_without_a_form_in_json_is_named() -> None:
    with pytest.raises(TypeError, match="object has no form in JSON"):
        shown({"mine": object()})


def test_a_decision_does_not_change() -> None:
    found = decision({"model_name": "small"})
    with pytest.raises(AttributeError):
        found.model_name = "large"  # type: ignore[misc]


def test_a_decision_with_another_name_has_it_as_both() -> None:
    found = msgspec.structs.replace(decision({"model_name": "small"}), model_name="large")
    assert found.predicted_llm == "large"
