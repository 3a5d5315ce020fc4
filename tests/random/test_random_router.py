"""randomrouter draws as often as its weights say, and the same for the same seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from llmrouter.errors import ConfigError
from llmrouter.routing import DecisionEngine
from llmrouter_random.router import RandomRouter

BATCH = [{"query": f"query {number}"} for number in range(4000)]


def drawn(router: RandomRouter) -> list[str]:
    return [result["model_name"] for result in router.route_batch(BATCH)]


def test_draws_each_candidate_alike(config: Callable[..., str]) -> None:
    counts = Counter(drawn(RandomRouter(config(hparam={"seed": 1}))))
    assert set(counts) == {"small", "large"}
    assert abs(counts["small"] - counts["large"]) < 300


def test_weights_are_relative_and_one_left_out_is_never_drawn(config: Callable[..., str]) -> None:
    candidates: dict[str, dict[str, float]] = {"a": {}, "b": {}, "c": {}}
    router = RandomRouter(config(candidates, hparam={"seed": 1, "weights": {"a": 3, "c": 1}}))
    counts = Counter(drawn(router))
    assert set(counts) == {"a", "c"}
    assert 2.6 < counts["a"] / counts["c"] < 3.4


def test_a_seed_fixes_the_draws_whatever_the_batches(config: Callable[..., str]) -> None:
    path = config(hparam={"seed": 7})
    one_by_one = RandomRouter(path)
    assert drawn(RandomRouter(path)) == [one_by_one.route_single(query)["model_name"] for query in BATCH]


def test_without_a_seed_runs_differ(config: Callable[..., str]) -> None:
    path = config()
    assert drawn(RandomRouter(path)) != drawn(RandomRouter(path))


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ({"tiny": 1}, "'tiny'; there are small, large"),
        ({"small": -1}, "from 0"),
        ({"small": "often"}, "from 0"),
        ({"small": 0, "large": 0}, "above 0"),
        ([1, 2], "'LLM: weight' lines"),
    ],
)
def test_weights_that_make_no_sense(config: Callable[..., str], weights: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        RandomRouter(config(hparam={"weights": weights}))
    assert caught.value.key == "hparam.weights"
    assert caught.value.line == 1


CANDIDATES: dict[str, dict[str, float]] = {"a": {}, "b": {}, "c": {}}


class TestAllowedLLMs:
    def drawn(self, router: RandomRouter, allowed: Any) -> Counter[str]:
        batch = [{"query": "hi", "allowed_llms": allowed}] * 4000
        return Counter(result["model_name"] for result in router.route_batch(batch))

    def test_only_these_are_drawn_by_their_weights(self, config: Callable[..., str]) -> None:
        weights = {"a": 3, "b": 1, "c": 4}
        counts = self.drawn(
            RandomRouter(config(CANDIDATES, hparam={"seed": 1, "weights": weights})), ["b", "a"]
        )
        assert set(counts) == {"a", "b"}
        assert 2.6 < counts["a"] / counts["b"] < 3.4

    def test_none_is_no_restriction(self, config: Callable[..., str]) -> None:
        assert set(self.drawn(RandomRouter(config(CANDIDATES)), None)) == {"a", "b", "c"}

    @pytest.mark.parametrize("weights", [{"a": 1}, {"a": 1, "b": 0}])
    def test_one_without_weight_is_taken_where_nothing_else_is_allowed(
        self, config: Callable[..., str], weights: dict[str, int]
    ) -> None:
        engine = DecisionEngine(RandomRouter(config(CANDIDATES, hparam={"weights": weights})), "randomrouter")
        assert engine.decide({"query": "hi", "allowed_llms": ["b"]}).model_name == "b"
