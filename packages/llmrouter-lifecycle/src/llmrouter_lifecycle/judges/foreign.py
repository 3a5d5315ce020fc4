"""Judges of plugins and of the user: whatever they do, a call of theirs ends, with a score or an error."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from llmrouter.errors import LLMRouterError, PluginError, text_of
from llmrouter.models.judge import Judge, Judgement
from llmrouter.plugin_system.isolation import own_copy
from llmrouter.plugin_system.time_limit import GivenUpError, TimeLimit, call_within
from llmrouter_lifecycle.errors import InvalidParameterError, JudgementError

# Seconds that a judgement may take, unless the judge's spec says otherwise, and at most.
SECONDS = 60.0
MOST_SECONDS = 3600.0
TIMEOUT = "timeout_seconds"
# Characters of a reason that are kept.
LONGEST_REASON = 20_000


class JudgeGivenUpError(JudgementError):
    """The judge hangs; asking it again is useless."""


class ForeignJudge(Judge):
    """Calls a function that other people wrote, within limits.

    Args:
        spec: The judge's spec; its ``timeout_seconds`` is the time limit of a judgement.
        function: Called with copies of request and response; returns a number or a `Judgement`.
        lowest: The lowest score that it may give.
        highest: The highest.

    Raises:
        InvalidParameterError: The time limit is no number from 0 to 3600, or the scores are no range.
    """

    def __init__(
        self, spec: Mapping[str, Any], function: Callable[..., Any], lowest: Any, highest: Any
    ) -> None:
        super().__init__(spec)
        kind = text_of(spec["model_type"], longest=200)
        self.min_score, self.max_score = _range(kind, lowest, highest)
        self._limit = TimeLimit(f"the judge {kind}", self._judgement(function), _seconds(spec))

    @classmethod
    def of_plugin(cls, spec: Mapping[str, Any], judge_class: Callable[..., Judge]) -> ForeignJudge:
        """Make a judge of a plugin's class.

        Raises:
            PluginError: Its code fails.
            InvalidParameterError: As above.
        """

        def make() -> tuple[Callable[..., Any], Any, Any]:
            judge = judge_class(own_copy(dict(spec)))
            return judge.score, judge.min_score, judge.max_score

        return cls(spec, *call_within(SECONDS, f"Judge {spec['model_type']!r}", make))

    def score(self, request: Mapping[str, Any], response: Mapping[str, Any]) -> Judgement:
        """Refuse: a judgement takes its time in a thread of its own, so it is awaited."""
        raise NotImplementedError("await judge() instead")

    async def judge(self, request: Mapping[str, Any], response: Mapping[str, Any]) -> Judgement:
        """Return the judgement of an answer.

        Raises:
            JudgementError: The judge failed, took too long, or gave no score that counts.
            JudgeGivenUpError: It took too long too often.
        """
        try:
            # Copies: what a judge edits goes to no LLM.
            judgement = await self._limit(own_copy(dict(request)), own_copy(dict(response)))
        except GivenUpError as error:
            raise JudgeGivenUpError(str(error)) from error
        except JudgementError as error:
            raise JudgementError(text_of(error), cost=_cost(error.cost)) from error
        except LLMRouterError as error:
            raise JudgementError(text_of(error)) from error
        if not self.min_score <= judgement.score <= self.max_score:
            raise JudgementError(
                f"the judge gave {judgement.score:g}, which is not from {self.min_score:g} to "
                f"{self.max_score:g}",
                cost=judgement.cost,
            )
        return judgement

    def _judgement(self, function: Callable[..., Any]) -> Callable[..., Judgement]:
        """Return a function that calls the judge's and returns a judgement of our own types."""

        def call(request: dict[str, Any], response: dict[str, Any]) -> Judgement:
            # Within the limits too, because the methods of a result are other people's code.
            result = function(request, response)
            if isinstance(result, Coroutine):
                result.close()
                raise PluginError("the judge is an async function; write it without async")
            if not isinstance(result, Judgement):
                return Judgement(_number(result))
            reason = text_of(result.reason, longest=LONGEST_REASON, lines=True)
            return Judgement(_number(result.score), reason, _cost(result.cost))

        return call


def _number(value: Any) -> float:
    """Return a score as a float; NumPy's numbers and truth values count as numbers, texts do not."""
    number = math.nan if isinstance(value, str | bytes | bytearray) else float(value)
    if not math.isfinite(number):
        raise PluginError(f"the judge gave {text_of(value, repr, 80)}, which is not a number")
    return number


def _cost(value: Any) -> float | None:
    """Return what judging cost in USD; None, that is unknown, for what is no amount."""
    try:
        cost = float(value)
    except Exception:  # it may be an object of any kind
        return None
    return cost if 0 <= cost < math.inf else None


def _range(kind: str, lowest: Any, highest: Any) -> tuple[float, float]:
    try:
        found = _number(lowest), _number(highest)
    except Exception:  # as in _cost
        found = (math.nan, math.nan)
    if not found[0] < found[1]:
        raise InvalidParameterError(
            f"judgeSpec: min_score and max_score of {kind} are {text_of(lowest, repr, 40)} and "
            f"{text_of(highest, repr, 40)}; expected two numbers, the lower one first",
            param="judgeSpec.min_score",
        )
    return found


def _seconds(spec: Mapping[str, Any]) -> float:
    value = spec.get(TIMEOUT, SECONDS)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MOST_SECONDS:
        raise InvalidParameterError(
            f"judgeSpec.{TIMEOUT}: expected seconds, up to {MOST_SECONDS:g}, found "
            f"{text_of(value, repr, 40)}",
            param=f"judgeSpec.{TIMEOUT}",
        )
    return float(value)
