"""Read variables out of a conversation, and score and reason out of a judge's answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from llmrouter_lifecycle.errors import InvalidParameterError, JudgementError
from llmrouter_lifecycle.judges.conversation import conversation_text, message_text, request_text
from llmrouter_lifecycle.judges.patterns import MOST, TimeLeft, compile_pattern, find
from llmrouter_lifecycle.names import refuse_unknown

FIELD_TYPES = ("STRING", "FLOAT")

Text = Callable[[Mapping[str, Any], Mapping[str, Any]], str]
# What each extractor of variables reads.
_TEXTS: dict[str, Text] = {
    "regex_extractor": lambda request, response: request_text(request),
    "response_regex_extractor": lambda request, response: message_text(response),
    "conversation_extractor": conversation_text,
    "default_extractor": conversation_text,
}
COMBINED = "combined_extractor"
CONTENT = "content"

DEFAULT_VARIABLES: dict[str, Any] = {"model_type": "default_extractor"}
DEFAULT_JUDGEMENT: dict[str, Any] = {
    "model_type": "regex_extractor",
    "extraction_fields": [
        {
            "name": "score",
            "field_type": "FLOAT",
            "required": True,
            "extraction_pattern": "<score>(.*?)</score>",
            "match_index": -1,
        },
        {
            "name": "rationale",
            "field_type": "STRING",
            "required": False,
            "extraction_pattern": "<rationale>(.*?)</rationale>",
            "match_index": 0,
        },
    ],
}


class FieldMissingError(JudgementError):
    """A required field is not in the text; asking once more may help."""


@dataclass(frozen=True)
class Field:
    """Something to read out of a text.

    Attributes:
        pattern: Compiled; None for the whole text.
        match_index: Which match, from 0; -1 is the last one.
    """

    name: str
    number: bool
    required: bool
    pattern: Any
    match_index: int

    def read(self, text: str, left: TimeLeft) -> str | None:
        """Return what is there; None where it is not, and is not required.

        Raises:
            FieldMissingError: It is required and not there, or no number where one is expected.
            JudgementError: There was not enough time left.
        """
        found = text if self.pattern is None else find(self.pattern, text, self.match_index, self.name, left)
        if found is not None and self.number and number(found) is None:
            found = None
        if found is None and self.required:
            what = "a number" if self.number else "text"
            raise FieldMissingError(f"the required field {self.name!r} ({what}) was not found")
        return found


class VariableExtractor:
    """Reads the variables of a rubric judge's prompt.

    Args:
        spec: ``extract_variables`` of a judge.

    Raises:
        InvalidParameterError: It is malformed; the message names the key.
    """

    def __init__(self, spec: Any, param: str = "extract_variables") -> None:
        self._parts: list[tuple[Text, list[Field]]] = []
        self._add(spec, param)

    def read(self, request: Mapping[str, Any], response: Mapping[str, Any], left: TimeLeft) -> dict[str, str]:
        """Return the variables by name; ``content`` is always there.

        Raises:
            JudgementError: A required one is not found, or there was not enough time left.
        """
        found = {CONTENT: conversation_text(request, response)}
        for text, fields in self._parts:
            found.update({field.name: field.read(text(request, response), left) or "" for field in fields})
        return found

    def _add(self, spec: Any, param: str) -> None:
        _check_mapping(spec, param)
        kind = spec.get("model_type")
        if kind == COMBINED:
            parts = spec.get("extractors")
            if not isinstance(parts, list | tuple):
                raise _wrong(f"{param}.extractors", "a list of extractors", parts)
            for index, part in enumerate(parts):
                if isinstance(part, Mapping) and part.get("model_type") == COMBINED:
                    raise _wrong(f"{param}.extractors.{index}", "an extractor that combines no others", part)
                self._add(part, f"{param}.extractors.{index}")
            return
        if kind not in _TEXTS:
            raise _wrong(f"{param}.model_type", f"one of {', '.join((*_TEXTS, COMBINED))}", kind)
        refuse_unknown(spec, ("model_type", "extraction_fields"), param)
        fields = parse_fields(spec, param)
        if not fields and kind.endswith("regex_extractor"):
            raise _wrong(f"{param}.extraction_fields", "a list of at least one field", fields)
        self._parts.append((_TEXTS[kind], fields or [Field(CONTENT, False, False, None, 0)]))
        if sum(len(fields) for _, fields in self._parts) > MOST:
            raise InvalidParameterError(f"{param}: has more than {MOST} fields in all", param=param)


class JudgementExtractor:
    """Reads score and reason out of a judge's answer.

    Args:
        spec: ``extract_judgement`` of a judge.

    Raises:
        InvalidParameterError: It is malformed; the message names the key.
    """

    def __init__(self, spec: Any, param: str = "extract_judgement") -> None:
        _check_mapping(spec, param)
        if spec.get("model_type") != "regex_extractor":
            raise _wrong(f"{param}.model_type", "'regex_extractor'", spec.get("model_type"))
        refuse_unknown(spec, ("model_type", "extraction_fields"), param)
        self._fields = parse_fields(spec, param)
        if "score" not in {field.name for field in self._fields}:
            raise InvalidParameterError(
                f"{param}.extraction_fields: a field named 'score' is needed",
                param=f"{param}.extraction_fields",
            )

    def read(self, answer: str, left: TimeLeft) -> tuple[float, str]:
        """Return score and reason.

        Raises:
            FieldMissingError: The score, or another required field, is not there.
            JudgementError: There was not enough time left.
        """
        found = {field.name: field.read(answer, left) for field in self._fields}
        score = number(found["score"] or "")
        if score is None:
            raise FieldMissingError("the required field 'score' (a number) was not found")
        return score, (found.get("rationale") or "").strip()


def parse_fields(spec: Mapping[str, Any], param: str) -> list[Field]:
    """Return the fields of an extractor.

    Raises:
        InvalidParameterError: They are malformed.
    """
    told = spec.get("extraction_fields")
    if told is None:
        return []
    if not isinstance(told, list | tuple):
        raise _wrong(f"{param}.extraction_fields", "a list of fields", told)
    if len(told) > MOST:
        param = f"{param}.extraction_fields"
        raise InvalidParameterError(f"{param}: has {len(told)} fields; {MOST} are allowed", param=param)
    return [_field(item, f"{param}.extraction_fields.{index}") for index, item in enumerate(told)]


def number(text: str) -> float | None:
    """Return a number that is one; None for other text, NaN and infinity."""
    try:
        value = float(text.strip())
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _field(told: Any, param: str) -> Field:
    _check_mapping(told, param)
    keys = ("name", "field_type", "required", "extraction_pattern", "match_index")
    refuse_unknown(told, keys, param)
    name = told.get("name")
    if not isinstance(name, str) or not name.isidentifier():
        raise _wrong(f"{param}.name", "a word", name)
    kind = told.get("field_type", "STRING")
    if kind not in FIELD_TYPES:
        raise _wrong(f"{param}.field_type", " or ".join(FIELD_TYPES), kind)
    required = told.get("required", False)
    if not isinstance(required, bool | None):
        raise _wrong(f"{param}.required", "true or false", required)
    index = told.get("match_index")
    if index is not None and type(index) is not int:
        raise _wrong(f"{param}.match_index", "a whole number", index)
    pattern = told.get("extraction_pattern")
    if not isinstance(pattern, str | None):
        raise _wrong(f"{param}.extraction_pattern", "text", pattern)
    compiled = compile_pattern(pattern, f"{param}.extraction_pattern") if pattern else None
    return Field(name, kind == "FLOAT", bool(required), compiled, index or 0)


def _check_mapping(value: Any, param: str) -> None:
    if not isinstance(value, Mapping):
        raise _wrong(param, "an object", value)


def _wrong(param: str, expected: str, found: object) -> InvalidParameterError:
    return InvalidParameterError(f"{param}: expected {expected}, found {found!r}", param=param)
