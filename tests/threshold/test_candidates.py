"""The LLMs are ordered from small to large by what is known of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from llmrouter.errors import ConfigError

pytestmark = pytest.mark.torch

THREE: dict[str, dict[str, Any]] = {"mid": {"cost": 2}, "large": {"cost": 3.5}, "small": {"cost": 0}}


def tiers_of(candidates: Mapping[str, Mapping[str, Any]], **hparam: Any) -> list[str]:
    from llmrouter_threshold.candidates import tiers

    return tiers(candidates, hparam, {})


def problem_of(candidates: Mapping[str, Mapping[str, Any]], **hparam: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        tiers_of(candidates, **hparam)
    return caught.value


def sizes(*values: Any) -> dict[str, dict[str, Any]]:
    return {f"llm{number}": {"size": value} for number, value in enumerate(values)}


def test_by_cost() -> None:
    assert tiers_of(THREE) == ["small", "mid", "large"]


def test_equal_costs_keep_the_order_of_the_file() -> None:
    assert tiers_of({"b": {"cost": 1}, "a": {"cost": 1}}) == ["b", "a"]


def test_by_prices() -> None:
    dear = {"input_price": 1, "output_price": 9}
    cheap = {"input_price": 2, "output_price": 3}
    assert tiers_of({"dear": dear, "cheap": cheap}) == ["cheap", "dear"]


def test_cost_goes_before_size() -> None:
    candidates = {"a": {"cost": 2, "size": "1B"}, "b": {"cost": 1, "size": "70B"}}
    assert tiers_of(candidates) == ["b", "a"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("500M", "7B"),
        ("7B", "70B"),
        ("70B", "8x22B"),
        ("8x22B", "1T"),
        ("1.5B", "2B"),
        ("900m", "1b"),
        ("8 x 7 B", "70B"),
        ("about 7B parameters", "8B"),
    ],
)
def test_by_size(first: str, second: str) -> None:
    assert tiers_of(sizes(second, first)) == ["llm1", "llm0"]


def test_by_size_where_one_cost_is_unknown() -> None:
    candidates = {"a": {"size": "70B", "cost": 1}, "b": {"size": "7B", "input_price": 1}}
    assert tiers_of(candidates) == ["b", "a"]


@pytest.mark.parametrize("size", [None, "", "unknown", 7, "B"])
def test_without_costs_and_sizes_the_llms_must_be_named(size: Any) -> None:
    problem = problem_of(sizes("7B", size))
    assert problem.key == "hparam.small_model"
    assert "name small_model and large_model" in str(problem)
    assert tiers_of(sizes("7B", size), small_model="llm1", large_model="llm0") == ["llm1", "llm0"]


def test_both_named_are_the_only_two_whatever_they_cost() -> None:
    assert tiers_of(THREE, small_model="large", large_model="mid") == ["large", "mid"]


def test_the_small_one_named_is_an_end() -> None:
    assert tiers_of(THREE, small_model="mid") == ["mid", "large"]


def test_the_large_one_named_is_an_end() -> None:
    assert tiers_of(THREE, large_model="mid") == ["small", "mid"]


@pytest.mark.parametrize(("key", "name"), [("small_model", "large"), ("large_model", "small")])
def test_an_end_beyond_which_there_is_nothing(key: str, name: str) -> None:
    problem = problem_of(THREE, **{key: name})
    assert problem.key == f"hparam.{key}"
    assert f"no other LLM beyond '{name}'" in str(problem)


@pytest.mark.parametrize("key", ["small_model", "large_model"])
def test_an_unknown_name_is_told_with_those_there_are(key: str) -> None:
    problem = problem_of(THREE, **{key: "tiny"})
    assert problem.key == f"hparam.{key}"
    assert "'tiny'; there are mid, large, small" in str(problem)


def test_the_same_llm_twice() -> None:
    problem = problem_of(THREE, small_model="mid", large_model="mid")
    assert problem.key == "hparam.large_model"
    assert "same LLM" in str(problem)


def test_one_candidate_is_too_few() -> None:
    assert problem_of({"only": {"cost": 1}}).key == "data_path.llm_data"
