"""What a job's calls amount to: what the router learns from, and what each LLM achieved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llmrouter.completion.messages import query_of
from llmrouter.models.judge import Judge
from llmrouter_lifecycle.judges.create import quality_of
from llmrouter_lifecycle.store.calls import Call, CallKey
from llmrouter_lifecycle.store.jobs import Job

# The share of requests that must be judged for an LLM to be trained on.
ENOUGH = 0.8


@dataclass(frozen=True)
class Outcome:
    """What a job's calls amount to.

    Attributes:
        rows: One for each answer that was judged, of the LLMs that are trained on.
        llms: Those LLMs, in the order of the job.
        told: For each LLM of the job ``judged``, ``failed``, ``mean_score``, ``mean_quality``, ``mean_cost``
            (USD for an answer), ``cost`` (USD of all its answers), and ``left_out``, the reason or None.
    """

    rows: list[dict[str, Any]]
    llms: list[str]
    told: dict[str, dict[str, Any]]


def outcome_of(
    job: Job, judge: Judge, requests: Mapping[int, dict[str, Any]], calls: Mapping[CallKey, Call]
) -> Outcome:
    """Put together what a job's calls amount to."""
    told: dict[str, dict[str, Any]] = {}
    rows: list[dict[str, Any]] = []
    llms = []
    for llm in job.llms:
        judged = {
            index: (calls[CallKey(index, llm, "answer")], call)
            for index in sorted(requests)
            if (call := calls.get(CallKey(index, llm, "judge"))) is not None and call.score is not None
        }
        told[llm] = _told(job, judge, llm, judged, len(requests), calls)
        if told[llm]["left_out"] is None:
            llms.append(llm)
            rows += [
                _row(index, requests[index], llm, answer, quality_of(judge, score.score or 0.0))
                for index, (answer, score) in judged.items()
            ]
    return Outcome(rows, llms, told)


def _row(index: int, request: dict[str, Any], llm: str, answer: Call, quality: float) -> dict[str, Any]:
    row = {
        "id": index,
        "query": query_of(request["messages"]),
        "messages": request["messages"],
        "model_name": llm,
        "performance": quality,
    }
    if request.get("tools"):
        row["tools"] = request["tools"]
    if answer.prompt_tokens is not None and answer.completion_tokens is not None:
        row["prompt_tokens"] = answer.prompt_tokens
        row["completion_tokens"] = answer.completion_tokens
    elif answer.cost is not None:
        row["cost"] = answer.cost
    return row


def _told(
    job: Job,
    judge: Judge,
    llm: str,
    judged: Mapping[int, tuple[Call, Call]],
    count: int,
    calls: Mapping[CallKey, Call],
) -> dict[str, Any]:
    scores = [score.score or 0.0 for _, score in judged.values()]
    costs = [answer.cost for answer, _ in judged.values()]
    answers = [
        call for key, call in calls.items() if key.llm == llm and key.kind == "answer" and call.error is None
    ]
    left_out = job.stopped.get(llm)
    if left_out is None and len(judged) < ENOUGH * count:
        left_out = f"only {len(judged)} of {count} answers are judged, less than {ENOUGH:.0%}"
        problems = [call.error for key, call in calls.items() if key.llm == llm and call.error is not None]
        if problems:
            left_out += f"; the last problem: {problems[-1]}"
    return {
        "judged": len(judged),
        "failed": sum(key.llm == llm and call.error is not None for key, call in calls.items()),
        "mean_score": _mean(scores),
        "mean_quality": _mean([quality_of(judge, score) for score in scores]),
        "mean_cost": _mean(costs),
        "cost": None if any(call.cost is None for call in answers) else sum(c.cost or 0.0 for c in answers),
        "left_out": left_out,
    }


def _mean(values: list[Any]) -> float | None:
    return None if not values or any(value is None for value in values) else sum(values) / len(values)
