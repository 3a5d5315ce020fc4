"""Hyperparameters are declared, and what a configuration says of them is checked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest

from llmrouter.config import read_config
from llmrouter.errors import ConfigError
from llmrouter.models.hyperparameters import (
    FOLDER,
    SHARE,
    TEXT,
    Check,
    above,
    number,
    one_of,
    read_hyperparameters,
    whole,
)


@dataclass(frozen=True)
class Declared:
    """Some that a router might have."""

    k: Annotated[int, whole(1)] = 200
    temperature: Annotated[float, above(0)] = 0.3
    threshold: Annotated[float | None, SHARE] = None
    quality: Annotated[float | None, SHARE] = None
    anything: Any = None


def read(**hparam: Any) -> Declared:
    return read_hyperparameters(Declared, {"hparam": hparam}, None, ("threshold", "quality"))


def test_what_is_not_given_has_its_default_and_what_is_not_declared_is_left_to_others() -> None:
    assert read(k=None, temperature=2, other="x") == Declared(temperature=2)
    assert read(anything=[1]) == Declared(anything=[1])


def test_a_wrong_value_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("hparam:\n  temperature: 1\n  k: none\n")
    with pytest.raises(ConfigError) as told:
        read_hyperparameters(Declared, read_config(path), path)
    assert str(told.value) == f"{path}:3: hparam.k: expected a whole number from 1 to 10^12, found 'none'"


def test_of_those_that_exclude_each_other_one_may_be_given() -> None:
    assert read(threshold=None, quality=0.5).quality == 0.5
    with pytest.raises(ConfigError, match="is one way to choose and threshold another; keep one"):
        read(threshold=0.5, quality=0.5)


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (TEXT, ["", "a"], [1, None, ["a"]]),
        (SHARE, [0, 1, 0.5], [-0.1, 1.1, True, math.nan, "1"]),
        (FOLDER, [True, False, "here"], [1, None]),
        (whole(0), [0, 3], [-1, 1.0, True, "1"]),
        (number(0), [0, 0.5], [-1, math.inf, math.nan, False]),
        (above(0), [0.1, 2], [0, -1, math.inf, True]),
        (one_of(("a", "b", "c")), ["a", "c"], ["d", None, []]),
    ],
)
def test_each_check_tells_right_from_wrong(check: Check, right: list[Any], wrong: list[Any]) -> None:
    assert [value for value in right if not check.holds(value)] == []
    assert [value for value in wrong if check.holds(value)] == []


def test_checks_say_what_they_expect() -> None:
    assert one_of(("a", "b", "c")).expected == "a, b or c"
    assert one_of(("a",)).expected == "a"
    assert (whole(1).expected, above(0.5).expected) == (
        "a whole number from 1 to 10^12",
        "a number above 0.5",
    )


def test_a_strict_reader_names_what_was_meant(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("hparam:\n  seed: 1\n  qualty: 0.5\n")
    read_hyperparameters(Declared, read_config(path), path)
    with pytest.raises(ConfigError, match=r":3: hparam.qualty: is unknown; did you mean 'quality'\?"):
        read_hyperparameters(Declared, read_config(path), path, strict=True)


def test_an_integer_of_400_digits_is_no_traceback() -> None:
    with pytest.raises(ConfigError, match=r"hparam\.quality"):
        read_hyperparameters(Declared, {"hparam": {"quality": 10**400}}, None)
