"""The conditions of rules: read once, then asked of each query."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Mapping
from typing import Any

from llmrouter.errors import LLMRouterError, MissingExtraError
from llmrouter.spelling import unknown

Query = Mapping[str, Any]
# Whether a condition holds for a query.
Condition = Callable[[Query], bool]


class ConditionError(LLMRouterError):
    """A condition cannot be understood.

    Attributes:
        keys: Where it is, below ``when``.
        problem: What is wrong with it.
    """

    def __init__(self, keys: list[str], problem: str) -> None:
        super().__init__(problem)
        self.keys = keys
        self.problem = problem


class TookTooLong(LLMRouterError):
    """A regular expression was given up."""


def read_conditions(told: Any, timeout: float) -> Condition:
    """Return what holds where all of these conditions hold.

    Args:
        told: Name of each condition to what it is about.
        timeout: Seconds that a regular expression may take.

    Raises:
        ConditionError: One is unknown or malformed.
        MissingExtraError: One needs a package that is not installed.
    """
    if not isinstance(told, dict) or not told:
        raise ConditionError([], f"expected conditions, such as min_words: 20, found {told!r}")
    conditions = []
    for name, value in told.items():
        if name not in _READERS:
            raise ConditionError([str(name)], unknown(name, CONDITIONS))
        try:
            conditions.append(_READERS[name](value, timeout))
        except ConditionError as error:
            raise ConditionError([name, *error.keys], error.problem) from None
    return lambda query: all(condition(query) for condition in conditions)


def _contains(value: Any, timeout: float) -> Condition:
    passages = [passage.casefold() for passage in _texts(value)]
    return lambda query: any(passage in query["query"].casefold() for passage in passages)


def _keywords(value: Any, timeout: float) -> Condition:
    # A word's edge is where no letter or digit is beside it, so that "c++" is a word too.
    words = "|".join(re.escape(word) for word in _texts(value))
    pattern = re.compile(rf"(?<!\w)(?:{words})(?!\w)", re.IGNORECASE)
    return lambda query: pattern.search(query["query"]) is not None


def _regex(value: Any, timeout: float) -> Condition:
    import regex

    patterns = []
    for text in _texts(value):
        try:
            patterns.append(regex.compile(text))
        except regex.error as error:
            raise ConditionError([], f"{text!r} is no regular expression: {error}") from None

    def holds(query: Query) -> bool:
        for pattern in patterns:
            try:
                if pattern.search(query["query"], timeout=timeout, concurrent=True):
                    return True
            except TimeoutError:
                raise TookTooLong(f"the regular expression {pattern.pattern!r} took too long") from None
        return False

    return holds


def _bound(measure: Callable[[str], int], least: bool) -> Callable[[Any, float], Condition]:
    def read(value: Any, timeout: float) -> Condition:
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ConditionError([], f"expected a whole number from 0, found {value!r}")
        if least:
            return lambda query: measure(query["query"]) >= value
        return lambda query: measure(query["query"]) <= value

    return read


def _words(text: str) -> int:
    return len(text.split())


def _language(value: Any, timeout: float) -> Condition:
    codes = {code.lower() for code in _texts(value)}
    if importlib.util.find_spec("py3langid") is None:
        raise MissingExtraError("The condition language", "llmrouter-rules[language]")

    def holds(query: Query) -> bool:
        known = query.get("language")
        return (known.lower() if isinstance(known, str) else language_of(query["query"])) in codes

    return holds


def language_of(text: str) -> str:
    """Return the language of a text as an ISO 639-1 code.

    Source: Lui and Baldwin 2012, "langid.py: An off-the-shelf language identification tool".
    """
    import py3langid

    return str(py3langid.classify(text)[0])


def _task(value: Any, timeout: float) -> Condition:
    tasks = set(_texts(value))
    return lambda query: query.get("task_name") in tasks


def _fields(value: Any, timeout: float) -> Condition:
    if not isinstance(value, dict) or not value:
        raise ConditionError([], f"expected fields of a query and their values, found {value!r}")
    wanted = {name: one if isinstance(one, list) else [one] for name, one in value.items()}
    return lambda query: all(query.get(name) in values for name, values in wanted.items())


def _not(value: Any, timeout: float) -> Condition:
    condition = read_conditions(value, timeout)
    return lambda query: not condition(query)


def _any(value: Any, timeout: float) -> Condition:
    if not isinstance(value, list) or not value:
        raise ConditionError([], f"expected a list of sets of conditions, found {value!r}")
    conditions: list[Condition] = []
    for number, one in enumerate(value):
        try:
            conditions.append(read_conditions(one, timeout))
        except ConditionError as error:
            raise ConditionError([str(number), *error.keys], error.problem) from None
    return lambda query: any(condition(query) for condition in conditions)


def _texts(value: Any) -> list[str]:
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str) and text for text in texts):
        raise ConditionError([], f"expected text, or a list of texts, found {value!r}")
    return texts


_READERS: dict[str, Callable[[Any, float], Condition]] = {
    "contains": _contains,
    "keywords": _keywords,
    "regex": _regex,
    "min_length": _bound(len, least=True),
    "max_length": _bound(len, least=False),
    "min_words": _bound(_words, least=True),
    "max_words": _bound(_words, least=False),
    "language": _language,
    "task": _task,
    "fields": _fields,
    "not": _not,
    "any": _any,
}
CONDITIONS = tuple(_READERS)
