"""Training depends on data and seed alone, and an interruption costs at most one epoch."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from llmrouter.errors import CheckpointError, ConfigError, DataError

if TYPE_CHECKING:
    from llmrouter_threshold.router import ThresholdRouter
    from llmrouter_threshold.trainer import ThresholdTrainer

pytestmark = pytest.mark.torch

Project = Callable[..., str]
Train = Callable[..., "ThresholdRouter"]
MakeTrainer = Callable[..., "ThresholdTrainer"]
Batch = list[dict[str, Any]]

HIDDEN = {"hidden_dim": 4, "embedding_dim": 8}
PATH = Path("model.safetensors")
STATE = Path("model.safetensors.training")

# Trains until its first epoch is done and saved; then says so and waits to be stopped.
INTERRUPTED = """
import sys, time
from llmrouter_threshold.router import ThresholdRouter
from llmrouter_threshold.trainer import ThresholdTrainer

def report(*_):
    print("improved", flush=True)
    time.sleep(60)

router = ThresholdRouter("config.yaml")
trainer = ThresholdTrainer(router, router.cfg)
trainer.report = report
trainer.train()
"""


class Stop(Exception):
    pass


def equal(one: ThresholdRouter, two: ThresholdRouter) -> bool:
    import torch

    first, second = one.state_dict(), two.state_dict()
    assert first.keys() == second.keys()
    return all(torch.equal(first[name], second[name]) for name in first)


def stopped_after(trainer: ThresholdTrainer, reports: int) -> int:
    """Train until so many epochs, of both phases, were reported; returns how many were."""
    seen = []

    def report(done: int, total: int, figures: Mapping[str, float]) -> None:
        seen.append(done)
        if len(seen) == reports:
            raise Stop

    trainer.report = report
    with pytest.raises(Stop):
        trainer.train()
    return len(seen)


def resumed(loaded: Callable[[], ThresholdRouter]) -> ThresholdRouter:
    from llmrouter_threshold.trainer import ThresholdTrainer

    router = loaded()
    ThresholdTrainer(router, router.cfg).train()
    return router


def test_through_the_command_line(
    project: Project, command: Callable[..., Any], unseen: Batch, loaded: Train
) -> None:
    path = project()
    done = command("train", "--router", "thresholdrouter", "--config", path, "--json")
    assert done.status == 0, done.err
    assert done.json["router"] == "thresholdrouter"
    assert done.json["saved"] == str(PATH)
    results = loaded().route_batch(unseen)
    right = [
        (result["model_name"] == "large") == query["query"].startswith("prove")
        for query, result in zip(unseen, results, strict=True)
    ]
    assert np.mean(right) > 0.9


def test_saved_and_loaded_it_gives_the_same_scores(trained: Train, unseen: Batch, loaded: Train) -> None:
    for hparam in ({}, HIDDEN):
        router = trained(**hparam)
        again = loaded()
        assert again.scores(unseen).tolist() == router.scores(unseen).tolist()
        assert again.thresholds == router.thresholds
        assert equal(again, router)


@pytest.mark.parametrize("hparam", [{}, HIDDEN])
def test_the_same_seed_gives_the_same_weights(trained: Train, hparam: dict[str, Any]) -> None:
    import torch

    torch.manual_seed(1)
    first = trained(**hparam)
    torch.manual_seed(2)
    assert equal(first, trained(**hparam))
    # Without a hidden layer nothing is drawn but the part kept apart, and then all is learned from.
    if hparam:
        assert not equal(first, trained(seed=1, **hparam))


@pytest.mark.parametrize("hparam", [{}, HIDDEN])
def test_random_numbers_of_others_are_left_alone(
    trained: Train, loaded: Train, hparam: dict[str, Any]
) -> None:
    import torch

    torch.manual_seed(1)
    before = torch.get_rng_state()
    numbers, draws = np.random.get_state(legacy=False), random.getstate()
    trained(**hparam)
    loaded().route_single({"query": "q"})
    assert torch.equal(torch.get_rng_state(), before)
    assert str(np.random.get_state(legacy=False)) == str(numbers)
    assert random.getstate() == draws


def test_what_is_told_of_the_training(trained: Train) -> None:
    router = trained()
    assert router.trained["queries"] == 160
    assert router.trained["target"] == "gain"
    assert router.trained["finished"] is True
    assert router.trained["data"].startswith("sha256:")
    assert 5 < router.trained["validation"] < 50
    assert 0 < router.trained["metrics"]["loss"] < 0.7


def test_each_epoch_is_reported(trainer: MakeTrainer) -> None:
    told: list[tuple[int, int, set[str]]] = []
    made = trainer(patience=5)
    made.report = lambda done, total, figures: told.append((done, total, set(figures)))
    made.train()
    search = {"loss", "dev loss", "dev APGR"}
    assert told[:5] == [(epoch, 5, search) for epoch in range(1, 6)]
    best = made.router.trained["epochs"]
    assert told[5:] == [(epoch, best, {"loss"}) for epoch in range(1, best + 1)]


def test_patience_ends_the_search(trainer: MakeTrainer) -> None:
    # Labels without sense, so that the part kept apart soon gets worse.
    draw = random.Random(0)
    rows = [
        {"query": f"query {number}", "model_name": name, "performance": float(draw.random() < 0.5)}
        for number in range(120)
        for name in ("small", "large")
    ]
    made = trainer(rows, train_epoch=30, patience=2, weight_decay=0)
    totals: list[int] = []
    made.report = lambda done, total, figures: totals.append(done) if "dev loss" in figures else None
    made.train()
    assert len(totals) == made.router.trained["epochs"] + 2 < 30


def test_nothing_but_the_checkpoint_is_left(trained: Train) -> None:
    before = {path.name for path in Path().iterdir()}
    trained()
    made = {path.name for path in Path().iterdir()} - before
    assert made == {"train.jsonl", "llm.json", "config.yaml", PATH.name}


@pytest.mark.parametrize("hparam", [{}, HIDDEN])
@pytest.mark.parametrize("reports", [1, 3, 5, 6])
def test_resumed_it_ends_as_if_never_interrupted(
    trainer: MakeTrainer, trained: Train, loaded: Train, reports: int, hparam: dict[str, Any]
) -> None:
    whole = trained(**hparam)
    PATH.unlink()
    stopped_after(trainer(**hparam), reports)
    again = resumed(loaded)
    assert equal(again, whole)
    assert again.calibration == whole.calibration
    assert again.thresholds == whole.thresholds
    assert again.trained == whole.trained
    assert equal(loaded(), whole)
    assert not STATE.exists()


def test_resumed_on_the_command_line(
    trainer: MakeTrainer, loaded: Train, command: Callable[..., Any]
) -> None:
    def train(*more: str) -> ThresholdRouter:
        done = command("train", "--router", "thresholdrouter", "--config", "config.yaml", *more)
        assert done.status == 0, done.err
        return loaded()

    made = trainer()
    whole = train()
    PATH.unlink()
    stopped_after(made, 2)
    assert not loaded().trained["finished"]
    assert equal(train("--resume"), whole)


@pytest.mark.parametrize("changed", [{"seed": 1}, {"weight_decay": 0.5}])
def test_resuming_with_other_hyperparameters_is_refused(
    trainer: MakeTrainer, project: Project, loaded: Train, changed: dict[str, Any]
) -> None:
    stopped_after(trainer(), 2)
    project(**changed)
    with pytest.raises(CheckpointError, match="other data or hyperparameters"):
        resumed(loaded)


def test_resuming_with_other_data_is_refused(trainer: MakeTrainer, project: Project, loaded: Train) -> None:
    stopped_after(trainer(), 2)
    rows = [json.loads(line) for line in Path("train.jsonl").read_text().splitlines()]
    project(rows[:-2])
    with pytest.raises(CheckpointError, match="other data or hyperparameters"):
        resumed(loaded)


def test_resuming_with_other_embeddings_is_refused(
    trainer: MakeTrainer, project: Project, loaded: Train
) -> None:
    rows = [{"query": f"q{n}", "best_llm": ("small", "large")[n % 2], "embedding": [n]} for n in range(80)]
    stopped_after(trainer(rows, encoder="none"), 2)
    project([*rows[:-1], {**rows[-1], "embedding": [7.5]}], encoder="none")
    with pytest.raises(CheckpointError, match="other data or hyperparameters"):
        resumed(loaded)


@pytest.mark.parametrize("keep", [0, 7, 1000, 0.5])
def test_a_damaged_training_state(trainer: MakeTrainer, loaded: Train, keep: float) -> None:
    stopped_after(trainer(), 2)
    content = STATE.read_bytes()
    STATE.write_bytes(content[: int(keep if keep != 0.5 else len(content) / 2)])
    with pytest.raises(CheckpointError) as caught:
        resumed(loaded)
    assert caught.value.path == STATE


def test_a_training_state_of_something_else(trainer: MakeTrainer, loaded: Train) -> None:
    import torch

    from llmrouter.models.checkpoint import read_checkpoint, write_state

    stopped_after(trainer(), 2)
    header = read_checkpoint(STATE)[1]
    write_state({"model.linear": torch.zeros(1)}, STATE, header)
    with pytest.raises(CheckpointError, match="is damaged"):
        resumed(loaded)


def test_without_resume_an_interrupted_training_begins_anew(trainer: MakeTrainer, trained: Train) -> None:
    whole = trained()
    stopped_after(trainer(), 2)
    assert equal(trained(), whole)
    assert not STATE.exists()


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_a_training_that_is_stopped_leaves_a_checkpoint(
    project: Project, loaded: Train, stop: signal.Signals
) -> None:
    project()
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "improved\n"
        process.send_signal(stop)
        assert process.wait(300) != 0
    router = loaded()
    assert router.trained["finished"] is False
    assert router.route_single({"query": "q"})["model_name"] in ("small", "large")
    assert resumed(loaded).trained["finished"] is True


def test_ctrl_c_on_the_command_line_leaves_a_checkpoint(project: Project, loaded: Train) -> None:
    path = project(train_epoch=100_000, patience=100_000)
    process = subprocess.Popen(
        [
            str(Path(sys.executable).with_name("llmrouter")),
            "train",
            "--router",
            "thresholdrouter",
            "--config",
            path,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        deadline = time.monotonic() + 300
        while not STATE.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert loaded().trained["finished"] is False


def test_more_epochs_of_patience_than_epochs(trained: Train) -> None:
    assert trained(train_epoch=1, patience=50).trained["epochs"] == 1


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_no_part_is_kept_apart_where_nothing_else_would_be_left(trained: Train, share: float) -> None:
    assert trained(validation_share=share).trained["validation"] in (0, 160)


def test_the_same_text_falls_on_the_same_side() -> None:
    from llmrouter_threshold.trainer import kept_apart

    queries = [f"query {number}" for number in range(1000)]
    apart = kept_apart(queries, 0.15, 0)
    assert 0.1 < apart.mean() < 0.2
    assert np.array_equal(kept_apart(queries[::-1], 0.15, 0), apart[::-1])
    assert not np.array_equal(kept_apart(queries, 0.15, 1), apart)
    assert not kept_apart(queries[:39], 0.15, 0).any()
    assert not kept_apart(queries, 0, 0).any()


@pytest.mark.parametrize("count", [1, 2, 39])
def test_few_queries_suffice(trained: Train, count: int) -> None:
    rows = [{"query": f"query {number}", "best_llm": "large"} for number in range(count)]
    router = trained(rows, **HIDDEN)
    assert np.isfinite(router.scores([{"query": "query 0"}])).all()


def test_labels_that_are_all_equal(trained: Train) -> None:
    rows = [{"query": f"query {number}", "best_llm": "small"} for number in range(80)]
    assert trained(rows).route_single({"query": "query 100"})["model_name"] == "small"


def test_target_difficulty(trained: Train, unseen: Batch) -> None:
    router = trained(target="difficulty")
    assert router.trained["target"] == "difficulty"
    hard = np.array([query["query"].startswith("prove") for query in unseen])
    scores = router.scores(unseen)
    assert scores[hard].mean() > scores[~hard].mean() + 0.2


def test_data_with_embeddings_that_the_encoder_does_not_need(trained: Train) -> None:
    rows = [
        {"query": f"query {number}", "best_llm": "small", "embedding": [1.0, 2.0]} for number in range(50)
    ]
    assert trained(rows).route_single({"query": "query 7"})["model_name"] == "small"


def test_a_router_that_was_trained_can_be_trained_anew_on_other_embeddings(trainer: MakeTrainer) -> None:
    def rows(width: int) -> Batch:
        return [{"query": f"q{n}", "best_llm": "small", "embedding": [1.0] * width} for n in range(5)]

    from llmrouter.data.routing_data import RoutingData

    made = trainer(rows(2), encoder="none")
    made.train()
    made.router.routing_data_train = RoutingData(rows(3))
    made.train()
    assert made.router.route_single({"query": "q", "embedding": [1.0] * 3})


def test_no_path_to_save_to(trainer: MakeTrainer) -> None:
    made = trainer()
    del made.config["model_path"]["save_model_path"]
    with pytest.raises(ConfigError, match="name a file") as caught:
        made.train()
    assert caught.value.key == "model_path.save_model_path"


def test_no_routing_data(config: Callable[..., str]) -> None:
    from llmrouter_threshold.router import ThresholdRouter
    from llmrouter_threshold.trainer import ThresholdTrainer

    router = ThresholdRouter(config(model_path={"save_model_path": str(PATH)}))
    with pytest.raises(ConfigError, match="training needs it") as caught:
        ThresholdTrainer(router, router.cfg).train()
    assert caught.value.key == "data_path.routing_data_train"


@pytest.mark.parametrize("best", [True, False])
def test_quality_that_cannot_be_had_is_told_before_training(trainer: MakeTrainer, best: bool) -> None:
    rows: Batch = [{"query": f"q{n}", "best_llm": ("small", "large")[n % 2]} for n in range(80)]
    if not best:  # the large LLM is nowhere the better one
        rows = [
            {"query": f"q{n}", "model_name": name, "performance": 0.5}
            for n in range(80)
            for name in ("small", "large")
        ]
    made = trainer(rows, quality=0.9)
    made.report = lambda *_: pytest.fail("training has begun")
    with pytest.raises(ConfigError, match="performance of both") as caught:
        made.train()
    assert caught.value.key == "hparam.quality"
    assert not PATH.exists()


def test_routing_data_of_other_llms(trained: Train) -> None:
    with pytest.raises(DataError, match="no row says"):
        trained([{"query": "q", "best_llm": "other"}])
    assert not PATH.exists()
