"""What a service reports of tokens is read as it is billed, and not believed where it cannot be true."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmrouter.completion.catalogue import Catalogue, Endpoint
from llmrouter.completion.result import AnswerBuilder
from llmrouter.completion.usage import MOST_TOKENS, Usage, read_usage


def endpoint(**prices: float) -> Endpoint:
    llm = {"api_endpoint": "http://127.0.0.1:1", **prices}
    return Catalogue({"one": llm}, {}, environ={}).endpoint("one")


def told(prompt: Any, completion: Any, **more: Any) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, **more}


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        (None, None),
        (told(12, 6), Usage(12, 6)),
        (told(12, 6, total_tokens=18), Usage(12, 6)),
        (told(12.0, 6.0, total_tokens=18.0), Usage(12, 6)),
        # Reasoning that only the total counts.
        (
            told(32, 9, total_tokens=135, completion_tokens_details={"reasoning_tokens": 94}),
            Usage(32, 103),
        ),
        # A total that counts too little changes nothing.
        (told(32, 9, total_tokens=0), Usage(32, 9)),
        (told(100, 6, prompt_tokens_details={"cached_tokens": 99}), Usage(100, 6, 99)),
        (told(100, 6, prompt_tokens_details={"cached_tokens": None}), Usage(100, 6)),
        (told(100, 6, prompt_tokens_details=None, total_tokens=None), Usage(100, 6)),
        (told(0, 0), Usage(0, 0)),
    ],
)
def test_what_is_billed_is_read(usage: Any, read: Usage | None) -> None:
    assert read_usage(usage) == read


@pytest.mark.parametrize("bad", [-1, -1e308, float("nan"), float("inf"), 10**400, 1.5, "12", True, [], None])
@pytest.mark.parametrize("place", ["prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens"])
def test_what_cannot_be_a_count_is_not_believed(place: str, bad: Any) -> None:
    usage = told(12, 6, total_tokens=18, prompt_tokens_details={"cached_tokens": 3})
    if bad is None and place in ("total_tokens", "cached_tokens"):
        return
    if place == "cached_tokens":
        usage["prompt_tokens_details"][place] = bad
    else:
        usage[place] = bad
    with pytest.raises(ValueError, match=place):
        read_usage(usage)


@pytest.mark.parametrize(
    "usage", [[], "", 5, {}, {"total_tokens": 5}, told(1, 2, prompt_tokens_details={"cached_tokens": 2})]
)
def test_what_does_not_add_up_is_not_believed(usage: Any) -> None:
    with pytest.raises(ValueError, match=r"expected|more than"):
        read_usage(usage)


def test_cached_tokens_have_a_price_of_their_own() -> None:
    usage = Usage(100_000, 500, 99_000)
    cached = endpoint(input_price=3, output_price=15, cached_input_price=0.3)
    assert cached.cost_of(usage) == pytest.approx(0.0402)
    # Where it is unknown they cost as much as the others.
    assert endpoint(input_price=3, output_price=15).cost_of(usage) == pytest.approx(0.3075)
    assert endpoint().cost_of(usage) is None
    assert cached.cost_of(None) is None


def test_the_largest_numbers_make_a_cost_that_is_a_number() -> None:
    dear = endpoint(input_price=1e9, output_price=1e9)
    cost = dear.cost_of(Usage(MOST_TOKENS, MOST_TOKENS))
    assert cost is not None
    assert json.loads(json.dumps(cost)) == cost


def test_an_answer_with_usage_that_is_not_believed_costs_an_unknown_amount(
    caplog: pytest.LogCaptureFixture,
) -> None:
    builder = AnswerBuilder()
    builder.add({"choices": [{"message": {"content": "hi"}}], "usage": told(-5, 6)})
    found = builder.completion(endpoint(input_price=1, output_price=2), 1)
    assert (found.text, found.usage, found.cost) == ("hi", None, None)
    assert "prompt_tokens" in caplog.text


def test_usage_adds_up_and_shows_what_is_cached_only_where_something_is() -> None:
    assert Usage(1, 2, 1) + Usage(3, 4) == Usage(4, 6, 1)
