"""Routers are measured by what they decide and tell, beside baselines; what fails is left out and listed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from llmrouter.decision import encode
from llmrouter.errors import DataError, LLMRouterError
from llmrouter.evaluation.baselines import choose_pair
from llmrouter.evaluation.evaluate import evaluate
from llmrouter.evaluation.outcomes import Outcomes
from llmrouter.evaluation.report import as_json, score_lines
from llmrouter.evaluation.result import Evaluation
from llmrouter.models.router import Router
from llmrouter.routing import DecisionEngine

Answer = Callable[[int], dict[str, Any]]


def outcomes(performance: Any, cost: Any = (1.0, 10.0), unit: str | None = "relative") -> Outcomes:
    table = np.array(performance, float)
    llms = ("small", "large", "huge")[: table.shape[1]]
    queries = [{"query": str(number)} for number in range(len(table))]
    return Outcomes(queries, llms, table, np.broadcast_to(np.array(cost, float), table.shape), unit)


def engine(answer: Answer, llms: tuple[str, ...] = ("small", "large")) -> DecisionEngine:
    class Made(Router):
        def route_single(self, query_input: dict[str, Any]) -> dict[str, Any]:
            return answer(int(query_input["query"]))

    router = Made()
    router.llm_data = {name: {} for name in llms}
    return DecisionEngine(router, "made", "1.0")


def measured(answer: Answer, found: Outcomes, **settings: Any) -> Evaluation:
    return evaluate({"made": engine(answer, found.llms)}, found, **{"resamples": 50, **settings})


# Of four queries the strong LLM alone answers 0 and 1, both answer 2, neither 3.
FOUR = [[0, 1], [0, 1], [1, 1], [0, 0]]


def test_a_router_without_scores_is_measured_by_its_decisions() -> None:
    result = measured(lambda n: {"model_name": "large" if n < 2 else "small"}, outcomes(FOUR)).routers[0]
    assert result.metrics["quality"].value == 0.75
    assert result.metrics["cost"].value == 5.5
    assert result.share == {"small": 0.5, "large": 0.5}
    # PGR is 0, 1/2, 1, 1, 1.
    assert result.metrics["apgr"].value == pytest.approx(0.75)
    assert result.metrics["cpt80"].value == 0.5
    # (0.5 of its own) below a cost of 5.5 mixed with nothing, then its own quality.
    at_one = 0.75 / 5.5
    assert result.metrics["aiq"].value == pytest.approx(((at_one + 0.75) / 2 + 0.75) / 2)
    assert result.curve is None
    assert any("tells no scores" in note for note in result.notes)


def test_scores_order_the_queries_whatever_is_decided() -> None:
    def answer(number: int) -> dict[str, Any]:
        return {"model_name": "small", "scores": {"small": 0.5, "large": np.float32(1 - number / 10)}}

    result = measured(answer, outcomes(FOUR)).routers[0]
    assert result.metrics["quality"].value == 0.25
    assert result.metrics["apgr"].value == pytest.approx(0.75)
    # The curve from (1, 1/4) over (5.5, 3/4) on.
    assert result.metrics["aiq"].value == pytest.approx((0.5 + 0.75) / 2)
    assert result.curve is not None
    assert result.curve.share is not None
    assert result.curve.share.tolist() == [0, 0.25, 0.5, 0.75, 1]


def test_expected_costs_of_the_router_serve_its_sweep() -> None:
    scores = {"small": 0.4, "large": 0.5, "huge": 0.6}
    # By mean costs large is a point of the sweep, by those told it is dearer than huge.
    expected = {"small": 1, "large": 9, "huge": 2}
    for extra, points in (({}, 3), ({"expected_costs": expected}, 2)):
        found = measured(
            lambda n, extra=extra: {"model_name": "huge", "scores": scores, **extra},  # type: ignore[misc]
            outcomes([[0.1, 0.8, 0.9]] * 3, (1, 2, 9)),
        )
        curve = found.routers[0].curve
        assert curve is not None
        assert len(set(curve.cost.tolist())) == points


def test_baselines() -> None:
    found = {one.name: one for one in measured(lambda n: {"model_name": "small"}, outcomes(FOUR)).baselines}
    assert (found["cheapest"].llm, found["best_single"].llm) == ("small", "large")
    assert found["random"].metrics["quality"].value == 0.5
    assert found["random"].metrics["cost"].value == 5.5
    assert found["zero_router"].metrics["aiq"].value == pytest.approx(0.5)
    oracle = found["oracle"].metrics
    assert (oracle["quality"].value, oracle["cost"].value) == (0.75, 5.5)
    assert oracle["apgr"].value == pytest.approx(0.75)
    assert oracle["aiq"].value == pytest.approx((0.5 + 0.75) / 2)


def test_with_the_costs_unknown_quality_remains() -> None:
    found = measured(lambda n: {"model_name": "large"}, outcomes(FOUR, (1, np.nan), None))
    metrics = found.routers[0].metrics
    assert (metrics["quality"].value, metrics["cost"].value, metrics["aiq"].value) == (0.75, None, None)
    assert any("the cost of an LLM is unknown" in note for note in found.routers[0].notes)
    assert "cheapest" not in {one.name for one in found.baselines}


def test_more_than_two_llms_have_no_pair_unless_named() -> None:
    three = outcomes([[0, 1, 1], [1, 1, 0]], (1, 2, 3))
    plain = measured(lambda n: {"model_name": "huge"}, three)
    assert (plain.weak, plain.routers[0].metrics["apgr"].value) == (None, None)
    named = measured(lambda n: {"model_name": "large"}, three, weak="small", strong="large")
    assert named.routers[0].metrics["apgr"].value == pytest.approx(0.75, abs=0.26)


def test_equal_quality_leaves_two_llm_metrics_undefined_and_says_so() -> None:
    result = measured(lambda n: {"model_name": "small"}, outcomes([[0, 1], [1, 0]])).routers[0]
    assert [result.metrics[name].value for name in ("apgr", "cpt50", "cpt80")] == [None] * 3
    assert "APGR and CPT are undefined: 'large' performs no better than 'small'" in result.notes


def test_a_failed_query_is_left_out_and_listed() -> None:
    found = measured(lambda n: {"model_name": "large"} if n else {"model_name": "gpt-9"}, outcomes(FOUR))
    assert found.routers[0].metrics["quality"].value == pytest.approx(2 / 3)
    told = as_json(found)["routers"][0]["failed"]
    assert [(one["query"], "gpt-9" in one["error"]) for one in told] == [("0", True)]
    lines = list(score_lines(found))
    assert (lines[0]["decision"], lines[1]["decision"]) == (None, "large")


def test_a_router_that_always_fails_has_no_figures() -> None:
    found = measured(lambda n: {}, outcomes(FOUR))
    assert {interval.value for interval in found.routers[0].metrics.values()} == {None}
    assert len(as_json(found)["routers"][0]["failed"]) == 4


def test_score_lines_suffice_to_recompute() -> None:
    found = measured(
        lambda n: {"model_name": "small", "scores": {"small": 1.0, "large": 0.0}}, outcomes(FOUR)
    )
    assert encode(next(iter(score_lines(found)))) == (
        b'{"router":"made","query":"0","id":null,"task_name":null,"scores":{"small":1.0,"large":0.0},'
        b'"expected_costs":null,"decision":"small","error":null,"performance":{"small":0.0,"large":1.0},'
        b'"cost":{"small":1.0,"large":10.0}}'
    )


def test_a_candidate_without_outcomes_is_an_error() -> None:
    with pytest.raises(DataError, match="made has the candidates 'huge', of which the data hold no outcomes"):
        evaluate({"made": engine(lambda n: {}, ("small", "huge"))}, outcomes(FOUR))


@pytest.mark.parametrize(
    ("performance", "cost", "pair"),
    [
        ([[1, 0]], (1, 2), (0, 1)),
        ([[0, 1]], (2, 1), (1, 0)),
        ([[0, 1]], (1, 1), (0, 1)),  # of equal cost the better is strong
        ([[1, 0]], (np.nan, 1), (1, 0)),
    ],
)
def test_the_cheaper_llm_is_weak(performance: Any, cost: Any, pair: tuple[int, int]) -> None:
    assert choose_pair(outcomes(performance, cost), None, None) == pair


def test_one_name_implies_the_other_of_two() -> None:
    assert choose_pair(outcomes(FOUR), None, "small") == (1, 0)
    assert choose_pair(outcomes(FOUR), "large", None) == (1, 0)


@pytest.mark.parametrize(
    ("llms", "weak", "strong", "told"),
    [
        (2, "tiny", None, "no LLM is named 'tiny'; there are small, large"),
        (2, "small", "small", "both 'small'"),
        (3, "small", None, "name the weak and the strong one both"),
    ],
)
def test_a_wrong_pair_is_an_error(llms: int, weak: str | None, strong: str | None, told: str) -> None:
    found = outcomes(np.eye(llms), np.arange(llms))
    with pytest.raises(LLMRouterError, match=told):
        evaluate({"made": engine(lambda n: {}, found.llms)}, found, weak=weak, strong=strong)
