"""An answer is put together from whatever a service sends, and what is garbage is said to be."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest

from llmrouter.completion.catalogue import Catalogue, Endpoint
from llmrouter.completion.result import AnswerBuilder, Completion, Usage, record, recording


def choice(**message: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}]}


@pytest.fixture
def endpoint() -> Endpoint:
    llm = {"api_endpoint": "http://127.0.0.1:1", "input_price": 1, "output_price": 2}
    return Catalogue({"small": llm}, {}, environ={}).endpoint("small")


def built(endpoint: Endpoint, *answers: Any) -> Completion:
    builder = AnswerBuilder()
    for answer in answers:
        builder.add(answer)
    return builder.completion(endpoint, 12.0)


def test_a_whole_answer(endpoint: Endpoint) -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 10, "total_tokens": 1010}
    assert built(endpoint, {**choice(content="hi"), "model": "m-1", "usage": usage}) == Completion(
        model_name="small",
        text="hi",
        upstream_model="m-1",
        finish_reason="stop",
        usage=Usage(1000, 10),
        cost=0.00102,
        latency_ms=12.0,
    )


def test_pieces_and_the_usage_at_the_end(endpoint: Endpoint) -> None:
    builder = AnswerBuilder()
    pieces = []
    for delta, reason in (
        ({"role": "assistant"}, None),
        ({"content": "a"}, None),
        ({"content": "b"}, "stop"),
    ):
        assert not builder.finished
        pieces.append(builder.add({"choices": [{"delta": delta, "finish_reason": reason}], "usage": None}))
    assert builder.finished
    assert builder.add({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}) == ""
    found = builder.completion(endpoint, 1)
    assert (pieces, found.text, found.finish_reason, found.usage) == (
        ["", "a", "b"],
        "ab",
        "stop",
        Usage(1, 2),
    )


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": None}, ""),
        ({}, ""),
        ({"content": None, "tool_calls": [{"id": "1"}]}, ""),
        ({"content": None, "refusal": "No."}, "No."),
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "a\nb"),
    ],
)
def test_what_is_said_without_plain_text(endpoint: Endpoint, message: dict[str, Any], text: str) -> None:
    assert built(endpoint, choice(**message)).text == text


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        "many",
        5,
        [],
        {"prompt_tokens": 1},
        {"prompt_tokens": None, "completion_tokens": 1},
        {"prompt_tokens": -1, "completion_tokens": 1},
        {"prompt_tokens": "x", "completion_tokens": 1},
    ],
)
def test_usage_that_is_garbage_is_unknown_and_so_is_the_cost(endpoint: Endpoint, usage: Any) -> None:
    found = built(endpoint, {**choice(content="hi"), "usage": usage})
    assert (found.text, found.usage, found.cost) == ("hi", None, None)
    # Nor is it what an earlier part of a stream reported, unless the last part reports nothing.
    earlier = {**choice(content="hi"), "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
    found = built(endpoint, earlier, {"choices": [], "usage": usage})
    assert found.usage == (Usage(1, 1) if usage is None else None)


def test_json_that_is_not_called_so(endpoint: Endpoint) -> None:
    assert built(endpoint, json.dumps(choice(content="hi"))).text == "hi"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("<html>\x1b[2J", "found '<html>\\x1b[2J', which is not JSON"),
        ("", "found '', which is not JSON"),
        ([], "Expected `object`, got `array`"),
        (None, "Expected `object`, got `null`"),
        ({}, "the answer has no choices"),
        ({"choices": None}, "the answer has no choices"),
        ({"choices": []}, "the answer has no choices"),
        ({"choices": "many"}, "$.choices"),
        ({"choices": [5]}, "$.choices[0]"),
        ({"choices": [{}]}, "its choice holds no message"),
        ({"choices": [{"message": "hi"}]}, "$.choices[0].message"),
        (choice(content=5), "$.choices[0].message.content"),
        (choice(content=["a"]), "$.choices[0].message.content[0]"),
        ({"error": {"message": "no credit"}}, "it tells an error: {'message': 'no credit'}"),
        ({**choice(content="hi"), "model": 5}, "$.model"),
    ],
)
def test_what_is_no_answer(endpoint: Endpoint, answer: Any, told: str) -> None:
    with pytest.raises((ValueError, msgspec.ValidationError), match=re.escape(told)):
        built(endpoint, answer)


def test_answers_are_recorded_where_a_record_is_kept() -> None:
    completions = [Completion(model_name=name, text="") for name in "abc"]
    record(completions[0])
    with recording() as outer:
        record(completions[1])
        with recording() as inner:
            record(completions[2])
    assert (outer, inner) == ([completions[1]], [completions[2]])


def test_usage_adds_up() -> None:
    assert Usage(1, 2) + Usage(3, 4) == Usage(4, 6)
