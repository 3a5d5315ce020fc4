"""The contract of a trainer: it keeps what it is given, and trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmrouter.data.routing_data import RoutingData
from llmrouter.errors import DataError
from llmrouter.models import BaseTrainer, Router
from llmrouter.models.base_trainer import ENOUGH


class Still(Router):
    def route_single(self, query_input: dict[str, Any]) -> dict[str, Any]:
        return {"model_name": "small"}


class Noting(BaseTrainer):
    trained = 0

    def train(self) -> None:
        self.trained += 1


def test_a_trainer_keeps_router_configuration_and_device() -> None:
    router = Still()
    trainer = Noting(router, router.cfg, device="cuda:0")
    assert (trainer.router, trainer.config, trainer.device) == (router, router.cfg, "cuda:0")
    assert trainer.trained == 0


def test_the_device_is_by_default_the_processor() -> None:
    assert Noting(Still(), {}).device == "cpu"


def test_train_must_be_defined() -> None:
    with pytest.raises(TypeError, match="train"):
        BaseTrainer(Still(), {})  # type: ignore[abstract]


def test_a_trainer_trains() -> None:
    trainer = Noting(Still(), {})
    trainer.train()
    assert trainer.trained == 1


def test_a_mixin_among_the_bases_is_constructed_too() -> None:
    class Counting:
        def __init__(self) -> None:
            super().__init__()
            self.count = 0

    class Mixed(Noting, Counting):
        pass

    assert Mixed(Still(), {}).count == 0


def trained_on(rows: list[dict[str, Any]], candidates: list[str]) -> Any:
    router = Still()
    router.llm_data = {name: {} for name in candidates}
    router.routing_data_train = RoutingData(
        rows, Path("r.jsonl"), [f"line {n}" for n in range(1, len(rows) + 1)]
    )
    return Noting(router, router.cfg).routing_data()


@pytest.mark.parametrize(
    ("count", "told"),
    [(1, "1 query is too few"), (2, "2 queries are too few"), (ENOUGH - 1, "use 100 at least"), (ENOUGH, "")],
)
def test_few_queries_are_worth_a_warning(count: int, told: str, caplog: pytest.LogCaptureFixture) -> None:
    rows = [{"query": f"q{n}", "model_name": name} for n in range(count) for name in ("small", "large")]
    assert len(trained_on(rows, ["small", "large"])) == 2 * count
    assert told in caplog.text
    assert bool(caplog.messages) is bool(told)


@pytest.mark.parametrize("name", ["Large", " large", "LARGE "])
@pytest.mark.parametrize("key", ["model_name", "best_llm"])
def test_a_name_in_other_letters_names_both(name: str, key: str) -> None:
    rows = [{"query": "q", key: "large"}, {"query": "q", key: name}, {"query": "q", key: "unheard of"}]
    with pytest.raises(DataError) as caught:
        trained_on(rows, ["small", "large"])
    assert str(caught.value) == f"r.jsonl:2: {name!r} is no candidate, but 'large' is; write both alike"
