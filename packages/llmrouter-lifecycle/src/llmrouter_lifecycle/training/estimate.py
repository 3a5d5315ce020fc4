"""What calls will cost, before they are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmrouter.completion.messages import estimate_tokens
from llmrouter.models.judge import Judge
from llmrouter_lifecycle.judges.rubric import RubricJudge
from llmrouter_lifecycle.models import Models

# Tokens of an answer where the request sets no limit, and of a judge's.
ANSWER_TOKENS = 400
JUDGE_TOKENS = 250
BYTES_PER_TOKEN = 4


@dataclass(frozen=True)
class Estimator:
    """Estimates the cost of a training job's calls, in USD; None where a price is unknown."""

    models: Models
    judge: Judge

    def answer(self, request: Mapping[str, Any], llm: str) -> float | None:
        """Return the expected cost of an LLM's answer."""
        price = self.models.price(llm)
        if price is None:
            return None
        return price.cost(estimate_tokens(request["messages"], request.get("tools")), answer_tokens(request))

    def judging(self, request: Mapping[str, Any]) -> float | None:
        """Return the expected cost of judging an answer; 0 for a judge that asks no LLM."""
        if not isinstance(self.judge, RubricJudge):
            return 0.0
        price = self.models.price(self.judge.model)
        if price is None:
            return None
        spec = self.judge.spec
        rubric = len((spec["prescript"] + spec["rubric"] + spec["postscript"]).encode()) // BYTES_PER_TOKEN
        prompt = rubric + estimate_tokens(request["messages"]) + answer_tokens(request)
        return price.cost(prompt, JUDGE_TOKENS)


def answer_tokens(request: Mapping[str, Any]) -> int:
    """Return how many tokens an answer is expected to have."""
    limits = [request.get(key) for key in ("max_tokens", "max_completion_tokens")]
    known = [limit for limit in limits if isinstance(limit, int) and limit > 0]
    return min([*known, ANSWER_TOKENS])


def estimate(
    estimator: Estimator, llms: Sequence[str], requests: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return how many calls a job makes and what they are expected to cost.

    Returns:
        ``calls``, ``usd`` (None where a price is unknown), ``unknown_prices`` (LLMs), ``llms`` (USD of each
        LLM's answers) and ``judge`` (USD of judging).
    """
    answers = {llm: [estimator.answer(request, llm) for request in requests] for llm in llms}
    judging = [estimator.judging(request) for request in requests] * len(llms)
    judge = estimator.judge
    asks = isinstance(judge, RubricJudge)
    unknown = [llm for llm in llms if estimator.models.price(llm) is None]
    if isinstance(judge, RubricJudge) and estimator.models.price(judge.model) is None:
        unknown = list(dict.fromkeys([*unknown, judge.model]))
    per_llm = {llm: _sum(costs) for llm, costs in answers.items()}
    return {
        "calls": len(llms) * len(requests) * (2 if asks else 1),
        "usd": _sum([*per_llm.values(), _sum(judging)]),
        "unknown_prices": unknown,
        "llms": per_llm,
        "judge": _sum(judging),
    }


def _sum(costs: Sequence[float | None]) -> float | None:
    known = [cost for cost in costs if cost is not None]
    return sum(known) if len(known) == len(costs) else None
