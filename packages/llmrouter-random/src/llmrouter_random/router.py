"""Draw an LLM at random: the baseline that any other router has to beat."""

import random
from bisect import bisect
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from llmrouter.config import config_error
from llmrouter.models.hyperparameters import read_hyperparameters
from llmrouter.models.router import Router
from llmrouter.spelling import nearest


@dataclass(frozen=True)
class Hyperparameters:
    """What can be set.

    Attributes:
        seed: Of the router's own generator; without it every run differs.
        weights: Name of an LLM to how often it is drawn, relative to the others; one left out never is.
    """

    seed: Any = None
    weights: Any = None


_NAMES = ("seed", "weights")


class RandomRouter(Router):
    """Draws an LLM at random, uniformly or by weight, as its `Hyperparameters` say."""

    quick = True

    def __init__(self, yaml_path: str) -> None:
        super().__init__(yaml_path)
        settings = read_hyperparameters(Hyperparameters, self.cfg, yaml_path)
        # As a baseline it runs with other routers' configurations: only what is almost its own is a mistake.
        for name in self.cfg["hparam"]:
            if name not in _NAMES and (near := nearest(name, _NAMES)):
                raise config_error(yaml_path, ["hparam", str(name)], f"is unknown; did you mean {near!r}?")
        weights = settings.weights or dict.fromkeys(self.llm_data, 1)
        if problem := self._problem(weights):
            raise config_error(yaml_path, ["hparam", "weights"], problem)
        self._weights = weights
        self._names = list(weights)
        self._cumulative = list(accumulate(weights.values()))
        self._random = random.Random(settings.seed)

    def route_single(self, query_input: dict[str, Any]) -> dict[str, Any]:
        """Draw one LLM."""
        names, cumulative = self._names, self._cumulative
        allowed = query_input.get("allowed_llms")
        if allowed is not None:
            names = [name for name in names if name in allowed] or names
            cumulative = list(accumulate(self._weights[name] for name in names))
        point = self._random.random() * cumulative[-1]
        # The product may be rounded up to the last sum, past which there is no name.
        return {"model_name": names[bisect(cumulative, point, 0, len(names) - 1)]}

    def _problem(self, weights: Any) -> str | None:
        if not isinstance(weights, dict):
            return "expected 'LLM: weight' lines"
        if unknown := [name for name in weights if name not in self.llm_data]:
            return f"no candidate is named {unknown[0]!r}; there are {', '.join(self.llm_data)}"
        if not all(isinstance(weight, int | float) and weight >= 0 for weight in weights.values()):
            return "weights are numbers from 0"
        return None if any(weights.values()) else "one weight at least is above 0"
