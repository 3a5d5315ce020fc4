"""The contract of a trainer: it keeps what it is given, and trains."""

from __future__ import annotations

from typing import Any

import pytest

from llmrouter.models import BaseTrainer, Router


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
