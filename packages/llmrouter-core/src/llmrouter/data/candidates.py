"""The candidate LLMs: a JSON object from name to what is known of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llmrouter.completion.prices import PER_MILLION
from llmrouter.config import line_of
from llmrouter.data.rows import kind, read_json
from llmrouter.errors import DataError

FEATURES = ("images", "tools")
_NUMBERS = ("cost", "input_price", "cached_input_price", "output_price", "context_window")
# By which services take the limit of an answer's tokens.
LIMIT_PARAMETERS = ("max_tokens", "max_completion_tokens")
# USD per million tokens, and tokens: no LLM has more, and what it multiplies to stays a number.
LARGEST = 1e9
_TEXTS = ("model", "service", "api_endpoint")


def read_candidates(path: Path) -> dict[str, dict[str, Any]]:
    """Read candidate LLMs, in the order of the file.

    ``input_price``, ``cached_input_price`` and ``output_price`` are USD per million tokens; ``cost`` is a
    relative weight, unless ``cost_unit`` is ``usd_per_million_tokens``. ``supports`` lists what an LLM takes
    beside text, ``parameters`` are fields of every request to it, and ``limit_parameter`` names the one that
    limits an answer's tokens.

    Raises:
        DataError: The file is missing, truncated or empty, or an entry is malformed; names line and key.
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
        for field, value in candidate.items():
            if value is not None and (problem := _problem(field, value)):
                raise DataError(path, problem, line=line_of(path, [name, field]), key=f"{name}.{field}")
    return found


def _problem(field: str, value: Any) -> str | None:
    if field in _NUMBERS:
        if not isinstance(value, int | float) or isinstance(value, bool) or not value >= 0:
            return f"expected a number from 0, found {value!r:.40}"
        return None if value <= LARGEST else f"is larger than {LARGEST:g}"
    if field == "max_output_tokens":
        good = type(value) is int and 1 <= value <= LARGEST
        return None if good else f"expected a whole number from 1 to {LARGEST:g}, found {value!r:.40}"
    if field == "limit_parameter":
        good = value in LIMIT_PARAMETERS
        return None if good else f"expected {' or '.join(LIMIT_PARAMETERS)}, found {value!r}"
    if field in _TEXTS:
        return None if isinstance(value, str) else f"expected text, found {value!r}"
    if field == "supports":
        good = isinstance(value, list) and all(item in FEATURES for item in value)
        return None if good else f"expected a list of {' and '.join(FEATURES)}, found {value!r}"
    if field == "parameters":
        return None if isinstance(value, dict) else f"expected an object of request fields, found {value!r}"
    if field == "cost_unit":
        return None if value == PER_MILLION else f"expected {PER_MILLION!r}, found {value!r}"
    return None
