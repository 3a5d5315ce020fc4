"""Constraints as the wire protocol has them: equality counts, ties, and limits that nobody meets."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmrouter.constraints import (
    COST,
    MODEL,
    NUMBER,
    QUALITY,
    Choice,
    Constraint,
    ConstraintError,
    choose,
    ranked,
)
from llmrouter.decision import RoutingDecision

LLMS = ["a", "b", "c", "d"]
NAN = math.nan


def test_no_constraint() -> None:
    assert Constraint.parse(None, LLMS) is None


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"cost_constraint": {"numeric_value": 0}}, Constraint("cost_constraint", 0.0)),
        ({"cost_constraint": {"numeric_value": 0.5}}, Constraint("cost_constraint", 0.5)),
        ({"quality_constraint": {"numeric_value": 1}}, Constraint("quality_constraint", 1.0)),
        ({"quality_constraint": {"model_name": "b"}}, Constraint("quality_constraint", llm="b")),
        (
            {"cost_constraint": {"model_name": "a", "numeric_value": None}, "quality_constraint": None},
            Constraint("cost_constraint", llm="a"),
        ),
    ],
)
def test_what_is_understood(told: Any, expected: Constraint) -> None:
    assert Constraint.parse(told, LLMS) == expected
    assert Constraint.parse(expected.to_json(), LLMS) == expected


@pytest.mark.parametrize(
    ("told", "param", "says"),
    [
        ([], "routing_constraint", "expected an object"),
        ({}, "routing_constraint", "expected an object"),
        ({"cost_constraint": None}, "routing_constraint", "expected an object"),
        (
            {"quality_constraint": {"numeric_value": 10**400}},
            "routing_constraint.quality_constraint.numeric_value",
            "a number",
        ),
        ("cheap", "routing_constraint", "expected an object"),
        (
            {"price": {"numeric_value": 1}},
            "routing_constraint",
            "'price' is unknown; there are cost_constraint, quality_constraint",
        ),
        (
            {"cost_contraint": {"numeric_value": 1}},
            "routing_constraint",
            "'cost_contraint' is unknown; did you mean 'cost_constraint'?",
        ),
        (
            {"cost_constraint": {"numeric_value": 1}, "quality_constraint": {"numeric_value": 1}},
            "routing_constraint",
            "exclude each other",
        ),
        ({"cost_constraint": {}}, "routing_constraint.cost_constraint", "expected {'numeric_value'"),
        ({"cost_constraint": 1}, "routing_constraint.cost_constraint", "expected {'numeric_value'"),
        (
            {"cost_constraint": {"numeric_value": 1, "model_name": "a"}},
            "routing_constraint.cost_constraint",
            "expected {'numeric_value'",
        ),
        ({"cost_constraint": {"usd": 1}}, "routing_constraint.cost_constraint", "'usd' is unknown"),
        *(
            (
                {kind: {"numeric_value": value}},
                f"routing_constraint.{kind}.numeric_value",
                "expected a number",
            )
            for kind in ("cost_constraint", "quality_constraint")
            for value in ("1", True, NAN, math.inf, [1])
        ),
        (
            {"cost_constraint": {"numeric_value": -0.1}},
            "routing_constraint.cost_constraint.numeric_value",
            "at least 0",
        ),
        *(
            (
                {"quality_constraint": {"numeric_value": value}},
                "routing_constraint.quality_constraint.numeric_value",
                "from 0 to 1",
            )
            for value in (-1, 8)
        ),
        (
            {"quality_constraint": {"model_name": 3}},
            "routing_constraint.quality_constraint.model_name",
            "name",
        ),
    ],
)
def test_what_is_not_understood(told: Any, param: str, says: str) -> None:
    with pytest.raises(ConstraintError, match=says) as caught:
        Constraint.parse(told, LLMS)
    assert caught.value.param == param
    assert caught.value.unknown_llm is None


def test_an_unknown_llm_is_told_apart() -> None:
    with pytest.raises(ConstraintError, match="no LLM is named 'z'; there are a, b, c, d") as caught:
        Constraint.parse({"cost_constraint": {"model_name": "z"}}, LLMS)
    assert caught.value.unknown_llm == "z"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.5, Constraint("cost_constraint", 0.5)),
        ("a", Constraint("cost_constraint", llm="a")),
        ({"model_name": "a"}, Constraint("cost_constraint", llm="a")),
    ],
)
def test_a_configuration_may_name_the_limit_alone(value: Any, expected: Constraint) -> None:
    assert Constraint.of("cost_constraint", value, LLMS, "cost_constraint") == expected


def cost(limit: float) -> Constraint:
    return Constraint("cost_constraint", limit)


def quality(limit: float) -> Constraint:
    return Constraint("quality_constraint", limit)


@pytest.mark.parametrize(
    ("name", "qualities", "costs", "constraint", "chosen", "met"),
    [
        ("none: the best", [0.1, 0.4, 0.9, 0.5], [1, 2, 3, 4], None, "c", None),
        ("none: of equals the cheaper", [0.9, 0.4, 0.9, 0.5], [3, 2, 1, 4], None, "c", None),
        ("none: of equals at one cost the first name", [0.9, 0.4, 0.9, 0.5], [1, 2, 1, 4], None, "a", None),
        ("none: an unknown cost is the dearest", [0.9, 0.4, 0.9, 0.5], [NAN, 2, 3, 4], None, "c", None),
        ("cost: the best within it", [0.1, 0.4, 0.9, 0.5], [1, 2, 3, 4], cost(2.5), "b", True),
        ("cost: equality counts", [0.1, 0.4, 0.9, 0.5], [1, 2, 3, 4], cost(3), "c", True),
        ("cost: of equals the cheaper", [0.4, 0.4, 0.9, 0.5], [2, 1, 3, 4], cost(2), "b", True),
        ("cost: nobody meets it", [0.1, 0.4, 0.9, 0.5], [4, 3, 2, 1], cost(0.5), "d", False),
        ("cost: nobody, of equals the better", [0.1, 0.4, 0.9, 0.5], [1, 1, 2, 1], cost(0.5), "d", False),
        ("cost: unknown never meets it", [0.1, 0.4, 0.9, 0.5], [1, 2, NAN, 4], cost(9), "d", True),
        ("cost: all unknown", [0.1, 0.4, 0.9, 0.5], [NAN] * 4, cost(9), "c", False),
        ("cost: zero", [0.1, 0.4, 0.9, 0.5], [0, 2, 3, 4], cost(0), "a", True),
        (
            "cost: as that of an LLM, which meets it",
            [0.1, 0.4, 0.9, 0.5],
            [1, 2, 3, 4],
            Constraint("cost_constraint", llm="b"),
            "b",
            True,
        ),
        (
            "cost: as that of an LLM of unknown cost",
            [0.1, 0.4, 0.9, 0.5],
            [2, 1, NAN, 4],
            Constraint("cost_constraint", llm="c"),
            "b",
            False,
        ),
        (
            "quality: the cheapest that reaches it",
            [0.1, 0.4, 0.9, 0.5],
            [1, 4, 3, 2],
            quality(0.3),
            "d",
            True,
        ),
        ("quality: equality counts", [0.1, 0.4, 0.9, 0.5], [1, 2, 3, 4], quality(0.4), "b", True),
        ("quality: nobody reaches it", [0.1, 0.4, 0.9, 0.5], [1, 2, 3, 4], quality(0.95), "c", False),
        ("quality: unknown costs come last", [0.1, 0.6, 0.9, 0.5], [1, NAN, 3, 4], quality(0.5), "c", True),
        (
            "quality: as that of an LLM, which reaches it",
            [0.1, 0.4, 0.9, 0.5],
            [1, 2, 3, 1],
            Constraint("quality_constraint", llm="b"),
            "d",
            True,
        ),
    ],
)
def test_which_llm_is_chosen(
    name: str,
    qualities: list[float],
    costs: list[float],
    constraint: Constraint | None,
    chosen: str,
    met: bool | None,
) -> None:
    choice = choose(LLMS, qualities, costs, range(4), constraint)
    assert (LLMS[choice.number], choice.met) == (chosen, met)
    assert (choice.reason is None) == (met is not False)


def test_only_allowed_llms_are_chosen_but_any_sets_the_limit() -> None:
    choice = choose(LLMS, [0.1, 0.4, 0.9, 0.5], [1, 2, 3, 4], [0, 1], Constraint("cost_constraint", llm="c"))
    assert choice == Choice(1, True, 3)


def test_what_was_done_is_said() -> None:
    choice = choose(LLMS, [0.1, 0.4, 0.9, 0.5], [1, 2, 3, 4], range(4), quality(0.95))
    assert choice.limit == 0.95
    assert choice.reason == "no LLM reaches an expected quality of 0.95; took the highest expected quality"


@pytest.mark.parametrize(("trade_off", "chosen"), [(0, "c"), (0.1, "c"), (0.4, "a"), (10, "a")])
def test_a_trade_off_gives_up_quality_for_usd(trade_off: float, chosen: str) -> None:
    choice = choose(LLMS, [0.3, 0.4, 0.9, 0.5], [1, 2, 3, 4], range(4), trade_off=trade_off)
    assert LLMS[choice.number] == chosen


def test_a_trade_off_leaves_out_unknown_costs_unless_all_are() -> None:
    qualities = [0.1, 0.2, 0.9, 0.3]
    assert choose(LLMS, qualities, [1, 2, NAN, 3], range(4), trade_off=0.01).number == 3
    assert choose(LLMS, qualities, [NAN] * 4, range(4), trade_off=0.01).number == 2


def test_relative_weights_order_llms_of_unknown_cost() -> None:
    weights = [3.0, 1.0, 2.0, math.inf]
    assert choose(LLMS, [0.9] * 4, [NAN] * 4, range(4), quality(0.5), weights=weights).number == 1


SCORES = {"best": 0.9, "good": 0.8, "poor": 0.2, "unpriced": 0.7}
COSTS = {"best": 9.0, "good": 5.0, "poor": 1.0, "unpriced": None}


@pytest.mark.parametrize(
    ("constraint", "trade_off", "order"),
    [
        (None, None, ["best", "good", "unpriced", "poor"]),
        # Those within the limit, the best first; then the others, the cheapest first.
        ({COST: {NUMBER: 5.0}, "limit": 5.0}, None, ["good", "poor", "best", "unpriced"]),
        # Those good enough, the cheapest first; then the others, the best first.
        ({QUALITY: {NUMBER: 0.7}, "limit": 0.7}, None, ["good", "best", "unpriced", "poor"]),
        ({COST: {MODEL: "unpriced"}, "limit": None}, None, ["poor", "good", "best", "unpriced"]),
        (None, 0.2, ["poor", "good", "best", "unpriced"]),
        (None, 0.01, ["best", "good", "poor", "unpriced"]),
    ],
)
def test_the_ranking_keeps_to_what_was_asked(
    constraint: Any, trade_off: float | None, order: list[str]
) -> None:
    extra = {"expected_costs": COSTS, "trade_off": trade_off}
    gone = RoutingDecision(model_name="gone", scores=SCORES, constraint=constraint, extra=extra)
    assert ranked(gone, sorted(SCORES)) == order
    assert gone.ranking == ["gone", *order]


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 10) | st.just(NAN)), min_size=1, max_size=6),
    st.sampled_from([COST, QUALITY, None]),
    st.floats(0, 1),
    st.floats(0, 2),
)
def test_the_choice_is_the_first_of_the_ranking(
    told: list[tuple[float, float]], kind: str | None, number: float, trade_off: float
) -> None:
    llms = [f"llm{place}" for place in range(len(told))]
    qualities, costs = [pair[0] for pair in told], [pair[1] for pair in told]
    constraint = None if kind is None else Constraint(kind, number)
    choice = choose(llms, qualities, costs, range(len(llms)), constraint, trade_off)
    decision = RoutingDecision(
        model_name="gone",
        scores=dict(zip(llms, qualities, strict=True)),
        constraint=choice.told(constraint).get("constraint"),
        extra={
            "expected_costs": dict(
                zip(llms, [None if cost != cost else cost for cost in costs], strict=True)
            ),
            "trade_off": trade_off,
        },
    )
    assert ranked(decision, llms)[0] == llms[choice.number]
