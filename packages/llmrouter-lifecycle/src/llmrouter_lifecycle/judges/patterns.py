"""Patterns that users write: they are given up after a while, for some take for ever on some texts."""

from __future__ import annotations

from typing import Any

from llmrouter_lifecycle.errors import InvalidParameterError, JudgementError

# Seconds that one pattern may take on one text.
TIMEOUT = 1.0
LONGEST = 2000


def compile_pattern(pattern: str, param: str) -> Any:
    """Return a pattern, ready to match across lines.

    Raises:
        InvalidParameterError: It is none, or holds more than one group.
    """
    import regex

    if len(pattern) > LONGEST:
        raise InvalidParameterError(f"{param}: is longer than {LONGEST} characters", param=param)
    try:
        compiled = regex.compile(pattern, regex.DOTALL | regex.VERSION0)
    except (regex.error, OverflowError, RecursionError, MemoryError, ValueError) as error:
        raise InvalidParameterError(f"{param}: is no regular expression: {error}", param=param) from None
    if compiled.groups > 1:
        raise InvalidParameterError(
            f"{param}: has {compiled.groups} groups, one is expected; write (?:…) for the others", param=param
        )
    return compiled


def find(compiled: Any, text: str, match_index: int, name: str) -> str | None:
    """Return what the group of a match holds, or the match where there is no group; None: no such match.

    Args:
        compiled: Of `compile_pattern`.
        text: Where to look.
        match_index: Which match, from 0; -1 is the last one.
        name: What is looked for, for errors.

    Raises:
        JudgementError: The pattern took too long.
    """
    group = 1 if compiled.groups else 0
    try:
        found = [match[group] for match in compiled.finditer(text, timeout=TIMEOUT, concurrent=True)]
    except TimeoutError:
        raise JudgementError(
            f"the pattern of {name!r} takes longer than {TIMEOUT:g} s on this text; write a simpler one"
        ) from None
    try:
        value = found[match_index]
    except IndexError:
        return None
    return None if value is None else str(value)
