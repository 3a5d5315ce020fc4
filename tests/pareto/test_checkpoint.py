"""A checkpoint that does not fit is a CheckpointError, whatever is in it; what is saved is what is loaded."""

from __future__ import annotations

import contextlib
import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrouter.errors import CheckpointError, LLMRouterError
from tests.fuzzing import fuzzed, json_values
from tests.pareto.conftest import CANDIDATES, outcomes, texts

if TYPE_CHECKING:
    import torch

    from llmrouter_pareto.router import ParetoRouter

pytestmark = pytest.mark.torch


@pytest.fixture(scope="session")
def small() -> bytes:
    """A checkpoint without an encoder, quick to read."""
    from llmrouter_pareto import train

    rows = [{**row, "embedding": [1.0, 0.0, number / 60]} for number, row in enumerate(outcomes(texts(60)))]
    return train(rows, CANDIDATES, {"encoder": "none"})


def read(content: bytes) -> ParetoRouter:
    from llmrouter_pareto import ParetoRouter

    return ParetoRouter.from_checkpoint(content, CANDIDATES)


def parts(content: bytes) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    from llmrouter.models.checkpoint import unpack_checkpoint

    return unpack_checkpoint(content, "checkpoint")


def changed(content: bytes, **header: Any) -> bytes:
    from llmrouter.models.checkpoint import pack_checkpoint

    tensors, before = parts(content)
    return pack_checkpoint(tensors, {**before, **header})


def test_what_is_saved_is_what_is_loaded(router: ParetoRouter, learned: bytes) -> None:
    router.save_router("folder/model.safetensors")
    assert Path("folder/model.safetensors").read_bytes() == learned
    batch = [{"query": text} for text in texts(30, seed=1)]
    again = read(learned)
    assert again.route_batch(batch) == router.route_batch(batch)
    assert again.summary == router.summary
    assert again.checkpoint() == learned


def test_a_loaded_router_predicts_as_the_trained_one() -> None:
    from llmrouter.learning.training import learn
    from llmrouter_pareto import ParetoRouter

    router = ParetoRouter({}, CANDIDATES)
    learn(router, outcomes(texts(60)), lambda *_: None)
    batch = [{"query": text} for text in texts(30, seed=1)]
    assert read(router.checkpoint()).route_batch(batch) == router.route_batch(batch)


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ({"router": "thresholdrouter"}, "was saved by thresholdrouter, not by paretorouter"),
        ({"router": None}, "was saved by something else"),
        ({"format": 2}, "is of a newer format; upgrade llmrouter-pareto to read it"),
        ({"format": "1"}, "is of a newer format"),
        ({"llms": ["small"]}, "is damaged: the numbers of LLMs differ"),
        ({"llms": ["small", "small"]}, "is damaged: the names of the LLMs"),
        ({"llms": ["a", "b"]}, "none of which is a candidate"),
        ({"encoder": {"name": "unheard of"}}, "its encoder cannot be used: Unknown encoder"),
        ({"encoder": {"name": "hashing", "version": "0"}}, "needs version 0 of encoder hashing"),
        ({"calibration": {"slope": -1, "intercept": 0, "error": None}}, "is damaged: the calibration"),
        ({"costs": {"units": ["usd", "eur"], "ratios": [1, 1]}}, "is damaged: costs are in"),
    ],
)
def test_a_checkpoint_that_does_not_fit(small: bytes, header: dict[str, Any], says: str) -> None:
    with pytest.raises(CheckpointError, match=says):
        read(changed(small, **header))


@pytest.mark.parametrize("size", [10**8, 10**15, 10**30])
def test_a_size_that_no_memory_holds(learned: bytes, size: int) -> None:
    _, header = parts(learned)
    assert header["predictor"]["kept"] is not None
    for key in ("dim", "kept", "components", "memory", "llms"):
        # The encoder knows how many features there are: nothing is made to the size that the header claims.
        with pytest.raises(CheckpointError, match="is damaged"):
            read(changed(learned, predictor={**header["predictor"], key: size}))


def test_weights_that_are_no_numbers(small: bytes) -> None:
    from llmrouter.models.checkpoint import pack_checkpoint

    tensors, header = parts(small)
    tensors["predictor.weights"][0, 0] = float("nan")
    with pytest.raises(CheckpointError, match="weights holds what is no number"):
        read(pack_checkpoint(tensors, header))


@pytest.mark.parametrize("end", [0, 5, 100, -1])
def test_a_truncated_checkpoint(small: bytes, end: int) -> None:
    with pytest.raises(CheckpointError):
        read(small[:end])


@fuzzed
@given(data=st.data())
def test_a_header_of_whatever_is_refused_or_works(small: bytes, data: st.DataObject) -> None:
    header = copy.deepcopy(parts(small)[1])
    place: Any = header
    key = data.draw(st.sampled_from(sorted(header)))
    while isinstance(place[key], dict) and place[key] and data.draw(st.booleans()):
        place = place[key]
        key = data.draw(st.sampled_from(sorted(place)))
    place[key] = data.draw(json_values)
    with contextlib.suppress(LLMRouterError):
        read(changed(small, **header)).route_batch([{"query": "q", "embedding": [1.0, 0.0, 0.5]}])


@fuzzed
@given(place=st.integers(0, 10**6), value=st.integers(0, 255))
def test_a_changed_byte_is_refused_or_works(small: bytes, place: int, value: int) -> None:
    content = bytearray(small)
    content[place % len(content)] = value
    with contextlib.suppress(LLMRouterError):
        read(bytes(content)).route_batch([{"query": "q", "embedding": [1.0, 0.0, 0.5]}])
