"""Checks of judges."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

from llmrouter.models.judge import Judge, Judgement
from llmrouter_testing import samples
from llmrouter_testing.checks.common import checked_random_state, duration, from_threads, median_seconds
from llmrouter_testing.comparing import same
from llmrouter_testing.report import Checks, fail
from llmrouter_testing.subjects.named import JudgeSubject, exchange

judge_checks: Checks[JudgeSubject] = Checks()


def _score(judge: Judge, request: Mapping[str, Any], response: Mapping[str, Any]) -> float:
    """Let a judge score an answer, and check what it says; returns the score."""
    judgement: Any = judge.score(request, response)
    if not isinstance(judgement, Judgement):
        fail(f"it returned {type(judgement).__name__}, not a Judgement")
    score: Any = judgement.score
    if not isinstance(score, int | float) or not math.isfinite(score):
        fail(f"it gave {score!r}, which is no finite number")
    if not judge.min_score <= score <= judge.max_score:
        fail(f"it gave {score}, which is not from {judge.min_score:g} to {judge.max_score:g}")
    reason: Any = judgement.reason
    if not isinstance(reason, str):
        fail(f"its reason is {reason!r}, not text")
    if judgement.cost is not None and not judgement.cost >= 0:
        fail(f"its cost is {judgement.cost!r}, not an amount in USD")
    return score


def _scores(subject: JudgeSubject) -> list[float]:
    judge = subject.make()
    return [_score(judge, *exchanged) for exchanged in subject.exchanges]


@judge_checks
def judgement_contract(subject: JudgeSubject) -> None:
    """A judgement's score is a number from the judge's lowest to its highest, its reason is text."""
    judge = subject.make()
    if not judge.min_score < judge.max_score:
        fail(f"its lowest score, {judge.min_score}, is not below its highest, {judge.max_score}")
    _scores(subject)


@judge_checks
def missing_fields(subject: JudgeSubject) -> None:
    """Without reference, without text, or with tool calls an answer is judged, or a ValueError says why not.

    Any other error would be taken for a fault of the judge.
    """
    (request, response), judge = exchange("What is 1 + 1?", "2"), subject.make()
    calls = [{"id": "1", "type": "function", "function": {"name": "add", "arguments": "{}"}}]
    parts = [{"type": "text", "text": "2"}]
    for asked, answered in (
        ({"messages": request["messages"]}, response),
        ({**request, "messages": []}, response),
        (
            {**request, "messages": [{"role": "user", "content": parts}]},
            {"role": "assistant", "content": parts},
        ),
        (request, {"role": "assistant", "content": None, "tool_calls": calls}),
        (request, {"role": "assistant", "content": ""}),
        (request, {"role": "assistant"}),
    ):
        try:
            _score(judge, asked, answered)
        except ValueError:
            continue


@judge_checks
def unusual_texts(subject: JudgeSubject) -> None:
    """Texts that are empty, huge, or in any script are judged, or a ValueError says why not."""
    judge = subject.make()
    for text in (*samples.EMPTY, *samples.NON_LATIN, samples.HUGE):
        try:
            _score(judge, *exchange(text, text))
        except ValueError:
            continue


@judge_checks
def own_random_state(subject: JudgeSubject) -> None:
    """The judge draws random numbers from a generator of its own, and leaves those of others alone."""
    checked_random_state(lambda: _scores(subject))


@judge_checks
def thread_safe(subject: JudgeSubject) -> None:
    """Several threads may ask one judge at once: training does so."""
    judge, expected = subject.make(), _scores(subject)
    for scores in from_threads(lambda exchanged: _score(judge, *exchanged), subject.exchanges):
        if not same(expected, scores):
            fail("among threads the same answers get other scores")


@judge_checks
def changes_no_input(subject: JudgeSubject) -> None:
    """Judging changes neither the request nor the answer."""
    judge, given = subject.make(), copy.deepcopy(subject.exchanges)
    for exchanged in given:
        judge.score(*exchanged)
    if given != subject.exchanges:
        fail("it changes the request or the answer that it is given")


@judge_checks
def time_per_answer(subject: JudgeSubject) -> str:
    """An answer is judged within a second, or what the suite was told; the time is reported."""
    judge = subject.make()
    took = median_seconds(lambda exchanged: judge.score(*exchanged), subject.exchanges)
    if took > subject.seconds_per_answer:
        fail(f"an answer takes {duration(took)}, more than {duration(subject.seconds_per_answer)}")
    return f"{duration(took)} an answer"
