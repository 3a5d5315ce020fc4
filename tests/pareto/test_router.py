"""What the router tells of a query, under which constraints."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from llmrouter.errors import CheckpointError, ConfigError, LLMRouterError, RoutingError
from llmrouter.routing import DecisionEngine
from tests.pareto.conftest import CANDIDATES, outcomes, texts

if TYPE_CHECKING:
    from llmrouter_pareto.router import ParetoRouter

pytestmark = pytest.mark.torch

EASY, HARD = {"query": "name a thing river stone"}, {"query": "prove the theorem cloud winter"}


def cost(limit: Any) -> dict[str, Any]:
    value = {"model_name": limit} if isinstance(limit, str) else {"numeric_value": limit}
    return {"routing_constraint": {"cost_constraint": value}}


def quality(limit: Any) -> dict[str, Any]:
    value = {"model_name": limit} if isinstance(limit, str) else {"numeric_value": limit}
    return {"routing_constraint": {"quality_constraint": value}}


def remade(learned: bytes, candidates: Any = CANDIDATES, **hparam: Any) -> ParetoRouter:
    from llmrouter_pareto import ParetoRouter

    return ParetoRouter.from_checkpoint(learned, candidates, hparam)


def test_the_plugin_imports_no_torch() -> None:
    program = "import llmrouter_pareto.plugin, sys; assert not {'torch', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_small_llm_is_expected_to_fail_where_it_does(router: ParetoRouter) -> None:
    told = router.predict([EASY, HARD])
    assert told.llms == ("small", "large")
    assert told.quality[0, 0] > 0.8 > 0.2 > told.quality[1, 0]
    assert (told.quality[:, 1] > 0.8).all()


def test_costs_are_lengths_times_prices(router: ParetoRouter) -> None:
    told = router.predict([EASY, HARD])
    # Prompt tokens as the LLMs counted them, 20 at 2 USD per million; answers of 80 and 800 tokens at 8.
    assert told.cost[0, 1] == pytest.approx((20 * 2 + 80 * 8) / 1e6, rel=0.2)
    assert told.cost[1, 1] == pytest.approx((20 * 2 + 800 * 8) / 1e6, rel=0.2)


def test_prices_are_those_of_now(learned: bytes, router: ParetoRouter) -> None:
    prices = {"input_price": 4.0, "output_price": 16.0}
    dearer = remade(learned, {"small": CANDIDATES["small"], "large": prices})
    assert dearer.predict([HARD]).cost[0, 1] == pytest.approx(2 * router.predict([HARD]).cost[0, 1])
    free = remade(learned, {"small": {}, "large": prices})
    assert math.isnan(free.predict([HARD]).cost[0, 0])
    result = free.route_single({**EASY, **cost(1.0)})
    assert result["model_name"] == "large"
    assert result["expected_costs"]["small"] is None


def test_max_tokens_bounds_the_cost(router: ParetoRouter) -> None:
    (whole,) = router.predict([HARD]).cost
    (bounded,) = router.predict([{**HARD, "max_tokens": 10}]).cost
    assert bounded[1] < whole[1] / 10
    assert (router.predict([{**HARD, "max_tokens": 10**6}]).cost == whole).all()
    with pytest.raises(LLMRouterError, match="'max_tokens': expected a number from 0, found '9'"):
        router.predict([{**HARD, "max_tokens": "9"}])


def test_messages_and_tools_make_the_prompt_longer(router: ParetoRouter) -> None:
    history = [{"role": "user", "content": "x" * 40_000}, {"role": "user", "content": HARD["query"]}]
    (short,), (long,) = router.predict([HARD]).cost, router.predict([{**HARD, "messages": history}]).cost
    assert long[1] > short[1] + 10_000 * 2 / 1e6 / 3
    (with_tools,) = router.predict([{**HARD, "tools": [{"description": "x" * 4000}]}]).cost
    assert with_tools[1] > short[1]


def test_without_a_constraint_the_best_is_chosen(router: ParetoRouter) -> None:
    result = router.route_single(HARD)
    assert result["model_name"] == "large"
    assert result["confidence"] == result["scores"]["large"]
    assert result["expected_cost"] == result["expected_costs"]["large"]
    assert "constraint" not in result


@pytest.mark.parametrize(
    ("query", "chosen", "met"),
    [
        ({**EASY, **quality(0.7)}, "small", True),
        ({**HARD, **quality(0.7)}, "large", True),
        ({**HARD, **quality(1)}, "large", False),
        ({**EASY, **quality("small")}, "small", True),
        ({**HARD, **quality("large")}, "large", True),
        ({**HARD, **cost(1)}, "large", True),
        ({**HARD, **cost(0)}, "small", False),
        ({**HARD, **cost("small")}, "small", True),
        ({**HARD, **cost("large")}, "large", True),
        ({**HARD, **quality(0.7), "allowed_llms": ["small"]}, "small", False),
    ],
)
def test_a_querys_constraint_is_kept_to(router: ParetoRouter, query: Any, chosen: str, met: bool) -> None:
    decision = DecisionEngine(router, "paretorouter").decide(query)
    assert decision.model_name == chosen
    assert decision.extra is not None
    assert decision.extra["constraint_met"] is met
    ((kind, value),) = query["routing_constraint"].items()
    assert decision.constraint[kind] == value
    assert isinstance(decision.constraint["limit"], float)
    assert (decision.fallback_reason is None) == met


def test_a_limit_that_is_exactly_the_expected_cost_is_met(router: ParetoRouter) -> None:
    expected = float(router.predict([HARD]).cost[0, 1])
    assert router.route_single({**HARD, **cost(expected)})["model_name"] == "large"
    assert router.route_single({**HARD, **cost(expected * (1 - 1e-9))})["model_name"] == "small"


def test_the_configuration_holds_where_a_query_says_nothing(learned: bytes) -> None:
    router = remade(learned, quality_constraint=0.7)
    assert router.route_single(EASY)["model_name"] == "small"
    assert router.route_single({**EASY, **cost(1)})["constraint"]["cost_constraint"] == {"numeric_value": 1}
    assert remade(learned, trade_off=100).route_single(EASY)["model_name"] == "small"
    assert remade(learned, trade_off=100).route_single(HARD)["model_name"] == "large"
    assert remade(learned, trade_off=10_000).route_single(HARD)["model_name"] == "small"


@pytest.mark.parametrize(
    ("hparam", "says"),
    [
        ({"cost_constraint": -1}, "hparam.cost_constraint: a cost is at least 0"),
        ({"quality_constraint": "medium"}, "no LLM is named 'medium'; there are small, large"),
        (
            {"cost_constraint": 1, "trade_off": 1},
            "hparam.trade_off: is one way to choose and cost_constraint",
        ),
        ({"cost_constraint": 1, "quality_constraint": 1}, "is one way to choose"),
    ],
)
def test_a_configuration_that_cannot_be_used(learned: bytes, hparam: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        remade(learned, **hparam)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        (cost(-1), "routing_constraint.cost_constraint.numeric_value: a cost is at least 0"),
        (
            {"routing_constraint": {**cost(1)["routing_constraint"], **quality(1)["routing_constraint"]}},
            "keep one",
        ),
        ({"allowed_llms": ["medium"]}, "'allowed_llms' names no candidate; expected a list, of small, large"),
    ],
)
def test_a_query_that_cannot_be_understood(router: ParetoRouter, keys: Any, says: str) -> None:
    engine = DecisionEngine(router, "paretorouter")
    with pytest.raises(RoutingError, match=says):
        engine.decide({**EASY, **keys})
    # In a batch the others go on.
    first, second = engine.decide_batch([{**EASY, **keys}, EASY])
    assert isinstance(first, RoutingError)
    assert not isinstance(second, RoutingError)


def test_only_allowed_llms_are_chosen(router: ParetoRouter) -> None:
    result = router.route_single({**HARD, "allowed_llms": ["small", "unheard of"]})
    assert result["model_name"] == "small"
    assert result["scores"].keys() == {"small", "large"}


def test_a_batch_decides_as_its_queries_alone(router: ParetoRouter) -> None:
    batch: list[dict[str, Any]] = [{"query": text, **quality(0.7)} for text in texts(60, seed=1)]
    together = router.route_batch(batch)
    alone = [router.route_single(query) for query in batch]
    assert [result["model_name"] for result in together] == [result["model_name"] for result in alone]
    for one, other in zip(together, alone, strict=True):
        assert one["scores"] == pytest.approx(other["scores"], abs=0.02)
    assert router.route_batch([]) == []


def test_an_untrained_router_says_so(project: Callable[..., str]) -> None:
    from llmrouter_pareto import ParetoRouter

    router = ParetoRouter(project())
    with pytest.raises(LLMRouterError, match="is not trained; run 'llmrouter train'"):
        router.route_single(EASY)
    with pytest.raises(CheckpointError, match="has nothing to save"):
        router.save_router("x.safetensors")


def test_candidates_may_be_fewer_than_were_trained(learned: bytes) -> None:
    router = remade(learned, {"large": CANDIDATES["large"]})
    assert router.llm_names == ["large"]
    assert router.route_single(EASY)["scores"].keys() == {"large"}


def test_candidates_of_which_training_did_not_tell_are_never_chosen(
    learned: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    router = remade(learned, {"new": {}, **CANDIDATES})
    assert "new cannot be chosen" in caplog.text
    assert "new" not in router.route_single(EASY)["scores"]
    with pytest.raises(CheckpointError, match="none of which is a candidate"):
        remade(learned, {"new": {}})


def test_fifty_llms() -> None:
    from llmrouter_pareto import train

    names = [f"llm{number:02}" for number in range(50)]
    candidates = {
        name: {"input_price": 1.0, "output_price": 1.0 + number} for number, name in enumerate(names)
    }
    learned = train(outcomes(texts(60), names), candidates)
    result = remade(learned, candidates, quality_constraint=0.7).route_single(HARD)
    assert len(result["scores"]) == 50
    assert result["model_name"] == "llm01"


UNPRICED: dict[str, dict[str, Any]] = {"small": {"cost": 1}, "large": {"cost": 9}}


@pytest.mark.parametrize(
    ("candidates", "hparam", "says"),
    [
        (UNPRICED, {"cost_constraint": 0.001}, "cost_constraint: the cost of every LLM is unknown"),
        (UNPRICED, {"cost_constraint": 0}, "cost_constraint: the cost of every LLM is unknown"),
        (UNPRICED, {"cost_constraint": "small"}, "cost_constraint: the cost of small is unknown"),
        (UNPRICED, {"trade_off": 5}, "trade_off: the cost of every LLM is unknown; give input_price"),
        ({**CANDIDATES, "large": {}}, {"cost_constraint": "large"}, "cost_constraint: the cost of large is"),
        # A price of an LLM that may not be chosen is of no use.
        ({"large": {}, "new": CANDIDATES["small"]}, {"trade_off": 5}, "the cost of every LLM is unknown"),
    ],
)
def test_a_cost_that_nobody_knows_is_an_error_at_the_start(
    learned: bytes, candidates: Any, hparam: Any, says: str
) -> None:
    with pytest.raises(ConfigError, match=f"hparam.*{says}"):
        remade(learned, candidates, **hparam)


@pytest.mark.parametrize(
    ("candidates", "hparam"),
    [
        (UNPRICED, {}),
        (UNPRICED, {"trade_off": 0}),
        (UNPRICED, {"quality_constraint": 0.5}),
        (UNPRICED, {"quality_constraint": "small"}),
        ({**CANDIDATES, "large": {}}, {"cost_constraint": 0.001}),
        ({**CANDIDATES, "large": {}}, {"cost_constraint": "small"}),
        ({**CANDIDATES, "large": {}}, {"trade_off": 5}),
    ],
)
def test_one_known_cost_is_enough(learned: bytes, candidates: Any, hparam: Any) -> None:
    assert remade(learned, candidates, **hparam).route_single(EASY)["model_name"] in candidates


def test_what_a_query_asks_of_unknown_costs_is_answered_with_the_reason(learned: bytes) -> None:
    result = remade(learned, UNPRICED).route_single({**EASY, **cost(0.001)})
    assert (result["constraint_met"], result["fallback"]) == (False, True)
    assert result["fallback_reason"].endswith("no cost is known; took the highest expected quality")


def test_training_says_so_before_it_begins(project: Callable[..., str]) -> None:
    from llmrouter_pareto import ParetoRouter
    from llmrouter_pareto.trainer import ParetoTrainer

    path = project(candidates=UNPRICED, cost_constraint=0.001)
    router = ParetoRouter(path)
    trainer = ParetoTrainer(router, router.cfg)
    trainer.report = lambda *told: pytest.fail("it began")
    with pytest.raises(ConfigError, match=rf"{path}:\d+: hparam.cost_constraint: the cost of every LLM"):
        trainer.train()
    # Costs that the rows tell are known without a price.
    rows = [{**row, "cost": 0.001} for row in outcomes(texts(120))]
    for row in rows:
        del row["prompt_tokens"], row["completion_tokens"]
    router = ParetoRouter(project(rows, UNPRICED, cost_constraint=0.01))
    ParetoTrainer(router, router.cfg).train()
    assert router.route_single(EASY)["constraint_met"] is True
