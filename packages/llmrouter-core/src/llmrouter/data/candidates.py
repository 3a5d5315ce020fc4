"""The candidate LLMs: a JSON object from name to what is known of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llmrouter.config import line_of
from llmrouter.data.rows import kind, read_json
from llmrouter.errors import DataError

_NUMBERS = ("cost", "input_price", "output_price", "context_window")


def read_candidates(path: Path) -> dict[str, dict[str, Any]]:
    """Read candidate LLMs, in the order of the file.

    ``input_price`` and ``output_price`` are USD per million tokens; ``cost`` is a relative weight.

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
        for field in _NUMBERS:
            value = candidate.get(field)
            if value is not None and (
                isinstance(value, bool) or not isinstance(value, int | float) or value < 0
            ):
                raise DataError(
                    path,
                    f"expected a number from 0, found {value!r}",
                    line=line_of(path, [name, field]),
                    key=f"{name}.{field}",
                )
    return found
