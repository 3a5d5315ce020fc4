"""The way of a query to its answer: it is routed, the chosen LLM is called, what it said comes back."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from itertools import islice
from time import perf_counter
from typing import Any

import msgspec

from llmrouter.completion.client import CompletionClient
from llmrouter.completion.messages import Mode
from llmrouter.completion.result import Completion, Usage, recording
from llmrouter.data.queries import QueryRow
from llmrouter.decision import RoutingDecision, decision_from_result
from llmrouter.errors import LLMRouterError, RoutingError
from llmrouter.plugin_system.isolation import plugin_code
from llmrouter.request import query_from
from llmrouter.routing import DecisionEngine
from llmrouter.threads import DaemonPool

# Where a multi-round router that returns a dict may have put its answer.
RESPONSES = ("response", "answer")


class AnsweredQuery(RoutingDecision, frozen=True, kw_only=True):
    """A decision and the answer that came of it; unknown is None.

    Attributes:
        response: What the LLM said.
        finish_reason: Why it stopped: ``stop``, ``length``…
        upstream_model: What its service calls the LLM that answered.
        usage: Tokens; of a multi-round router those of all calls.
        cost: In USD; likewise.
        answer_ms: Time to answer, in milliseconds.
        calls: The calls of a multi-round router, in order; None for others.
    """

    response: str
    finish_reason: str | None = None
    upstream_model: str | None = None
    usage: Usage | None = None
    cost: float | None = None
    answer_ms: float | None = None
    calls: list[Completion] | None = None


Answered = AnsweredQuery | LLMRouterError


class Answerer:
    """Has queries answered by the LLMs that a router chooses.

    A router that defines ``answer_query`` answers by itself, with ``Router.complete`` for its calls.

    Args:
        engine: Decides.
        client: Calls the LLMs; the router's own calls go through it, too.

    Attributes:
        multi_round: Whether the router answers by itself.
    """

    def __init__(self, engine: DecisionEngine, client: CompletionClient) -> None:
        self.engine = engine
        self.client = client
        engine.router.completions = client
        self.multi_round = callable(getattr(engine.router, "answer_query", None))

    def answer(self, query: dict[str, Any]) -> AnsweredQuery:
        """Route a query and return the chosen LLM's answer.

        Raises:
            LLMRouterError: It could not be routed, or the LLM did not answer.
        """
        return self.rounds(query) if self.multi_round else self.follow(self.engine.decide(query))

    def follow(self, decision: RoutingDecision) -> AnsweredQuery:
        """Call the LLM that a decision names.

        Raises:
            LLMRouterError: It did not answer.
        """
        return _with(decision, self.client.complete(decision.model_name, decision.query or ""))

    def rounds(self, query: dict[str, Any]) -> AnsweredQuery:
        """Let a multi-round router answer; its calls are added up.

        Raises:
            LLMRouterError: It failed, or its answer is none.
        """
        engine = self.engine
        started = perf_counter()
        with recording() as calls, plugin_code(f"answer_query of {engine.name!r}"):
            told = engine.router.answer_query(query["query"])  # type: ignore[attr-defined]
        result = dict(told) if isinstance(told, Mapping) else {"response": told}
        responses = [result.pop(key) for key in RESPONSES if key in result]
        if not responses or not isinstance(responses[0], str):
            found = "a dict" if isinstance(told, Mapping) else type(told).__name__
            raise RoutingError(
                f"answer_query returned {found}; expected text, or a dict with text under 'response'"
            )
        if result.get("model_name", result.get("predicted_llm")) is None:
            if not calls:
                raise RoutingError(
                    "answer_query does not tell which LLM answered: ask it through self.complete, or return "
                    "a dict with 'response' and 'model_name'"
                )
            result["model_name"] = calls[-1].model_name
        decision = decision_from_result(
            result, query, engine.router.llm_data, router=engine.name, router_version=engine.version
        )
        engine.notify(query, decision)
        usages = [call.usage for call in calls]
        costs = [call.cost for call in calls]
        return _answered(
            decision,
            response=responses[0],
            usage=sum(filter(None, usages), Usage(0, 0)) if calls and None not in usages else None,
            cost=sum(filter(None, costs)) if calls and None not in costs else None,
            answer_ms=(perf_counter() - started) * 1000,
            calls=calls,
        )

    def converse(
        self, messages: Sequence[Mapping[str, Any]], mode: Mode = "current_only"
    ) -> Iterator[RoutingDecision | str | AnsweredQuery]:
        """Answer the last message of a conversation as it goes on.

        Args:
            messages: The conversation as the chat protocol has it; the LLM is told all of it.
            mode: What the router sees of it, as `llmrouter.completion.messages.query_of` says.

        Yields:
            The decision, the answer piece by piece, and at the end the whole. A multi-round router's answer
            comes in one piece.

        Raises:
            LLMRouterError: It could not be routed, or the LLM did not answer.
        """
        query = query_from({"messages": messages}, mode)
        if self.multi_round:
            answered = self.rounds(query)
            yield from (answered, answered.response, answered)
            return
        decision = self.engine.decide(query)
        yield decision
        for piece in self.client.stream(decision.model_name, messages):
            yield piece if isinstance(piece, str) else _with(decision, piece)

    def answer_rows(
        self, rows: Iterable[QueryRow], concurrency: int = 8, batch_size: int = 1024
    ) -> Generator[tuple[QueryRow, Answered], None, None]:
        """Answer a stream of rows, several at once, and yield each as it is finished.

        Close it where it is not read to its end: then nothing else is begun.

        Args:
            rows: A malformed one gets an error for its answer.
            concurrency: Queries that are answered at once.
            batch_size: Queries that are routed at once.
        """
        pool = DaemonPool(concurrency, "llmrouter-answer")
        running: dict[Future[AnsweredQuery], QueryRow] = {}
        # As many wait as run, so that no thread is idle while results are written.
        window = 2 * concurrency
        waiting = self._begun(iter(rows), min(batch_size, window), pool)
        try:
            while True:
                for row, begun in islice(waiting, window - len(running)):
                    if isinstance(begun, Future):
                        running[begun] = row
                    else:
                        yield row, begun
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    row = running.pop(future)
                    try:
                        yield row, future.result()
                    except LLMRouterError as error:
                        yield row, error
        finally:
            pool.close()

    def _begun(
        self, rows: Iterator[QueryRow], batch_size: int, pool: DaemonPool
    ) -> Iterator[tuple[QueryRow, Future[AnsweredQuery] | RoutingError]]:
        """Yield each row with its answer, begun when it is asked for, or with why there is none."""
        if self.multi_round:
            for row in rows:
                if row.query is None:
                    yield row, RoutingError(row.problem)
                else:
                    yield row, pool.submit(self.rounds, row.query)
            return
        for batch in self.engine.decide_rows(rows, batch_size):
            for row, decided in batch:
                if isinstance(decided, RoutingError):
                    yield row, decided
                else:
                    yield row, pool.submit(self.follow, decided)


def _with(decision: RoutingDecision, completion: Completion) -> AnsweredQuery:
    return _answered(
        decision,
        response=completion.text,
        finish_reason=completion.finish_reason,
        upstream_model=completion.upstream_model,
        usage=completion.usage,
        cost=completion.cost,
        answer_ms=completion.latency_ms,
    )


def _answered(decision: RoutingDecision, **answer: Any) -> AnsweredQuery:
    return AnsweredQuery(**msgspec.structs.asdict(decision), **answer)
