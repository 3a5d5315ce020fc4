"""One task of a job: let the LLMs answer some of its requests, and the judge score the answers.

Only what is missing is done, so that running a task again, after whatever happened to it, is always right.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from llmrouter.completion.bounds import Bound, Wanted
from llmrouter.errors import CompletionError, ConfigError, LLMRouterError, describe
from llmrouter.models.judge import Judge
from llmrouter_lifecycle.errors import JudgementError
from llmrouter_lifecycle.judges.create import judge_answer
from llmrouter_lifecycle.judges.foreign import JudgeGivenUpError
from llmrouter_lifecycle.judges.rubric import RubricJudge
from llmrouter_lifecycle.models import Models
from llmrouter_lifecycle.store.calls import Call, CallKey
from llmrouter_lifecycle.training.in_hand import InHand, Limits
from llmrouter_lifecycle.training.recorder import Recorder
from llmrouter_lifecycle.training.requests import parameters_of

if TYPE_CHECKING:
    from llmrouter.completion.result import Completion

logger = logging.getLogger(__name__)

# Statuses after which further calls of the same LLM are useless.
USELESS = frozenset({401, 403, 404})
AHEAD = 16
NOTHING = Wanted(0.0, 0.0, 0.0)


class JudgeStoppedError(LLMRouterError):
    """The judge's LLM refuses all calls, so that the job cannot go on."""


class Slots:
    """How many calls a worker makes at once, in all and to each service.

    Args:
        concurrency: In all.
        models: Whose services may allow fewer.
    """

    def __init__(self, concurrency: int, models: Models) -> None:
        self._concurrency = concurrency
        self._models = models
        self._all = asyncio.Semaphore(concurrency)
        self._services: dict[str, asyncio.Semaphore] = {}

    @contextlib.asynccontextmanager
    async def of(self, llm: str) -> AsyncIterator[None]:
        """Hold a slot for a call until it is committed, so that a kill repeats no more calls than slots."""
        service = self._models.catalogue.endpoint(llm).service
        name = service.name if service is not None else ""
        if name not in self._services:
            most = service.concurrency if service is not None else None
            self._services[name] = asyncio.Semaphore(min(most or self._concurrency, self._concurrency))
        # The service first: who waits for a slow one keeps no slot from the others.
        async with self._services[name], self._all:
            yield


class Shard:
    """The requests of a task and what is known of their calls."""

    def __init__(
        self,
        models: Models,
        judge: Judge,
        recorder: Recorder,
        slots: Slots,
        in_hand: InHand,
        limits: Limits,
        requests: Mapping[int, dict[str, Any]],
        known: Mapping[CallKey, Call],
    ) -> None:
        self._models = models
        self._judge = judge
        self._recorder = recorder
        self._slots = slots
        self._in_hand = in_hand
        self._limits = limits
        self._requests = requests
        self._known = known
        # Answers of each LLM under way or waiting for the judge: enough to keep the slots full, few enough
        # that answers are judged soon, and that a slow LLM keeps no other one waiting.
        self._ahead: dict[str, asyncio.Semaphore] = {}

    async def run(self, llms: list[str]) -> None:
        """Make the calls that are missing.

        Raises:
            JudgeStoppedError: The judge's LLM refuses all calls.
            LeaseLostError: Another worker took the task over.
            SQLAlchemyError: The database refuses a call, however often it is written.
        """
        self._ahead = {llm: asyncio.Semaphore(AHEAD) for llm in llms}
        pairs = [
            asyncio.create_task(self._pair(index, llm)) for index in sorted(self._requests) for llm in llms
        ]
        try:
            await asyncio.gather(*pairs)
        finally:
            for pair in pairs:
                pair.cancel()
            await asyncio.gather(*pairs, return_exceptions=True)

    async def _pair(self, index: int, llm: str) -> None:
        request = self._requests[index]
        async with self._ahead[llm]:
            answer = self._known.get(CallKey(index, llm, "answer"))
            if answer is None:
                answer = await self._answer(index, llm, request)
            if answer is None or answer.error is not None or answer.message is None:
                return
            if CallKey(index, llm, "judge") not in self._known:
                await self._score(index, llm, request, answer.message)

    async def _answer(self, index: int, llm: str, request: dict[str, Any]) -> Call | None:
        key = CallKey(index, llm, "answer")
        if not self._recorder.may_begin(key):
            return None
        parameters = parameters_of(request)
        try:
            async with self._slots.of(llm):
                seconds = self._limits.answer(llm)
                bound = self._bound(llm, parameters, request["messages"])
                most = bound.wanted if bound is not None else NOTHING
                if (usd := await self._recorder.begin(key, most, seconds)) is None:
                    return None
                if bound is not None:
                    parameters = self._models.limited(llm, parameters, bound, usd)
                cut = usd < most.usd
                with self._in_hand.step(seconds):
                    call, useless = await self._call(key, request["messages"], parameters, cut)
                await self._recorder.end(call, stop=useless)
                return call
        except ConfigError as error:
            # As of a key that this worker was not given.
            call = Call(key, error=describe(error), cost=0.0)
            await self._recorder.end(call, stop=True)
            return call

    def _bound(self, llm: str, parameters: Mapping[str, Any], messages: list[Any]) -> Bound | None:
        """Return what a call may use at most; None where no budget wants to know."""
        if not self._recorder.limited:
            return None
        return _known(self._models.bound(llm, parameters, messages), llm)

    async def _call(
        self, key: CallKey, messages: list[Any], parameters: dict[str, Any], cut: bool
    ) -> tuple[Call, bool]:
        """Make a call; `cut` says that its answer must be shorter than it would be with more credits."""
        try:
            completion, sent = await self._models.client.chat_async(key.llm, messages, **parameters)
        except CompletionError as error:
            cost = None if error.sent else 0.0
            return (
                Call(key, error=str(error), error_status=error.status, cost=cost),
                error.status in USELESS,
            )
        prompt_tokens, completion_tokens = _tokens(completion)
        choice = sent["choices"][0]
        if cut and choice.get("finish_reason") == "length":
            # An answer that was cut off would be judged worse than the LLM is.
            error_ = "the answer was cut off where the credits ended; raise the budget and retry the job"
            return Call(key, error=error_, cost=completion.cost), False
        message = choice["message"]
        kept = {name: message[name] for name in ("content", "tool_calls") if message.get(name)}
        return (
            Call(
                key,
                message={"role": "assistant", "content": "", **kept},
                prompt_tokens=prompt_tokens,
                completion_tokens=completion_tokens,
                cost=completion.cost,
            ),
            False,
        )

    async def _score(self, index: int, llm: str, request: dict[str, Any], answer: dict[str, Any]) -> None:
        key = CallKey(index, llm, "judge")
        asks = self._judge.model if isinstance(self._judge, RubricJudge) else None
        async with self._slots.of(asks) if asks else contextlib.nullcontext():
            seconds = self._limits.judging(self._judge)
            bound: Bound | None = None
            parameters: dict[str, Any] = {}
            try:
                if isinstance(self._judge, RubricJudge) and self._recorder.limited:
                    found = await asyncio.to_thread(self._judge.bound, self._models, request, answer)
                    bound = _known(found, self._judge.model)
                most = bound.wanted if bound is not None else NOTHING
                if (usd := await self._recorder.begin(key, most, seconds)) is None:
                    return
                if asks is not None and bound is not None:
                    parameters = self._models.limited(asks, {}, bound, usd)
                with self._in_hand.step(seconds):
                    judgement, asked = await judge_answer(self._judge, request, answer, parameters)
            except JudgementError as error:
                call = Call(key, error=str(error), error_status=error.upstream_status, cost=error.cost)
                if error.upstream_status in USELESS or isinstance(error, JudgeGivenUpError):
                    await self._recorder.end(call)
                    raise JudgeStoppedError(f"the judge cannot be asked: {error}") from error
            else:
                call = Call(
                    key,
                    message={"reason": judgement.reason},
                    score=judgement.score,
                    prompt_tokens=asked.prompt_tokens,
                    completion_tokens=asked.completion_tokens,
                    cost=judgement.cost,
                )
            await self._recorder.end(call)


def _known(bound: Bound | None, llm: str) -> Bound:
    if bound is None:
        raise ConfigError(
            None,
            "with a budget, and requests that hold more than text, it has to be known",
            key=f"{llm}.context_window",
        )
    return bound


def _tokens(completion: Completion) -> tuple[int | None, int | None]:
    usage = completion.usage
    return (usage.prompt_tokens, usage.completion_tokens) if usage is not None else (None, None)
