"""What the gateway reads of a request; every other field passes through untouched."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from types import NoneType
from typing import Annotated, Any, ClassVar, TypeVar

import msgspec

from llmrouter.completion.bounds import LIMITS, MOST_ANSWERS
from llmrouter.completion.usage import MOST_TOKENS
from llmrouter.constraints import KEY
from llmrouter.data.keys import QUERY_KEYS, misspelt
from llmrouter_server.errors import GatewayError
from llmrouter_server.unicode import has_lone_surrogate, repaired

Fields = dict[str, msgspec.Raw]
NULL = msgspec.Raw(b"null")
# Numbers are read as such: 1.0 is a whole number in JSON.
Tokens = Annotated[float, msgspec.Meta(ge=1, le=MOST_TOKENS, multiple_of=1)]
Answers = Annotated[float, msgspec.Meta(ge=1, le=MOST_ANSWERS, multiple_of=1)]
Name = Annotated[str, msgspec.Meta(max_length=1024)]
TokenId = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
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
        best_of: Number of answers that the LLM makes to choose from.
        tools: That the LLM may call.
        functions: The same, by their older name.
        web_search_options: That the LLM is to look something up, and how.
        routing_constraint: What a router is to keep to; it is not sent on.
    """

    model: Name | None = None
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    n: Answers | None = None
    best_of: Answers | None = None
    tools: list[dict[str, Any]] | None = None
    functions: list[dict[str, Any]] | None = None
    web_search_options: Any = None
    routing_constraint: Any = None

    # Whether the answer tells its cost beside what the OpenAI protocol has.
    tells_cost: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if type((self.stream_options or {}).get("include_usage")) not in (bool, NoneType):
            raise _invalid("stream_options.include_usage", "true, false or null")

    @property
    def answer_tokens(self) -> float | None:
        """The most tokens that an answer may have."""
        return max(filter(None, (self.max_completion_tokens, self.max_tokens)), default=None)

    @property
    def prompts(self) -> int:
        """Number of prompts, each of which is answered."""
        return 1

    @property
    def allowed(self) -> Collection[str] | None:
        """Names of the candidates that may be chosen; None: any."""
        return None

    @property
    def wants_usage(self) -> bool:
        """Whether a streamed answer is to tell its tokens."""
        return bool((self.stream_options or {}).get("include_usage"))


class ChatAsked(_Common, kw_only=True):
    """A request for a chat completion."""

    messages: Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1)]

    def __post_init__(self) -> None:
        super().__post_init__()
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

    prompt: (
        str
        | Annotated[
            list[str | TokenId | Annotated[list[TokenId], msgspec.Meta(min_length=1)]],
            msgspec.Meta(min_length=1),
        ]
    )

    @property
    def prompts(self) -> int:
        """Number of prompts, each of which is answered; a list of numbers is one, as tokens."""
        if isinstance(self.prompt, str):
            return 1
        return max(1, sum(not isinstance(part, int) for part in self.prompt))

    @property
    def conversation(self) -> Sequence[Mapping[str, Any]]:
        """The prompts, as messages of the user; tokens cannot be read."""
        prompts = [self.prompt] if isinstance(self.prompt, str) else self.prompt
        return [{"role": "user", "content": "\n".join(text for text in prompts if isinstance(text, str))}]


class RouteAsked(_Common, kw_only=True):
    """A request for a decision: messages, or the bare text of a query."""

    messages: list[dict[str, Any]] | None = None
    query_text: str | None = msgspec.field(default=None, name="query")
    allowed_llms: list[Name] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.messages:
            _check_messages(self.messages)
        elif self.query_text is None:
            raise _invalid("messages", "a non-empty list, or 'query' in its place")

    @property
    def conversation(self) -> Sequence[Mapping[str, Any]]:
        """The messages."""
        return self.messages or [{"role": "user", "content": self.query_text}]

    @property
    def allowed(self) -> Collection[str] | None:
        """Names of the candidates that may be chosen; None: any."""
        return self.allowed_llms


# Each tells its text as ``conversation``, in the form of chat messages.
Asked = ChatAsked | TextAsked | RouteAsked


def request_of(asked: Asked) -> dict[str, Any]:
    """Return what routers look at of a request, as a chat request has it."""
    tokens = {name: getattr(asked, name) for name in LIMITS}
    told = {
        "tools": asked.tools,
        **{name: value and int(value) for name, value in tokens.items()},
        KEY: asked.routing_constraint,
    }
    return {
        "model": asked.model,
        "messages": list(asked.conversation),
        **{name: value for name, value in told.items() if value is not None},
    }


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
        for place, part in enumerate(content):
            for field in ("type", "text"):
                if type(part.get(field)) not in (str, NoneType):
                    raise _invalid(f"messages[{number}].content[{place}].{field}", "text")


def _invalid(param: str, expected: str) -> GatewayError:
    return GatewayError(400, f"Expected {expected} at {param!r}.", param=param, code="invalid_value")


def parser_of(kind: type[T]) -> Callable[[bytes], T]:
    """Return a function that reads a body as a kind of request.

    It raises `GatewayError`, 400, which names the offending field.
    """
    decode = msgspec.json.Decoder(kind).decode

    def parse(body: bytes) -> T:
        try:
            if not body.isascii():
                # Fields that are only passed on are not decoded otherwise.
                body.decode()
            return decode(body)
        except msgspec.ValidationError as error:
            problem, _, place = str(error).partition(" - at `$")
            param = place.rstrip("`").lstrip(".") or None
            if param is None and "missing required field" in problem:
                param = problem.split("`")[1]
            where = f" at {param!r}" if param else ""
            for term, plain in _TERMS:
                problem = problem.replace(term, plain)
            raise GatewayError(400, f"{problem}{where}.", param=param, code="invalid_value") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise GatewayError(400, _not_json(body, error), code="invalid_json") from None

    return parse


_parse_fields = parser_of(Fields)
_parse_route = parser_of(RouteAsked)
_ROUTE_KEYS = QUERY_KEYS | {"model", "functions"}


def parse_route(body: bytes) -> RouteAsked:
    """Read a request for a decision.

    Raises:
        GatewayError: 400, it is malformed, or a field is misspelt or there twice.
    """
    fields = _parse_fields(body)
    if found := misspelt(fields, _ROUTE_KEYS):
        name, problem = found
        raise GatewayError(400, f"The field {name!r} {problem}.", param=name, code="unknown_field")
    _refuse_repeated(fields, body)
    return _parse_route(body)


# How msgspec calls what people call otherwise.
_TERMS = (("`float` that's a multiple of 1.0", "a whole number"), ("float", "number"))


def _not_json(body: bytes, error: Exception) -> str:
    if not body.strip():
        return "The body is empty; send a JSON object."
    if isinstance(error, RecursionError):
        return "The body is nested too deeply."
    if has_lone_surrogate(body):
        return "The body is not valid text: it holds half of a surrogate pair, such as \\ud83d."
    return f"The body is not valid JSON: {error}."


def client_fields(body: bytes) -> Fields:
    """Return the fields of a request that was parsed before.

    Raises:
        GatewayError: 400, a field is there twice, so that nobody can say which one counts.
    """
    fields = decode_fields(body)
    _refuse_repeated(fields, body)
    return fields


def _refuse_repeated(fields: Fields, body: bytes) -> None:
    # Most clients send no spaces between fields: then nothing is missing if all bytes are there.
    if len(encode(fields)) != len(body):
        names: list[str] = []
        msgspec.json.decode(body, type=dict[_Name, msgspec.Raw], dec_hook=lambda _, name: _noted(names, name))
        if repeated := [name for name in fields if names.count(name) > 1]:
            raise GatewayError(
                400, f"The field {repeated[0]!r} is there twice.", param=repeated[0], code="invalid_value"
            )


class _Name(str):
    """A field's name, of which the decoder tells."""

    __slots__ = ()


def _noted(names: list[str], name: str) -> _Name:
    names.append(name)
    return _Name(name)


def upstream_fields(body: bytes) -> Fields:
    """Return the fields of what an upstream sent, its text repaired where it is not valid Unicode.

    Raises:
        msgspec.DecodeError, RecursionError: It is not a JSON object.
    """
    try:
        if not body.isascii():
            body.decode()
        return decode_fields(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return decode_fields(repaired(body))


def with_fields(fields: Mapping[str, msgspec.Raw], **changed: msgspec.Raw) -> bytes:
    """Return a JSON object with some fields changed or added, all others as they were, byte for byte."""
    return encode({**fields, **changed})
