"""Patterns that users write: bounded in number, size and time, because some would take for ever."""

from __future__ import annotations

import re
import time
from collections import deque
from itertools import islice
from typing import Any

from llmrouter_lifecycle.errors import InvalidParameterError, JudgementError

# Seconds that all patterns of one evaluation may take together.
TIMEOUT = 2.0
# Patterns of one judge, and characters of one.
MOST = 100
LONGEST = 2000
# Characters of a pattern with its counted repeats written out, which is how it is compiled.
LARGEST = 100_000
# The beginning of a group or its end, an escaped character, a set or any other, with the count.
_PART = re.compile(
    r"(?P<open>\()|(?:(?P<close>\))|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|.)(?:\{(?P<count>\d+)[^}]*\})?", re.DOTALL
)


class TimeLeft:
    """What is left of an evaluation's time for matching.

    Args:
        seconds: How much there is.
    """

    def __init__(self, seconds: float = TIMEOUT) -> None:
        self.seconds = seconds


def compile_pattern(pattern: str, param: str) -> Any:
    """Return a pattern, ready to match across lines.

    Raises:
        InvalidParameterError: It is none, too large, or holds more than one group.
    """
    import regex

    if len(pattern) > LONGEST:
        raise InvalidParameterError(f"{param}: is longer than {LONGEST} characters", param=param)
    if expanded_size(pattern) > LARGEST:
        raise InvalidParameterError(f"{param}: repeats too much too often; write smaller counts", param=param)
    try:
        compiled = regex.compile(pattern, regex.DOTALL | regex.VERSION0)
    except (regex.error, OverflowError, RecursionError, MemoryError, ValueError) as error:
        raise InvalidParameterError(f"{param}: is no regular expression: {error}", param=param) from None
    if compiled.groups > 1:
        raise InvalidParameterError(
            f"{param}: has {compiled.groups} groups, one is expected; write (?:…) for the others", param=param
        )
    return compiled


def expanded_size(pattern: str) -> int:
    """Return about how many characters a pattern has with its counted repeats written out."""
    sizes = [0]
    for part in _PART.finditer(pattern):
        if part["open"]:
            sizes.append(0)
            continue
        size = sizes.pop() if part["close"] and len(sizes) > 1 else 1
        sizes[-1] += size * max(int((part["count"] or "1")[:9]), 1)
    return sum(sizes)


def find(compiled: Any, text: str, match_index: int, name: str, left: TimeLeft) -> str | None:
    """Return what the group of a match holds, or the match where there is no group; None: no such match.

    Args:
        compiled: Of `compile_pattern`.
        text: Where to look.
        match_index: Which match, from 0; -1 is the last one.
        name: What is looked for, for errors.
        left: The time there is, from which what this takes is subtracted.

    Raises:
        JudgementError: There was not enough time.
    """
    group = 1 if compiled.groups else 0
    began = time.monotonic()
    try:
        matches = compiled.finditer(text, timeout=max(left.seconds, 0.001), concurrent=True)
        if match_index >= 0:
            match = next(islice(matches, match_index, None), None)
        else:
            last = deque(matches, maxlen=-match_index)
            match = last[0] if len(last) == -match_index else None
    except TimeoutError:
        raise JudgementError(
            f"the patterns of this judge take longer than {TIMEOUT:g} s on this text, at {name!r}; write "
            "simpler or fewer ones"
        ) from None
    finally:
        left.seconds -= time.monotonic() - began
    value = None if match is None else match[group]
    return None if value is None else str(value)
