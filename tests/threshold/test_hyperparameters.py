"""A hyperparameter that makes no sense is refused with its key and line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from llmrouter.errors import ConfigError

if TYPE_CHECKING:
    from llmrouter_threshold.hyperparameters import Hyperparameters

pytestmark = pytest.mark.torch

NAN, INFINITE = float("nan"), float("inf")

SEED = """
    hparam:
      embedding_dim: 128
      hidden_dim: 64
      learning_rate: 0.001
      train_epoch: 10
      batch_size: 32
      small_model: small
      large_model: large
      threshold: 0.5
"""


def read(**hparam: Any) -> Hyperparameters:
    from llmrouter_threshold.hyperparameters import Hyperparameters

    return Hyperparameters.from_config({"hparam": hparam}, None)


def problem_of(**hparam: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        read(**hparam)
    return caught.value


def test_defaults_need_nothing() -> None:
    assert read().encoder == "hashing"
    assert (read().threshold, read().strong_share, read().quality) == (None, None, None)


def test_null_is_the_default() -> None:
    assert read(batch_size=None, encoder=None) == read()


def test_a_name_that_is_none_of_its_own_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"hparam\.strong_shar: is unknown; did you mean 'strong_share'"):
        read(strong_shar=0.3)


def test_the_names_that_routers_of_this_kind_have_elsewhere(write: Callable[[str, str], Path]) -> None:
    from llmrouter.config import read_config
    from llmrouter_threshold.hyperparameters import Hyperparameters

    path = write("config.yaml", SEED)
    found = Hyperparameters.from_config(read_config(path), path)
    assert (found.embedding_dim, found.hidden_dim, found.train_epoch) == (128, 64, 10)
    assert (found.small_model, found.large_model, found.threshold) == ("small", "large", 0.5)
    assert (found.learning_rate, found.batch_size) == (0.001, 32)


NO_THRESHOLDS: list[Any] = [0.5, "0.5", [0.6, 0.5], ["a"], {"a": 1}, [-0.1, 0.5], [0.5, 1.1], [True], [NAN]]

NO_FOLDERS: list[Any] = [1, [], 0.5]

WRONG: list[tuple[str, Any, str]] = [
    *(
        (name, value, "whole number from 1")
        for name in ("embedding_dim", "train_epoch", "batch_size", "patience")
        for value in (0, -1, 1.5, "3", True, [1])
    ),
    *(
        (name, value, "whole number from 0")
        for name in ("hidden_dim", "seed")
        for value in (-1, 0.5, "0", False)
    ),
    *(
        (name, value, "from 0 to 1")
        for name in ("threshold", "strong_share", "quality", "dropout", "validation_share")
        for value in (-0.1, 1.1, "0.5", True, NAN, INFINITE, [0.5])
    ),
    *(
        (name, value, "number from 0")
        for name in ("learning_rate", "weight_decay")
        for value in (-1, "fast", True, NAN)
    ),
    *(("thresholds", value, "ascending numbers from 0 to 1") for value in NO_THRESHOLDS),
    *(("target", value, "gain or difficulty") for value in ("best", 1, True)),
    *(("embedding_cache", value, "folder") for value in NO_FOLDERS),
    *(
        (name, value, "text")
        for name in ("encoder", "small_model", "large_model")
        for value in (1, True, ["a"])
    ),
]


@pytest.mark.parametrize(("name", "value", "told"), WRONG)
def test_a_wrong_value(name: str, value: Any, told: str) -> None:
    problem = problem_of(**{name: value})
    assert problem.key == f"hparam.{name}"
    assert told in str(problem)
    assert repr(value) in str(problem)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("threshold", 0),
        ("threshold", 1),
        ("strong_share", 0.0),
        ("quality", 1.0),
        ("hidden_dim", 0),
        ("weight_decay", 0),
        ("thresholds", [0.2, 0.2]),
        ("thresholds", [0, 1]),
        ("target", "difficulty"),
        ("embedding_cache", "folder"),
        ("embedding_cache", False),
    ],
)
def test_a_value_at_the_edge(name: str, value: Any) -> None:
    assert getattr(read(**{name: value}), name) == value


def test_the_line_is_told(write: Callable[[str, str], Path]) -> None:
    from llmrouter.config import read_config
    from llmrouter_threshold.hyperparameters import Hyperparameters

    path = write("config.yaml", "hparam:\n  seed: 1\n  batch_size: many\n")
    with pytest.raises(ConfigError, match="'many'") as caught:
        Hyperparameters.from_config(read_config(path), path)
    assert (caught.value.path, caught.value.line) == (path, 3)


@pytest.mark.parametrize(
    ("hparam", "key"),
    [
        ({"threshold": 0.5, "quality": 0.9}, "quality"),
        ({"strong_share": 0.5, "threshold": 0.0}, "strong_share"),
        ({"thresholds": [0.5], "strong_share": 0.1}, "strong_share"),
    ],
)
def test_more_than_one_way_to_choose(hparam: dict[str, Any], key: str) -> None:
    problem = problem_of(**hparam)
    assert problem.key == f"hparam.{key}"
    assert "keep one" in str(problem)
