"""What the gateway reads of a request; every other field passes through untouched."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, TypeVar

import msgspec

from llmrouter_server.errors import GatewayError

Fields = dict[str, msgspec.Raw]
# Numbers are read as such: 1.0 is a whole number in JSON.
Tokens = Annotated[float, msgspec.Meta(ge=1)]
T = TypeVar("T")

encode: Callable[[Any], bytes] = msgspec.json.Encoder().encode
decode_fields: Callable[[bytes], Fields] = msgspec.json.Decoder(Fields).decode


class _Common(msgspec.Struct, kw_only=True):
    """What the requests have in common.

    Attributes:
        model: A candidate, a router, or ``auto``; None: ``auto``.
        stream: Whether the answer is to be streamed.
        stream_options: How.
        max_tokens: Of the answer.
        max_completion_tokens: The same, by its newer name.
        n: Number of answers.
        tools: That the LLM may call.
        functions: The same, by their older name.
        routing_constraint: What a router of the lifecycle is to keep to.
    """

    model: str | None = None
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    n: Annotated[float, msgspec.Meta(ge=1, le=128)] | None = None
    tools: list[dict[str, Any]] | None = None
    functions: list[dict[str, Any]] | None = None
    routing_constraint: Any = None

    # Whether the answer tells its cost beside what the OpenAI protocol has.
    tells_cost: ClassVar[bool] = False

    @property
    def answer_tokens(self) -> float | None:
        """The most tokens that an answer may have."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def wants_usage(self) -> bool:
        """Whether a streamed answer is to tell its tokens."""
        return bool((self.stream_options or {}).get("include_usage"))


class ChatAsked(_Common, kw_only=True):
    """A request for a chat completion."""

    messages: Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1)]

    def __post_init__(self) -> None:
        _check_messages(self.messages)

    @property
    def conversation(self) -> Sequence[Mapping[str, Any]]:
        """The messages."""
        return self.messages


class LifecycleChatAsked(ChatAsked, kw_only=True):
    """The same, at the endpoint of the lifecycle."""

    tells_cost: ClassVar[bool] = True


class TextAsked(_Common, kw_only=True):
    """A request for a text completion."""

    prompt: str | list[str | int | list[int]]

    @property
    def conversation(self) -> Sequence[Mapping[str, Any]]:
        """The prompts, as messages of the user; tokens cannot be read."""
        prompts = [self.prompt] if isinstance(self.prompt, str) else self.prompt
        return [{"role": "user", "content": "\n".join(text for text in prompts if isinstance(text, str))}]


class RouteAsked(_Common, kw_only=True):
    """A request for a decision: messages, or the bare text of a query."""

    messages: list[dict[str, Any]] | None = None
    query_text: str | None = msgspec.field(default=None, name="query")

    def __post_init__(self) -> None:
        if self.messages:
            _check_messages(self.messages)
        elif self.query_text is None:
            raise _invalid("messages", "a non-empty list, or 'query' in its place")

    @property
    def conversation(self) -> Sequence[Mapping[str, Any]]:
        """The messages."""
        return self.messages or [{"role": "user", "content": self.query_text}]


# Each tells its text as ``conversation``, in the form of chat messages.
Asked = ChatAsked | TextAsked | RouteAsked


def _check_messages(messages: Sequence[Mapping[str, Any]]) -> None:
    """Check what is read of messages.

    By hand, for as a struct each would lose what it has beside, or be decoded twice.
    """
    for number, message in enumerate(messages):
        if type(message.get("role")) is not str:
            raise _invalid(f"messages[{number}].role", "text")
        content = message.get("content")
        if type(content) is str or content is None:
            continue
        if type(content) is not list or not all(type(part) is dict for part in content):
            raise _invalid(f"messages[{number}].content", "text, a list of parts, or null")


def _invalid(param: str, expected: str) -> GatewayError:
    return GatewayError(400, f"Expected {expected} at {param!r}.", param=param, code="invalid_value")


def parser_of(kind: type[T]) -> Callable[[bytes], T]:
    """Return a function that reads a body as a kind of request.

    It raises `GatewayError`, 400, which names the field that is to blame.
    """
    decode = msgspec.json.Decoder(kind).decode

    def parse(body: bytes) -> T:
        try:
            return decode(body)
        except msgspec.ValidationError as error:
            problem, _, place = str(error).partition(" - at `$")
            param = place.rstrip("`").lstrip(".") or None
            if param is None and "missing required field" in problem:
                param = problem.split("`")[1]
            where = f" at {param!r}" if param else ""
            raise GatewayError(400, f"{problem}{where}.", param=param, code="invalid_value") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise GatewayError(400, f"The body is not valid JSON: {error}", code="invalid_json") from None

    return parse


def with_fields(fields: Mapping[str, msgspec.Raw], **changed: msgspec.Raw) -> bytes:
    """Return a JSON object with some fields changed or added, all others as they were, byte for byte."""
    return encode({**fields, **changed})
