"""The candidate LLMs: a JSON object from name to what is known of each."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llmrouter.completion.prices import PER_MILLION
from llmrouter.config import line_of
from llmrouter.data.rows import kind, read_json
from llmrouter.errors import DataError
from llmrouter.spelling import nearest

logger = logging.getLogger(__name__)

FEATURES = ("images", "tools")
# By which services take the limit of an answer's tokens.
LIMIT_PARAMETERS = ("max_tokens", "max_completion_tokens")
# USD per million tokens, and tokens: no LLM has more, and what it multiplies to stays a number.
LARGEST = 1e9


def read_candidates(path: Path) -> dict[str, dict[str, Any]]:
    """Read candidate LLMs, in the order of the file.

    ``input_price``, ``cached_input_price`` and ``output_price`` are USD per million tokens; ``cost`` is a
    relative weight, unless ``cost_unit`` is ``usd_per_million_tokens``. ``supports`` lists what an LLM takes
    beside text, ``parameters`` are fields of every request to it, and ``limit_parameter`` names the one that
    limits an answer's tokens.

    A field that is not known is left to the router that reads it, with one warning for the file.

    Raises:
        DataError: The file is missing, truncated or empty, names a key twice, or an entry is malformed; names
            line and key.
    """
    found = read_json(path)
    if not isinstance(found, dict):
        raise DataError(path, f'expected an object {{"LLM name": {{…}}}}, found {kind(found)}')
    if not found:
        raise DataError(path, "names no LLM; a router needs at least one candidate")
    for name, candidate in found.items():
        if not isinstance(candidate, dict):
            raise DataError(
                path, f"expected an object, found {kind(candidate)}", line=line_of(path, [name]), key=name
            )
        if not name.strip():
            raise DataError(path, "a candidate needs a name, found ''", line=line_of(path, [name]))
        for field, value in candidate.items():
            if field in FIELDS and value is not None and (problem := FIELDS[field](value)):
                raise DataError(path, problem, line=line_of(path, [name, field]), key=f"{name}.{field}")
    _warn_of_unknown(path, found)
    return found


def _warn_of_unknown(path: Path, found: dict[str, dict[str, Any]]) -> None:
    """Say in one line which field no router of ours reads: a misspelt price counts as unknown."""
    odd = [(name, field) for name, candidate in found.items() for field in candidate if field not in FIELDS]
    if odd:
        name, field = odd[0]
        near = nearest(field, FIELDS, alike=0.6)
        advice = f"; did you mean {near!r}?" if near else ""
        others = list(dict.fromkeys(other for _, other in odd if other != field))
        more = f" (so {'is' if len(others) == 1 else 'are'} {', '.join(others)})" if others else ""
        problem = f"is not a field that llmrouter reads{advice}{more}"
        error = DataError(path, problem, line=line_of(path, [name, field]), key=f"{name}.{field}")
        logger.warning("%s", error)


def _number(value: Any) -> str | None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not value >= 0:
        return f"expected a number from 0, found {value!r:.40}"
    return None if value <= LARGEST else f"is larger than {LARGEST:g}"


def _whole(value: Any) -> str | None:
    good = type(value) is int and 1 <= value <= LARGEST
    return None if good else f"expected a whole number from 1 to {LARGEST:g}, found {value!r:.40}"


def _limit(value: Any) -> str | None:
    good = value in LIMIT_PARAMETERS
    return None if good else f"expected {' or '.join(LIMIT_PARAMETERS)}, found {value!r:.60}"


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) else f"expected text, found {value!r:.60}"


def _features(value: Any) -> str | None:
    good = isinstance(value, list) and all(item in FEATURES for item in value)
    return None if good else f"expected a list of {' and '.join(FEATURES)}, found {value!r:.60}"


def _fields(value: Any) -> str | None:
    return None if isinstance(value, dict) else f"expected an object of request fields, found {value!r:.60}"


def _unit(value: Any) -> str | None:
    return None if value == PER_MILLION else f"expected {PER_MILLION!r}, found {value!r:.60}"


def _anything(value: Any) -> None:
    return None


# What each field must be; a new field is known once it is here.
FIELDS: dict[str, Callable[[Any], str | None]] = {
    **dict.fromkeys(("cost", "input_price", "cached_input_price", "output_price", "context_window"), _number),
    **dict.fromkeys(("model", "service", "api_endpoint"), _text),
    **dict.fromkeys(("size", "feature", "description"), _anything),
    "max_output_tokens": _whole,
    "limit_parameter": _limit,
    "supports": _features,
    "parameters": _fields,
    "cost_unit": _unit,
}
