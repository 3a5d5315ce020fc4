"""`llmrouter train` runs the router's own trainer and says what it saved."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import WAITING

SAVE = """
    with open(self.config["model_path"]["save_model_path"], "w") as saved:
        saved.write("learned")
"""


@pytest.fixture
def trained(router: Callable[..., list[str]], config: Callable[..., str]) -> Callable[..., list[str]]:
    """Make a router with a trainer, whose train has the given body."""

    def trained(trainer: str = SAVE, members: str = "", **model_path: str) -> list[str]:
        chosen = router(members=members, trainer=trainer)
        config(model_path={"save_model_path": "model", **model_path}, hparam={"rate": 3})
        return chosen

    return trained


def test_prints_what_was_trained_and_saved(
    invoke: Callable[..., Any], trained: Callable[..., list[str]]
) -> None:
    done = invoke("train", *trained())
    assert (done.status, done.err) == (0, "")
    assert set(done.json) == {"router", "device", "seconds", "saved"}
    assert (done.json["router"], done.json["device"], done.json["saved"]) == ("mine", "cpu", "model")
    assert done.json["seconds"] >= 0
    assert Path("model").read_text() == "learned"


def test_what_was_saved_before_is_not_told(
    invoke: Callable[..., Any], trained: Callable[..., list[str]]
) -> None:
    chosen = trained("pass")
    Path("model").write_text("of another day")
    assert invoke("train", *chosen).json["saved"] is None


@pytest.mark.parametrize(
    ("trainer", "model_path"),
    [("pass", {}), ("pass", {"save_model_path": None}), ("pass", {"save_model_path": 5})],
)
def test_what_was_not_saved_is_not_told(
    invoke: Callable[..., Any], trained: Callable[..., list[str]], trainer: str, model_path: dict[str, Any]
) -> None:
    done = invoke("train", *trained(trainer, **model_path))
    assert (done.status, done.json["saved"]) == (0, None)


def test_the_trainer_gets_the_router_the_configuration_and_the_device(
    invoke: Callable[..., Any], trained: Callable[..., list[str]]
) -> None:
    trainer = """
        assert type(self.router).__name__ == "MineRouter"
        assert self.config is self.router.cfg
        with open("seen", "w") as seen:
            seen.write(f"{self.config['hparam']['rate']} {self.device} {sorted(self.router.llm_data)}")
    """
    assert invoke("train", *trained(trainer), "--device", "cpu").json["device"] == "cpu"
    assert Path("seen").read_text() == "3 cpu ['large', 'small']"


def test_the_trainer_of_a_distribution(
    invoke: Callable[..., Any], install: Callable[..., Path], config: Callable[..., str]
) -> None:
    plugin = """
        from llmrouter import RouterSpec, TrainerSpec, hookimpl

        @hookimpl
        def llmrouter_register_routers():
            return [RouterSpec("taught", "fake_taught_code:TaughtRouter")]

        @hookimpl
        def llmrouter_register_trainers():
            return [TrainerSpec("taught", "fake_taught_code:TaughtTrainer")]
    """
    code = """
        from llmrouter.models.base_trainer import BaseTrainer
        from llmrouter.models.router import Router

        class TaughtRouter(Router):
            def route_single(self, query_input):
                return {"model_name": "small"}

        class TaughtTrainer(BaseTrainer):
            def train(self):
                open("trained", "w").close()
    """
    install("llmrouter-taught", {"fake_taught": plugin, "fake_taught_code": code}, {"taught": "fake_taught"})
    assert invoke("train", "--router", "taught", "--config", config()).status == 0
    assert Path("trained").exists()


class TestResume:
    MEMBERS = """
        def load_router(self, path):
            with open(path) as state:
                self.state = state.read()
    """
    SHOW = "with open('seen', 'w') as seen:\n    seen.write(getattr(self.router, 'state', 'fresh'))"

    @pytest.mark.parametrize(("options", "state"), [((), "fresh"), (("--resume",), "earlier")])
    def test_goes_on_from_the_saved_state(
        self,
        invoke: Callable[..., Any],
        trained: Callable[..., list[str]],
        options: tuple[str, ...],
        state: str,
    ) -> None:
        Path("before").write_text("earlier")
        chosen = trained(self.SHOW, self.MEMBERS, load_model_path="before")
        assert invoke("train", *chosen, *options).status == 0
        assert Path("seen").read_text() == state

    def test_stops_where_the_state_is_missing(
        self, invoke: Callable[..., Any], trained: Callable[..., list[str]]
    ) -> None:
        done = invoke("train", *trained(self.SHOW, self.MEMBERS, load_model_path="before"), "--resume")
        assert (done.status, done.out) == (1, "")
        assert done.err.startswith("Error: load_router of 'mine' failed: FileNotFoundError")
        assert not Path("seen").exists()


class TestErrors:
    def stops(self, done: Any, *told: str) -> None:
        assert (done.status, done.out) == (1, "")
        assert done.err.startswith("Error: ")
        assert done.err.count("\n") == 1
        for words in told:
            assert words in done.err

    @pytest.mark.parametrize(
        ("body", "told"),
        [
            ("raise KeyError('performance')", "KeyError: 'performance' (trainer.py, line"),
            ("raise SystemExit(0)", "SystemExit: 0"),
            ("raise RuntimeError('one\\ntwo')", "RuntimeError: one two"),
            ("import absent_module", "install what provides 'absent_module'"),
            ("assert False", "AssertionError"),
        ],
    )
    def test_a_trainer_that_raises(
        self, invoke: Callable[..., Any], trained: Callable[..., list[str]], body: str, told: str
    ) -> None:
        self.stops(invoke("train", *trained(body)), "Training 'mine' failed: ", told)

    def test_debug_shows_where_it_raised(
        self, invoke: Callable[..., Any], trained: Callable[..., list[str]]
    ) -> None:
        err = invoke("train", *trained("raise KeyError('performance')"), "--debug").err
        assert "Traceback" in err
        assert "    raise KeyError('performance')" in err

    def test_a_router_without_a_trainer(self, invoke: Callable[..., Any], config: Callable[..., str]) -> None:
        self.stops(
            invoke("train", "--router", "randomrouter", "--config", config()),
            "Router 'randomrouter' from llmrouter-random 0.1.0 cannot be trained",
            "a trainer makes it trainable",
        )

    def test_a_folder_without_a_trainer(
        self, invoke: Callable[..., Any], router: Callable[..., list[str]]
    ) -> None:
        self.stops(invoke("train", *router()), "Router 'mine' from ", "cannot be trained")

    def test_an_unknown_router(self, invoke: Callable[..., Any], config: Callable[..., str]) -> None:
        done = invoke("train", "--router", "randomruter", "--config", config())
        self.stops(done, "did you mean randomrouter?")

    @pytest.mark.parametrize(("text", "told"), [("", "is empty"), ("a: [", "is not valid YAML")])
    def test_a_configuration_that_cannot_be_used(
        self, invoke: Callable[..., Any], trained: Callable[..., list[str]], text: str, told: str
    ) -> None:
        chosen = trained()
        Path("config.yaml").write_text(text)
        self.stops(invoke("train", *chosen), "config.yaml", told)
        assert not Path("model").exists()

    def test_training_data_that_are_malformed(
        self, invoke: Callable[..., Any], trained: Callable[..., list[str]], config: Callable[..., str]
    ) -> None:
        chosen = trained("self.router.routing_data_train")
        Path("rows.jsonl").write_text('{"query": "a", "best_llm": "small"}\n{"query": "a"')
        config(data_path={"routing_data_train": "rows.jsonl"})
        self.stops(invoke("train", *chosen), "rows.jsonl:2: is not valid JSON")

    @pytest.mark.parametrize("trainer", ["def train(self): pass\n", "raise SystemExit\n", "import (\n"])
    def test_a_trainer_module_that_cannot_be_used(
        self, invoke: Callable[..., Any], trained: Callable[..., list[str]], trainer: str
    ) -> None:
        chosen = trained()
        Path("custom_routers/mine/trainer.py").write_text(trainer)
        self.stops(invoke("train", *chosen), "mine")

    @pytest.mark.parametrize("missing", ["--router", "--config"])
    def test_both_options_are_needed(
        self, invoke: Callable[..., Any], trained: Callable[..., list[str]], missing: str
    ) -> None:
        chosen = trained()
        at = chosen.index(missing)
        done = invoke("train", *chosen[:at], *chosen[at + 2 :])
        assert done.status == 2
        assert f"Missing option '{missing}'" in done.err


def test_interruption_saves_nothing(
    interrupted: Callable[..., Any], trained: Callable[..., list[str]]
) -> None:
    chosen = trained(f"open('started', 'w').close()\n{WAITING}\n{SAVE.strip()}")
    before = set(os.listdir())
    done = interrupted("train", *chosen)
    assert (done.status, done.out) == (130, "")
    assert done.err.strip().endswith("Interrupted")
    assert set(os.listdir()) - before == {"started"}


def test_on_a_terminal_it_is_a_table(terminal: Callable[..., Any], trained: Callable[..., list[str]]) -> None:
    chosen = trained()
    lines = terminal("train", *chosen).out.splitlines()
    assert lines[0].split() == ["Trained", "Device", "Seconds", "Saved"]
    assert lines[2].split()[::3] == ["mine", "model"]
    assert json.loads(terminal("train", *chosen, "--json").out)["saved"] == "model"


@pytest.mark.parametrize("device", ["gpu", "cuda:one", "CPU", ""])
def test_a_device_that_is_none_is_one_sentence_with_the_choices(
    invoke: Callable[..., Any], trained: Callable[..., list[str]], device: str
) -> None:
    done = invoke("train", *trained(), "--device", device)
    assert done.status == 2
    assert done.err.splitlines()[-1].endswith(f"{device!r} is none; choose auto, cpu, cuda, cuda:N or mps")


@pytest.mark.torch
def test_the_device_may_be_chosen_by_what_there_is(
    invoke: Callable[..., Any], trained: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert invoke("train", *trained(), "--device", "auto").json["device"] == "cpu"
    assert "this machine has no 'cuda:1'" in invoke("train", *trained(), "--device", "cuda:1").err
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert invoke("train", *trained(), "--device", "auto").json["device"] == "cuda"
