"""An encoder or a judge under test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from llmrouter.plugin_system import get_plugin_registry
from llmrouter_testing import samples
from llmrouter_testing.report import fail
from llmrouter_testing.subjects.base import Declared, Subject, target_of

if TYPE_CHECKING:
    from llmrouter.encoders.base import Encoder
    from llmrouter.models.judge import Judge


class _NamedSubject(Subject):
    """An encoder or judge: its name, an argument after a colon included, or its class."""

    @cached_property
    def _declaration(self) -> Any:
        declarations = getattr(get_plugin_registry(), f"{self.kind}s")
        if isinstance(self.given, str):
            name = self.given.partition(":")[0]
            if name not in declarations:
                fail(f"no {self.kind} is named {name!r}; there are {', '.join(declarations) or 'none'}")
            return declarations[name]
        target = target_of(self.given)
        return next((one for one in declarations.values() if one.spec.target == target), None)

    @property
    def spec(self) -> Any:
        """Its `EncoderSpec` or `JudgeSpec`; None for a class that nobody declares."""
        return self._declaration.spec if self._declaration else None

    @property
    def declared(self) -> Declared | None:
        """Where it is declared."""
        found = self._declaration
        return Declared(found.plugin, found.spec, found.reason) if found else None

    @cached_property
    def found(self) -> type:
        """The class."""
        if isinstance(self.given, type):
            return self.given
        found: type = get_plugin_registry().load(self._declaration)
        return found


class EncoderSubject(_NamedSubject):
    """An encoder under test.

    Args:
        given: Its name, which may have an argument after a colon, or its class.
        argument: The argument, where a class is given.
        texts: What it encodes, in place of samples.
        seconds_per_text: How long a text may take, encoded alone; the median of several.
    """

    kind = "encoder"

    def __init__(
        self,
        given: str | type[Encoder],
        *,
        argument: str | None = None,
        texts: Sequence[str] | None = None,
        seconds_per_text: float = 1.0,
    ) -> None:
        super().__init__(given)
        self.argument = (given.partition(":")[2] or None) if isinstance(given, str) else argument
        self.texts = list(samples.QUERIES if texts is None else texts)
        self.seconds_per_text = seconds_per_text

    def make(self, fitted: bool = True) -> Encoder:
        """Make an encoder, and let it learn from the texts."""
        return make_encoder(self.found, self.argument, self.texts if fitted else None)

    @property
    def options(self) -> tuple[type, str | None, list[str]]:
        """Arguments of `make_encoder`, which another process can be given."""
        return self.found, self.argument, self.texts


def make_encoder(encoder: type, argument: str | None, texts: list[str] | None) -> Encoder:
    """Make an encoder, and let it learn from texts."""
    made: Encoder = encoder(argument)
    if texts is not None:
        made.fit(texts)
    return made


class JudgeSubject(_NamedSubject):
    """A judge under test.

    Args:
        given: Its name or its class.
        spec: What a user tells of it beside ``model_type``.
        exchanges: Requests and the messages that answer them, to be judged, in place of samples.
        seconds_per_answer: How long an answer may take; the median of several.
    """

    kind = "judge"

    def __init__(
        self,
        given: str | type[Judge],
        *,
        spec: Mapping[str, Any] | None = None,
        exchanges: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]] | None = None,
        seconds_per_answer: float = 1.0,
    ) -> None:
        super().__init__(given)
        self._told = dict(spec or {})
        self.exchanges = list(exchanges or (exchange(query, query[::-1]) for query in samples.QUERIES))
        self.seconds_per_answer = seconds_per_answer

    def make(self) -> Judge:
        """Make a judge as the lifecycle does."""
        judge: Judge = self.found({"model_type": self.spec.name if self.spec else self.name, **self._told})
        return judge


def exchange(question: str, answer: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a request with its reference, and the message that answers it."""
    request = {"messages": [{"role": "user", "content": question}], "reference": question}
    return request, {"role": "assistant", "content": answer}
