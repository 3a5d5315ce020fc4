"""What training makes of routing data: complete or sparse, many or few."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmrouter.errors import ConfigError, DataError
from tests.pareto.conftest import CANDIDATES, outcomes, texts

pytestmark = pytest.mark.torch

EASY, HARD = {"query": "name a thing river stone"}, {"query": "prove the theorem cloud winter"}


def trained(rows: Any, candidates: Any = CANDIDATES, **hparam: Any) -> Any:
    from llmrouter_pareto import ParetoRouter, train

    return ParetoRouter.from_checkpoint(train(rows, candidates, hparam), candidates)


def test_the_same_rows_in_any_order_give_the_same_bytes(learned: bytes) -> None:
    from llmrouter_pareto import train

    rows = outcomes(texts(120))
    random.Random(1).shuffle(rows)
    assert train(rows, CANDIDATES) == learned
    assert train(rows, CANDIDATES, {"seed": 1}) != learned


def test_no_text_of_a_query_is_kept(learned: bytes) -> None:
    assert b"prove the theorem" not in learned


def test_what_is_told_of_the_training(router: Any) -> None:
    trained = router.trained
    assert trained["data"].startswith("sha256:")
    assert trained["queries"] == 120
    assert trained["labels"] == {"small": 120, "large": 120}
    assert trained["means_only"] is False
    assert trained["metrics"]["calibration_error"] < 0.1
    assert 1 <= trained["metrics"]["cost_factor"] < 1.4
    assert trained["metrics"]["brier"] < 0.05


def test_progress_is_reported() -> None:
    from llmrouter_pareto import train

    told: list[tuple[int, int]] = []
    train(outcomes(texts(60)), CANDIDATES, {"folds": 2}, lambda done, parts, _: told.append((done, parts)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_sparse_outcomes() -> None:
    draw = random.Random(0)
    rows = [row for row in outcomes(texts(300)) if draw.random() < 0.5]
    told = trained(rows).predict([EASY, HARD])
    assert told.quality[0, 0] > 0.75 > 0.3 > told.quality[1, 0]
    assert told.cost[1, 1] > 3 * told.cost[0, 1]


def test_a_new_llm_with_few_outcomes_leans_on_the_others() -> None:
    """It answered easy queries alone, well; the others say that proofs are hard."""
    llms = {"old": CANDIDATES["small"], "older": CANDIDATES["small"], "new": CANDIDATES["small"]}
    rows = [{**row, "model_name": name} for row in outcomes(texts(200), ["old"]) for name in ("old", "older")]
    rows += [{**row, "model_name": "new"} for row in outcomes(texts(20), ["new"])][::2]
    told = trained(rows, llms, common_decay=0.1).predict([EASY, HARD])
    new = told.llms.index("new")
    assert told.quality[0, new] > told.quality[1, new] + 0.2


def test_few_queries_fall_back_to_means(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        router = trained(outcomes(texts(40)))
    assert "40 queries are too few to tell them apart (50 are needed)" in caplog.text
    assert router.trained["means_only"] is True
    told = router.predict([EASY, HARD, {"query": ""}])
    assert told.quality[:, 0] == pytest.approx([0.5] * 3, abs=1e-3)
    assert told.quality[:, 1] == pytest.approx([1.0] * 3, abs=1e-3)
    assert told.cost[0, 1] == pytest.approx((20 * 2 + 440 * 8) / 1e6, rel=0.1)
    assert router.route_single(HARD)["model_name"] == "large"


def test_one_query_and_one_llm_are_enough() -> None:
    assert trained(outcomes(texts(1), ["small"])).route_single(EASY)["model_name"] == "small"


def test_costs_that_were_observed_are_predicted_directly() -> None:
    rows = [
        {"query": row["query"], "model_name": row["model_name"], "performance": 1.0, "cost": usd}
        for row in outcomes(texts(120))
        for usd in [0.01 if row["query"].startswith("prove") else 0.001]
    ]
    told = trained(rows, {"small": {}, "large": {}}).predict([EASY, HARD])
    assert told.cost[0] == pytest.approx([0.001] * 2, rel=0.5)
    assert told.cost[1] == pytest.approx([0.01] * 2, rel=0.5)


def test_a_dense_encoder_and_embeddings_that_queries_bring() -> None:
    rows = [
        {**row, "embedding": [1.0, 0.1 * number, 1.0 if row["query"].startswith("prove") else -1.0]}
        for number, row in enumerate(outcomes(texts(120)))
    ]
    router = trained(rows, encoder="none")
    told = router.predict([{"query": "", "embedding": [1.0, 5.0, hard]} for hard in (-1.0, 1.0)])
    assert told.quality[0, 0] > 0.8 > 0.2 > told.quality[1, 0]
    with pytest.raises(Exception, match="no 'embedding'"):
        router.predict([EASY])


def test_a_memory_that_is_bounded() -> None:
    router = trained(outcomes(texts(120)), memory=30)
    assert router.learned.predictor.model.shape.memory == 30
    assert router.predict([HARD]).quality[0, 0] < 0.3


def test_the_summary(router: Any) -> None:
    summary = router.summary
    assert summary["queries"] == 120
    assert summary["llms"]["small"]["quality"] == 0.5
    assert summary["llms"]["small"]["cost"] == pytest.approx((20 * 0.1 + 220 * 0.4) / 1e6)
    assert [one["frontier"] for one in summary["llms"].values()] == [True, True]
    frontier = summary["frontier"]
    assert [point["trade_off"] for point in frontier] == sorted(
        (point["trade_off"] for point in frontier), reverse=True
    )
    best = frontier[-1]
    assert best["trade_off"] == 0
    # Better than the line between the single LLMs: proofs alone go to the large one.
    assert any(
        point["quality"] > 0.9 and point["cost"] < 0.95 * summary["llms"]["large"]["cost"]
        for point in frontier
    )
    assert any(point["hull"] for point in frontier)
    for point in (*frontier, *summary["constraints"]):
        assert sum(point["share"].values()) == pytest.approx(1)
    kinds = [next(iter(one["constraint"])) for one in summary["constraints"]]
    assert set(kinds) == {"cost_constraint", "quality_constraint"}


def test_the_summary_without_prices() -> None:
    router = trained(outcomes(texts(60)), {"small": {}, "large": {}})
    assert router.summary["frontier"] == []
    assert router.summary["llms"]["small"]["cost"] is None


def test_votes_for_the_best_llm_are_shares_of_quality() -> None:
    easy, hard = "What is the capital of France?", "Prove that there are infinitely many primes"
    rows = [{"query": f"{easy} {number}", "best_llm": "small"} for number in range(60)]
    rows += [{"query": f"{hard} {number}", "best_llm": "large"} for number in range(60)]
    router = trained(rows)
    for query, best in ((easy, "small"), (hard, "large")):
        assert router.route_single({"query": query})["model_name"] == best
    assert router.summary["llms"]["small"]["quality"] == 0.5


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([], "no row says how well a candidate did"),
        ([{"query": "q", "model_name": "other", "performance": 1}], "no row says"),
        ([{"query": "q", "model_name": "small", "performance": 2}], "from 0 to 1, found 2"),
        (
            [{"query": "q", "model_name": "small", "performance": 1, "cost": -1}],
            "cost: routing data: expected",
        ),
    ],
)
def test_rows_that_cannot_be_used(rows: Any, says: str) -> None:
    with pytest.raises(DataError, match=says):
        trained(rows)


@pytest.mark.parametrize(
    ("hparam", "says"),
    [
        ({"neighbors": 0}, "hparam.neighbors: expected a whole number from 1 to 10.12, found 0"),
        ({"folds": 1}, "a whole number from 2"),
        ({"seed": -1}, "a whole number from 0"),
        ({"weight_decay": 0}, "a number above 0"),
        ({"trade_off": "much"}, "a number from 0, found 'much'"),
        ({"encoder": 3}, "expected text, found 3"),
        ({"embedding_cache": 3}, "expected true, false or a folder"),
    ],
)
def test_hyperparameters_that_are_wrong(hparam: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        trained(outcomes(texts(2)), **hparam)


def test_the_trainer_saves_what_can_be_loaded(project: Callable[..., str], learned: bytes) -> None:
    from llmrouter_pareto import ParetoRouter
    from llmrouter_pareto.trainer import ParetoTrainer

    router = ParetoRouter(project())
    ParetoTrainer(router, router.cfg).train()
    assert Path("model.safetensors").read_bytes() == learned
    again = ParetoRouter("config.yaml")
    again.load_router("model.safetensors")
    batch = [{"query": text} for text in texts(20, seed=3)]
    assert again.route_batch(batch) == router.route_batch(batch)


def test_the_trainer_says_what_is_missing(config: Callable[..., str]) -> None:
    from llmrouter_pareto import ParetoRouter
    from llmrouter_pareto.trainer import ParetoTrainer

    router = ParetoRouter(config(CANDIDATES))
    with pytest.raises(ConfigError, match=r"model_path\.save_model_path: is missing"):
        ParetoTrainer(router, router.cfg).train()
    router = ParetoRouter(config(CANDIDATES, model_path={"save_model_path": "m.safetensors"}))
    with pytest.raises(ConfigError, match=r"data_path\.routing_data_train: is missing"):
        ParetoTrainer(router, router.cfg).train()
