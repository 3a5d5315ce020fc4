"""The router and its trainer, on files as users have them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmrouter.errors import CheckpointError, ConfigError, DataError, LLMRouterError
from llmrouter.models.arrays import read_arrays, write_arrays
from llmrouter_knn.router import KnnRouter
from llmrouter_knn.trainer import KnnTrainer
from tests.knn.conftest import CANDIDATES, outcomes

PLANT, SHIP = {"query": "tell me of the rose and the oak"}, {"query": "tell me of the sail in a storm"}
Trained = Callable[..., KnnRouter]
Configured = Callable[..., Path]


def test_neither_the_plugin_nor_the_router_imports_torch() -> None:
    light = "import llmrouter_knn.plugin, sys; assert not {'numpy', 'faiss'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", light], check=True)
    subprocess.run(
        [sys.executable, "-c", "import llmrouter_knn.trainer, sys; assert 'torch' not in sys.modules"],
        check=True,
    )


@pytest.mark.parametrize("encoder", ["wordllama", "hashing"])
def test_each_query_goes_to_who_knew_the_like(trained: Trained, encoder: str) -> None:
    told = trained(encoder=encoder).route_batch([PLANT, SHIP])
    assert [one["model_name"] for one in told] == ["botanist", "sailor"]
    assert told[0]["scores"]["botanist"] > 0.6 > 0.4 > told[0]["scores"]["sailor"]
    assert told[0]["confidence"] == told[0]["scores"]["botanist"]
    assert told[0]["expected_cost"] is None


def test_one_query_is_routed_as_among_others(trained: Trained) -> None:
    router = trained()
    batch = [PLANT, SHIP, {"query": ""}, {"query": "海"}]
    for alone, among in zip(map(router.route_single, batch), router.route_batch(batch), strict=True):
        assert alone["model_name"] == among["model_name"]
        assert alone["scores"] == pytest.approx(among["scores"], abs=1e-5)


def test_what_is_saved_routes_alike(trained: Trained, configured: Configured) -> None:
    router = trained(outcomes(botanist=0.1, sailor=0.3))
    path = router.cfg["model_path"]["save_model_path"]
    again = KnnRouter(str(configured()))
    again.load_router(path)
    assert again.route_batch([PLANT, SHIP]) == router.route_batch([PLANT, SHIP])
    assert again.trained == router.trained
    assert router.trained["queries"] == 12


def test_queries_may_bring_their_embeddings(trained: Trained, configured: Configured) -> None:
    rows = [
        {**row, "embedding": [1.0, 0.1] if "tell" in row["query"] and number < 12 else [0.0, 1.0]}
        for number, row in enumerate(outcomes())
    ]
    router = trained(rows, encoder="none")
    assert router.route_single({"query": "?", "embedding": [0.9, 0.2]})["model_name"] == "botanist"
    assert router.route_single({"query": "?", "embedding": [0.0, 2.0]})["model_name"] == "sailor"
    again = KnnRouter(str(configured()))
    again.load_router(router.cfg["model_path"]["save_model_path"])
    with pytest.raises(LLMRouterError, match="has 3 numbers, not 2"):
        again.route_single({"query": "?", "embedding": [0.9, 0.2, 1]})
    with pytest.raises(LLMRouterError, match="'embedding'"):
        again.route_single({"query": "?"})


def test_only_allowed_llms_are_chosen(trained: Trained) -> None:
    router = trained()
    assert router.route_single({**PLANT, "allowed_llms": ["sailor"]})["model_name"] == "sailor"
    with pytest.raises(LLMRouterError, match="names no candidate"):
        router.route_single({**PLANT, "allowed_llms": ["cook"]})


def test_a_trade_off_weighs_quality_against_cost(trained: Trained) -> None:
    costs = outcomes(botanist=0.01, sailor=1.0)
    assert trained(costs, trade_off=0.2).route_single(SHIP)["model_name"] == "sailor"
    told = trained(costs, trade_off=2).route_single(SHIP)
    assert told["model_name"] == "botanist"
    assert told["expected_cost"] == pytest.approx(0.01)
    assert told["expected_costs"]["sailor"] == pytest.approx(1.0)


def test_an_llm_of_unknown_cost_meets_no_trade_off(trained: Trained) -> None:
    rows = [{**row, "cost": 1.0} if row["model_name"] == "sailor" else row for row in outcomes()]
    told = trained(rows, trade_off=2).route_single(PLANT)
    assert told["model_name"] == "sailor"
    assert told["expected_costs"] == {"botanist": None, "sailor": pytest.approx(1.0)}


def test_a_trade_off_without_any_cost_is_an_error_at_the_start(
    trained: Trained, configured: Configured
) -> None:
    told = r"config.yaml:\d+: hparam.trade_off: the cost of every LLM is unknown; give input_price"
    with pytest.raises(ConfigError, match=told):
        trained(trade_off=2)
    path = trained().cfg["model_path"]["save_model_path"]
    with pytest.raises(ConfigError, match=told):
        KnnRouter(str(configured(trade_off=2))).load_router(path)


@pytest.mark.parametrize(("costs", "first"), [({"b": 0.1, "a": 0.2}, "b"), ({"b": 0.1, "a": 0.1}, "a")])
def test_of_equals_the_cheaper_is_taken_then_by_name(
    trained: Trained, costs: dict[str, float], first: str
) -> None:
    rows = [
        {"query": f"q{number}", "model_name": name, "performance": 1, "cost": cost}
        for number in range(5)
        for name, cost in costs.items()
    ]
    assert trained(rows, {key: {} for key in costs}).route_single({"query": "q"})["model_name"] == first


def test_candidates_it_was_not_trained_on_are_left_out(
    trained: Trained, configured: Configured, caplog: pytest.LogCaptureFixture
) -> None:
    path = trained().cfg["model_path"]["save_model_path"]
    router = KnnRouter(str(configured(candidates={"sailor": {}, "cook": {}})))
    router.load_router(path)
    assert "cook cannot be chosen" in caplog.text
    assert router.route_single(PLANT)["scores"].keys() == {"sailor"}
    with pytest.raises(CheckpointError, match=r"botanist, sailor, none of which is a candidate"):
        KnnRouter(str(configured(candidates={"cook": {}}))).load_router(path)


def test_an_untrained_router_says_what_to_do(configured: Configured, tmp_path: Path) -> None:
    router = KnnRouter(str(configured()))
    with pytest.raises(LLMRouterError, match="run 'llmrouter train'"):
        router.route_single(PLANT)
    with pytest.raises(CheckpointError, match="nothing to save"):
        router.save_router(tmp_path / "m.safetensors")
    with pytest.raises(CheckpointError, match="train the router first"):
        router.load_router(tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    ("hparam", "problem"),
    [
        ({"k": 0}, "whole number from 1"),
        ({"k": True}, "whole number from 1"),
        ({"temperature": 0}, "above 0"),
        ({"trade_off": -1}, "from 0"),
        ({"search": "annoy"}, "auto, numpy, faiss or hnswlib"),
        ({"encoder": 3}, "expected text"),
        ({"embedding_cache": 3}, "true, false or a folder"),
    ],
)
def test_a_wrong_hyperparameter_is_told(configured: Configured, hparam: Any, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        KnnRouter(str(configured(**hparam)))


@pytest.mark.parametrize(
    ("section", "key", "problem"),
    [
        ("model_path", "save_model_path", "name a file"),
        ("data_path", "routing_data_train", "training needs it"),
    ],
)
def test_training_says_what_is_missing(configured: Configured, section: str, key: str, problem: str) -> None:
    config = configured()
    told = json.loads(config.read_text())
    del told[section][key]
    config.write_text(json.dumps(told))
    router = KnnRouter(str(config))
    with pytest.raises(ConfigError, match=problem):
        KnnTrainer(router, router.cfg).train()


def test_training_reports_and_refuses_data_of_other_llms(configured: Configured) -> None:
    router = KnnRouter(str(configured()))
    trainer, parts = KnnTrainer(router, router.cfg), []
    trainer.report = lambda done, total, figures: parts.append((done, total))
    trainer.train()
    assert parts == [(1, 1)]  # too few queries for some to be kept apart
    other = KnnRouter(str(configured(candidates={"cook": {}})))
    with pytest.raises(DataError, match="no row says"):
        KnnTrainer(other, other.cfg).train()


@pytest.fixture
def saved(trained: Trained) -> tuple[KnnRouter, Path]:
    router = trained()
    return router, Path(router.cfg["model_path"]["save_model_path"])


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ({"router": "otherrouter"}, "saved by otherrouter, not by knnrouter"),
        ({"format": 3}, "newer format; upgrade llmrouter-knn"),
        ({"llms": ["a"]}, "is damaged: the numbers of LLMs differ"),
        ({"llms": [1, 2]}, "is damaged: the names"),
        ({"encoder": {"name": "wordllama", "version": "0"}}, "needs version 0"),
        ({"encoder": {"name": "nope", "version": "0"}}, "encoder cannot be used"),
        ({"training": 3}, "is damaged"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(
    saved: tuple[KnnRouter, Path], header: dict[str, Any], problem: str
) -> None:
    router, path = saved
    arrays, told = read_arrays(path)
    write_arrays(arrays, path, {**told, **header})
    with pytest.raises(CheckpointError, match=problem):
        router.load_router(path)


@pytest.mark.parametrize("name", ["vectors", "quality", "outlay"])
def test_a_checkpoint_that_lacks_something_is_refused(saved: tuple[KnnRouter, Path], name: str) -> None:
    router, path = saved
    arrays, told = read_arrays(path)
    key = f"predictor.{name}"
    write_arrays({other: array for other, array in arrays.items() if other != key}, path, told)
    with pytest.raises(CheckpointError, match=f"is damaged: .*{name}"):
        router.load_router(path)
    broken = {**arrays, key: np.full_like(arrays[key], np.nan)}
    write_arrays(broken, path, told)
    if name != "outlay":
        with pytest.raises(CheckpointError, match=r"is damaged: .*no number"):
            router.load_router(path)


def test_bytes_that_were_cut_or_changed_never_crash(saved: tuple[KnnRouter, Path]) -> None:
    router, path = saved
    content, draw = path.read_bytes(), np.random.default_rng(0)
    for _ in range(150):
        changed = bytearray(content[: draw.integers(1, len(content))] if draw.random() < 0.5 else content)
        for place in draw.integers(0, min(len(changed), 1200), 3):
            changed[place] = draw.integers(256)
        path.write_bytes(changed)
        try:
            router.load_router(path)
        except CheckpointError:
            continue
        router.route_single(PLANT)


def test_the_commands_train_list_and_evaluate_it(configured: Configured, tmp_path: Path) -> None:
    config = configured()
    told = json.loads(config.read_text())
    told["model_path"]["load_model_path"] = told["model_path"]["save_model_path"]
    told["data_path"]["routing_data_test"] = "train.jsonl"
    config.write_text(json.dumps(told))

    def run(*arguments: str) -> str:
        program = [sys.executable, "-m", "llmrouter_cli", *arguments]
        return subprocess.run(program, check=True, capture_output=True, text=True).stdout

    run("train", "--router", "knnrouter", "--config", str(config))
    routed = json.loads(
        run(
            "infer",
            "--router",
            "knnrouter",
            "--config",
            str(config),
            "--query",
            "storm at sea",
            "--route-only",
        )
    )
    assert routed["model_name"] == "sailor"
    found = json.loads(run("evaluate", "--router", "knnrouter", "--config", str(config), "--json"))
    assert found["routers"][0]["quality"]["value"] > found["single_llms"]["sailor"]["quality"]["value"]
    assert CANDIDATES.keys() == found["single_llms"].keys()
