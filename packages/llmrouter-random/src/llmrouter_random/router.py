"""Draw an LLM at random: the baseline that any other router has to beat."""

import random
from itertools import accumulate
from typing import Any

from llmrouter.errors import ConfigError
from llmrouter.models.router import Router


class RandomRouter(Router):
    """Draws an LLM at random, uniformly or by weight.

    Hyperparameters:
        seed: Of the router's own generator; without it every run differs.
        weights: Name of an LLM to how often it is drawn, relative to the others; one left out never is.
    """

    def __init__(self, yaml_path: str) -> None:
        super().__init__(yaml_path)
        hparam = self.cfg["hparam"]
        weights = hparam.get("weights") or dict.fromkeys(self.llm_data, 1)
        if unknown := set(weights) - set(self.llm_data):
            raise ConfigError(yaml_path, f"no candidate is named {min(unknown)!r}", key="hparam.weights")
        if min(weights.values()) < 0 or sum(weights.values()) <= 0:
            raise ConfigError(
                yaml_path, "weights are numbers from 0, not all of them 0", key="hparam.weights"
            )
        self._names = list(weights)
        self._cumulative = list(accumulate(weights.values()))
        self._random = random.Random(hparam.get("seed"))

    def route_single(self, query_input: dict[str, Any]) -> dict[str, Any]:
        """Draw one LLM."""
        return self.route_batch([query_input])[0]

    def route_batch(self, batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Draw one LLM for each query."""
        drawn = self._random.choices(self._names, cum_weights=self._cumulative, k=len(batch))
        return [{"model_name": name} for name in drawn]
