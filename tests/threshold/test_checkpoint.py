"""A checkpoint that does not fit is a CheckpointError, whatever is in it."""

from __future__ import annotations

import copy
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrouter.errors import CheckpointError
from tests.fuzzing import fuzzed, json_values

if TYPE_CHECKING:
    import torch

    from llmrouter_threshold.router import ThresholdRouter

pytestmark = pytest.mark.torch

PATH = Path("model.safetensors")


class Payload:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("ran"),)


@pytest.fixture
def router(project: Callable[..., str]) -> ThresholdRouter:
    """A router of which the small, dense checkpoint in model.safetensors is."""
    from llmrouter_threshold.router import ThresholdRouter
    from llmrouter_threshold.trainer import ThresholdTrainer

    rows = [
        {"query": f"q{number}", "best_llm": "small", "embedding": [1.0, 0.0, number / 9]}
        for number in range(8)
    ]
    router = ThresholdRouter(project(rows, encoder="none", hidden_dim=2, train_epoch=2))
    ThresholdTrainer(router, router.cfg).train()
    return router


def parts() -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    from llmrouter.models.checkpoint import read_checkpoint

    return read_checkpoint(PATH)


def rewrite(tensors: dict[str, torch.Tensor], header: dict[str, Any]) -> None:
    from llmrouter.models.checkpoint import write_state

    write_state(tensors, PATH, header)


def change(**header: Any) -> None:
    tensors, before = parts()
    rewrite(tensors, {**before, **header})


def refused(router: ThresholdRouter) -> str:
    with pytest.raises(CheckpointError) as caught:
        router.load_router(PATH)
    assert caught.value.path == PATH
    return caught.value.problem


def loads_or_is_refused(router: ThresholdRouter) -> None:
    try:
        router.load_router(PATH)
    except CheckpointError:
        return
    finally:
        assert not Path("ran").exists()


def nest(header: dict[str, Any], keys: list[str], value: Any) -> dict[str, Any]:
    header = copy.deepcopy(header)
    inner = header
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    return header


KEYS = [
    *([key] for key in ("router", "format", "llms", "estimator", "encoder", "calibration", "training")),
    *(["estimator", key] for key in ("dim", "heads", "sparse", "embedding_dim", "hidden_dim", "dropout")),
    *(["encoder", key] for key in ("name", "version", "settings")),
    *(["calibration", key] for key in ("slope", "intercept", "error", "quantiles", "recovered")),
]


def test_it_is_safetensors_with_a_header_that_tells_what_it_is(router: ThresholdRouter) -> None:
    tensors, header = parts()
    assert {name.partition(".")[0] for name in tensors} == {"estimator"}
    assert (header["router"], header["format"]) == ("thresholdrouter", 1)
    assert header["llms"] == ["small", "large"]
    assert header["hyperparameters"]["train_epoch"] == 2


def test_the_encoder_comes_with_what_it_learned(trained: Callable[..., ThresholdRouter]) -> None:
    encoder = trained().encoder
    assert encoder is not None
    tensors, header = parts()
    assert tensors["encoder.idf"].max() > 1
    assert (header["encoder"]["name"], header["encoder"]["version"]) == (encoder.name, encoder.version)


def test_there_is_no_file(router: ThresholdRouter) -> None:
    PATH.unlink()
    assert "train the router first" in refused(router)


def test_saved_by_another_router(router: ThresholdRouter) -> None:
    change(router="otherrouter")
    assert refused(router) == "was saved by otherrouter, not by thresholdrouter"


def test_saved_by_something_else(router: ThresholdRouter) -> None:
    from llmrouter.models.checkpoint import write_state

    write_state(parts()[0], PATH)
    assert "was saved by something else" in refused(router)


@pytest.mark.parametrize("version", [2, 99, None, "1"])
def test_of_a_newer_format(router: ThresholdRouter, version: Any) -> None:
    change(format=version)
    assert "upgrade llmrouter-threshold" in refused(router)


def test_trained_for_other_llms(router: ThresholdRouter) -> None:
    change(llms=["tiny", "huge"])
    assert refused(router) == "was trained for tiny and huge, not small and large"


def test_llms_in_between_may_be_others(router: ThresholdRouter) -> None:
    change(llms=["small", "mid", "large"])
    router.load_router(PATH)


def test_of_another_version_of_its_encoder(
    trained: Callable[..., ThresholdRouter], monkeypatch: pytest.MonkeyPatch
) -> None:
    router = trained()
    version = parts()[1]["encoder"]["version"]
    monkeypatch.setattr("llmrouter.encoders.hashing.HashingEncoder.version", "other")
    assert refused(router) == f"needs version {version} of encoder hashing, not other"


@pytest.mark.parametrize("name", ["gone", "sentence-transformers", "sentence-transformers:gone", ""])
def test_of_an_encoder_that_there_is_not(router: ThresholdRouter, name: str) -> None:
    change(encoder={"name": name, "version": "1", "settings": {}})
    assert "its encoder cannot be used" in refused(router)


def test_without_what_its_encoder_learned(trained: Callable[..., ThresholdRouter]) -> None:
    import torch

    router = trained()
    tensors, header = parts()
    rewrite({**tensors, "encoder.idf": torch.ones(3)}, header)
    assert "shape (3,)" in refused(router)
    del tensors["encoder.idf"]
    rewrite(tensors, header)
    assert "is damaged" in refused(router)


@pytest.mark.parametrize("name", ["estimator.linear", "estimator.hidden.1.weight"])
def test_weights_that_are_missing_or_of_another_shape(router: ThresholdRouter, name: str) -> None:
    import torch

    tensors, header = parts()
    rewrite({**tensors, name: torch.ones(2, 2)}, header)
    assert "is damaged" in refused(router)
    del tensors[name]
    rewrite(tensors, header)
    assert name.removeprefix("estimator.") in refused(router)


def test_weights_of_half_the_precision_are_taken(router: ThresholdRouter) -> None:
    tensors, header = parts()
    query = {"query": "q", "embedding": [1.0, 0.0, 0.5]}
    before = router.scores([query])[0]
    rewrite({name: tensor.half() for name, tensor in tensors.items()}, header)
    router.load_router(PATH)
    assert router.scores([query])[0] == pytest.approx(before, abs=0.01)


@pytest.mark.parametrize("size", [10**9, 10**15, 10**30])
def test_a_size_that_no_memory_holds(router: ThresholdRouter, size: int) -> None:
    _, header = parts()
    for key in ("dim", "hidden_dim"):
        change(estimator={**header["estimator"], key: size})
        assert "is damaged" in refused(router)


def test_a_calibration_without_quantiles(router: ThresholdRouter) -> None:
    _, header = parts()
    change(calibration={**header["calibration"], "quantiles": [], "recovered": [0.0, 1.0]})
    assert "quantiles" in refused(router)


def test_a_refused_checkpoint_changes_nothing(router: ThresholdRouter) -> None:
    query = {"query": "q", "embedding": [1.0, 0.0, 0.5]}
    before = router.scores([query])[0]
    tensors, header = parts()
    rewrite({name: tensor * 2 for name, tensor in tensors.items()}, {**header, "calibration": {}})
    assert "is damaged" in refused(router)
    assert router.scores([query])[0] == before


@fuzzed
@given(share=st.floats(0, 1, exclude_max=True))
def test_cut_off(router: ThresholdRouter, share: float) -> None:
    content = PATH.read_bytes()
    try:
        PATH.write_bytes(content[: int(len(content) * share)])
        refused(router)
    finally:
        PATH.write_bytes(content)


@fuzzed
@given(content=st.binary(max_size=200))
def test_random_bytes(router: ThresholdRouter, content: bytes) -> None:
    before = PATH.read_bytes()
    try:
        PATH.write_bytes(content)
        refused(router)
    finally:
        PATH.write_bytes(before)


@fuzzed
@given(place=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255))
def test_one_byte_changed(router: ThresholdRouter, place: float, byte: int) -> None:
    content = PATH.read_bytes()
    changed = bytearray(content)
    changed[int(len(content) * place)] = byte
    try:
        PATH.write_bytes(changed)
        loads_or_is_refused(router)
    finally:
        PATH.write_bytes(content)


@fuzzed
@given(keys=st.sampled_from(KEYS), value=json_values)
def test_anything_in_the_header(router: ThresholdRouter, keys: list[str], value: Any) -> None:
    content = PATH.read_bytes()
    try:
        tensors, header = parts()
        rewrite(tensors, nest(header, keys, value))
        loads_or_is_refused(router)
    finally:
        PATH.write_bytes(content)


@pytest.mark.parametrize("keys", KEYS)
def test_a_key_missing_from_the_header(router: ThresholdRouter, keys: list[str]) -> None:
    tensors, header = parts()
    inner = header
    for key in keys[:-1]:
        inner = inner[key]
    inner.pop(keys[-1], None)
    rewrite(tensors, header)
    loads_or_is_refused(router)


def test_code_in_it_does_not_run(router: ThresholdRouter) -> None:
    import torch

    torch.save({"estimator.linear": Payload()}, PATH)
    refused(router)
    PATH.write_bytes(pickle.dumps(Payload()))
    refused(router)
    with zipfile.ZipFile(PATH, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Payload()))
    refused(router)
    assert not Path("ran").exists()


def test_an_overlong_number_in_the_header_is_damage(router: ThresholdRouter) -> None:
    _, header = parts()
    change(calibration={**header["calibration"], "slope": 10**400})
    assert "is damaged" in refused(router)
