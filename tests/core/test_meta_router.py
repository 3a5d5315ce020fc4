"""A router that is a torch module: its weights are saved and restored, or it must not be used."""

from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import llmrouter.models
from llmrouter.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from llmrouter.models import MetaRouter

torch_only = pytest.mark.torch


def held(inputs: int = 2, outputs: int = 1, yaml_path: Any = None, bias: bool = True) -> MetaRouter:
    """Make a router that holds one layer."""
    import torch

    return bare(torch.nn.Linear(inputs, outputs, bias=bias), yaml_path)


def bare(*arguments: Any) -> MetaRouter:
    """Make a router that holds what it is given."""
    from llmrouter.models import MetaRouter

    class Held(MetaRouter):
        def route_single(self, query_input: dict[str, Any]) -> dict[str, Any]:
            return {"model_name": "small", "query": query_input["query"]}

    return Held(*arguments)


def values(router: MetaRouter) -> dict[str, Any]:
    return {name: tensor.tolist() for name, tensor in router.state_dict().items()}


def refused(router: MetaRouter, path: str = "w.pt") -> str:
    with pytest.raises(CheckpointError) as caught:
        router.load_router(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("package", ["torch", pytest.param("safetensors", marks=torch_only)])
@pytest.mark.parametrize(
    "use",
    [
        "from llmrouter.models import MetaRouter",
        "from llmrouter.models.meta_router import MetaRouter",
        "import llmrouter.models; llmrouter.models.MetaRouter",
    ],
)
def test_without_torch_the_import_says_what_to_install(package: str, use: str) -> None:
    code = f"""
import sys
sys.modules[{package!r}] = None
try:
    {use}
except ImportError as error:
    print(type(error).__name__, error)
"""
    done = python(code)
    assert (done.stderr, done.stdout) == (
        "",
        "MissingExtraError llmrouter.models.meta_router needs a package that is not installed; "
        "run: pip install 'llmrouter-core[torch]'\n",
    )


def test_without_torch_the_other_bases_are_there() -> None:
    code = "import sys; sys.modules['torch'] = None; from llmrouter.models import BaseTrainer, Router"
    assert python(code).stderr == ""


def test_a_name_that_is_none_of_the_bases() -> None:
    assert llmrouter.models.Router.__name__ == "Router"
    with pytest.raises(AttributeError, match=r"module 'llmrouter\.models' has no attribute 'Absent'"):
        llmrouter.models.Absent  # noqa: B018
    with pytest.raises(ImportError, match="Absent"):
        from llmrouter.models import Absent  # noqa: F401


@torch_only
def test_the_bases_that_are_named_are_there() -> None:
    assert [getattr(llmrouter.models, name).__name__ for name in llmrouter.models.__all__] == (
        llmrouter.models.__all__
    )


@torch_only
def test_it_is_a_router_and_a_module() -> None:
    import torch

    router = held(yaml_path={"hparam": {"k": 5}, "metric": {"weights": {"a": 1}}})
    assert isinstance(router, llmrouter.models.Router)
    assert isinstance(router, torch.nn.Module)
    assert (router.cfg["hparam"], router.metric_weights, router.resources) == ({"k": 5}, [1], None)
    assert isinstance(router.model, torch.nn.Linear)
    assert router.routing_data_train is None


@torch_only
def test_configuration_and_resources_come_after_the_model(config: Callable[..., str]) -> None:
    resources = object()
    router = bare(None, config(hparam={"k": 5}), resources)
    assert (router.model, router.cfg["hparam"], router.resources) == (None, {"k": 5}, resources)
    assert list(router.llm_data) == ["small", "large"]


@torch_only
def test_a_call_routes_a_batch() -> None:
    assert [result["query"] for result in bare()([{"query": "one"}, {"query": "two"}])] == ["one", "two"]


@torch_only
def test_metrics_are_by_default_none() -> None:
    assert bare().compute_metrics(outputs=[1], batch=[2]) == {}


@torch_only
def test_submodules_may_be_set_after_construction() -> None:
    import torch

    router = bare()
    router.model = torch.nn.Linear(1, 1)
    router.head = torch.nn.Linear(1, 2, bias=False)
    assert list(router.state_dict()) == ["model.weight", "model.bias", "head.weight"]


@torch_only
def test_missing_candidates_are_told_and_not_a_missing_attribute() -> None:
    with pytest.raises(ConfigError, match=r"data_path\.llm_data: is missing"):
        bare().llm_data  # noqa: B018
    with pytest.raises(AttributeError, match="absent"):
        bare().absent  # noqa: B018


@torch_only
def test_the_modules_own_methods_work() -> None:
    import torch

    router = held().to(torch.float64)
    assert router.eval().training is False
    assert router.train().training is True
    assert {tensor.dtype for tensor in router.state_dict().values()} == {torch.float64}


@torch_only
@pytest.mark.parametrize("path", ["w.safetensors", "w.pt", "a/b/weights", Path("c") / "w.bin"])
def test_what_is_saved_is_loaded(path: str | Path) -> None:
    saved, loaded = held(3, 2), held(3, 2)
    assert values(saved) != values(loaded)
    saved.save_router(path)
    loaded.load_router(path)
    assert values(saved) == values(loaded)


@torch_only
def test_buffers_are_saved_with_the_weights() -> None:
    import torch

    saved, loaded = bare(torch.nn.BatchNorm1d(2)), bare(torch.nn.BatchNorm1d(2))
    assert saved.model is not None
    saved.model(torch.rand(8, 2))
    saved.save_router("w.pt")
    loaded.load_router("w.pt")
    assert values(saved) == values(loaded)
    assert values(loaded)["model.num_batches_tracked"] == 1


def tied() -> MetaRouter:
    import torch

    class Pair(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = torch.nn.Linear(2, 2, bias=False)
            self.head = torch.nn.Linear(2, 2, bias=False)
            self.head.weight = self.body.weight

    return bare(Pair())


@torch_only
def test_tied_weights_stay_tied_when_loaded() -> None:
    saved, loaded = tied(), tied()
    saved.save_router("w.pt")
    loaded.load_router("w.pt")
    assert values(loaded) == values(saved)
    assert list(values(loaded)) == ["model.body.weight", "model.head.weight"]
    assert len(list(loaded.parameters())) == 1


@torch_only
def test_weights_that_do_not_lie_in_a_row_are_saved() -> None:
    import torch

    saved, loaded = held(3, 3), held(3, 3)
    assert saved.model is not None
    saved.model.weight = torch.nn.Parameter(torch.arange(9.0).reshape(3, 3).T)
    saved.save_router("w.pt")
    loaded.load_router("w.pt")
    assert values(loaded)["model.weight"] == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]


@torch_only
def test_a_saved_router_replaces_the_one_before() -> None:
    for _ in range(2):
        router = held()
        router.save_router("w.pt")
    again = held()
    again.load_router("w.pt")
    assert values(again) == values(router)
    assert os.listdir() == ["w.pt"]


@torch_only
def test_what_torch_saved_is_loaded() -> None:
    import torch

    saved, loaded = held(), held()
    torch.save(saved.state_dict(), "w.safetensors")
    loaded.load_router("w.safetensors")
    assert values(saved) == values(loaded)


@torch_only
@pytest.mark.parametrize("model", [None, "Identity"])
def test_a_router_without_weights_is_not_saved(model: str | None) -> None:
    import torch

    router = bare(model and getattr(torch.nn, model)())
    with pytest.raises(
        CheckpointError, match=r"^w\.pt: Held has no weights to save; pass its model to super"
    ):
        router.save_router("w.pt")
    assert os.listdir() == []


@torch_only
def test_weights_that_are_missing_or_too_many_are_named() -> None:
    held(bias=False).save_router("few.pt")
    held().save_router("many.pt")
    assert refused(held(), "few.pt") == (
        'few.pt: does not fit Held: Missing key(s) in state_dict: "model.bias".'
    )
    assert refused(held(bias=False), "many.pt") == (
        'many.pt: does not fit Held: Unexpected key(s) in state_dict: "model.bias".'
    )


@torch_only
def test_weights_of_another_shape_are_named_with_both_shapes() -> None:
    held(2, 1).save_router("w.pt")
    told = refused(held(3, 1))
    assert told.startswith("w.pt: does not fit Held: size mismatch for model.weight: ")
    assert "[1, 2]" in told
    assert "[1, 3]" in told


@torch_only
def test_weights_for_a_router_that_has_none_are_refused() -> None:
    held().save_router("w.pt")
    told = refused(bare())
    assert told.startswith("w.pt: does not fit Held: Unexpected key(s) in state_dict: ")
    assert '"model.bias"' in told
    assert '"model.weight"' in told


@torch_only
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "there is no such file"),
        (b"", "is neither"),
        (b"text", "is neither"),
        (b"PK\x03\x04", "is damaged"),
    ],
)
def test_a_file_that_cannot_be_read_leaves_the_router_as_it_was(content: bytes | None, told: str) -> None:
    if content is not None:
        Path("w.pt").write_bytes(content)
    router = held()
    before = values(router)
    assert refused(router).startswith(f"w.pt: {told}")
    assert values(router) == before


@torch_only
def test_a_router_is_copied_deeply() -> None:
    import torch

    router = held()
    router.llm_data = {"small": {}}
    again = copy.deepcopy(router)
    assert values(again) == values(router)
    with torch.no_grad():
        for parameter in again.parameters():
            parameter.fill_(7)
    again.llm_data["more"] = {}
    assert 7 not in values(router)["model.bias"]
    assert list(router.llm_data) == ["small"]


HELD = """
    import torch
    from llmrouter.models import MetaRouter

    class HeldRouter(MetaRouter):
        def __init__(self, yaml_path):
            super().__init__(model=torch.nn.Linear(2, 1), yaml_path=yaml_path)

        def route_single(self, query_input):
            return {"model_name": next(iter(self.llm_data))}
"""


@torch_only
def test_a_router_is_pickled(install: Callable[..., Path], config: Callable[..., str]) -> None:
    import importlib

    install("llmrouter-held", {"fake_held": HELD}, {})
    router = importlib.import_module("fake_held").HeldRouter(config())
    again = pickle.loads(pickle.dumps(router))
    assert values(again) == values(router)
    assert again.route_single({})["model_name"] == "small"
    assert json.dumps(again.cfg) == json.dumps(router.cfg)
