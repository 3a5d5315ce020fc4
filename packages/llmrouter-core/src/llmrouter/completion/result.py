"""What an LLM answered, and a record of all answers that one piece of work asked for."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import msgspec

from llmrouter.completion.catalogue import Endpoint
from llmrouter.completion.messages import text_of
from llmrouter.completion.usage import Usage as Usage
from llmrouter.completion.usage import read_usage

logger = logging.getLogger(__name__)


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of one LLM; unknown is None.

    Attributes:
        model_name: The candidate that answered.
        text: What it said; empty where it said nothing but, say, a tool call.
        upstream_model: What its service calls the LLM that answered.
        finish_reason: Why it stopped: ``stop``, ``length``, ``tool_calls``…
        usage: Tokens.
        cost: In USD.
        latency_ms: From the request to the end of the answer, in milliseconds, repetitions included.
    """

    model_name: str
    text: str
    upstream_model: str | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    cost: float | None = None
    latency_ms: float | None = None


class AnswerBuilder:
    """Puts together what an LLM says, whole or in pieces."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._model: str | None = None
        self._finish_reason: str | None = None
        self._usage: Usage | None = None

    def add(self, raw: Any) -> str:
        """Take over a whole answer or a chunk of one, decoded from JSON; return its text.

        Raises:
            ValueError, msgspec.ValidationError: It is none.
        """
        if isinstance(raw, str):  # as of a server that does not call it JSON
            try:
                raw = msgspec.json.decode(raw)
            except msgspec.DecodeError:
                raise ValueError(f"found {raw[:80]!r}, which is not JSON") from None
        answer = msgspec.convert(raw, _Answer)
        if answer.error:
            raise ValueError(f"it tells an error: {answer.error}")
        self._model = answer.model or self._model
        try:
            self._usage = read_usage(answer.usage) or self._usage
        except ValueError as error:
            # An answer is an answer nevertheless; what it cost is unknown.
            self._usage = None
            logger.warning("%s: the usage it reports is ignored: %s", answer.model or "an LLM", error)
        if not answer.choices:
            return ""
        choice = answer.choices[0]
        said = choice.message or choice.delta
        if said is None:
            raise ValueError("its choice holds no message")
        self._finish_reason = choice.finish_reason or self._finish_reason
        piece = text_of({"content": said.content}) or said.refusal or ""
        self._pieces.append(piece)
        return piece

    def completion(self, endpoint: Endpoint, latency_ms: float) -> Completion:
        """Return the answer.

        Raises:
            ValueError: Nothing came.
        """
        if not self._pieces:
            raise ValueError("the answer has no choices")
        return Completion(
            model_name=endpoint.name,
            text="".join(self._pieces),
            upstream_model=self._model,
            finish_reason=self._finish_reason,
            usage=self._usage,
            cost=endpoint.cost_of(self._usage),
            latency_ms=latency_ms,
        )

    @property
    def finished(self) -> bool:
        """Whether the LLM said that it came to its end."""
        return self._finish_reason is not None


class _Said(msgspec.Struct):
    content: str | list[dict[str, Any]] | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct):
    message: _Said | None = None
    delta: _Said | None = None
    finish_reason: str | None = None


class _Answer(msgspec.Struct):
    """What is read of an answer, or of a chunk of one."""

    choices: list[_Choice] | None = None
    model: str | None = None
    usage: Any = None
    error: Any = None


_record: ContextVar[list[Completion] | None] = ContextVar("llmrouter_completions", default=None)


@contextlib.contextmanager
def recording() -> Iterator[list[Completion]]:
    """Yield a list to which every answer is added that this thread asks for meanwhile.

    Another thread's are added where it runs in a copy of this one's context (`contextvars.copy_context`).
    """
    completions: list[Completion] = []
    token = _record.set(completions)
    try:
        yield completions
    finally:
        _record.reset(token)


def record(completion: Completion) -> None:
    """Add an answer to the record that is kept, if one is."""
    kept = _record.get()
    if kept is not None:
        kept.append(completion)
