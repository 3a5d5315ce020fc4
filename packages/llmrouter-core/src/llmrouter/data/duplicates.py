"""Find a name that stands twice in an object of JSON, of which decoders silently take the last."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import msgspec

_NAME = re.compile(rb'"\s*:')
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]:]', re.DOTALL)


class Duplicate(NamedTuple):
    """A name that stands twice.

    Attributes:
        keys: The names that lead to it, and itself.
        first: Byte at which it stands first.
        second: Byte at which it stands again.
    """

    keys: list[str]
    first: int
    second: int


def duplicate_in(raw: bytes, value: Any) -> Duplicate | None:
    """Return the first name that stands twice, or None.

    Args:
        raw: Valid JSON in UTF-8.
        value: What it decodes to.
    """
    # As many names as keys: none was lost. Colons inside texts only cost the closer look.
    return None if len(_NAME.findall(raw)) == _keys_of(value) else _search(raw)


def _keys_of(value: Any) -> int:
    count, rest = 0, [value]
    while rest:
        one = rest.pop()
        if isinstance(one, dict):
            count += len(one)
            one = one.values()
        elif not isinstance(one, list):
            continue
        rest += [inner for inner in one if type(inner) in (dict, list)]
    return count


def _search(raw: bytes) -> Duplicate | None:
    # For each object or list that is open: the places of its names, and the last of them.
    places: list[dict[str, int]] = []
    names: list[str] = []
    text, start = b"", 0
    for token in _TOKEN.finditer(raw):
        found = token[0]
        if found in (b"{", b"["):
            places.append({})
            names.append("")
        elif found in (b"}", b"]"):
            places.pop()
            names.pop()
        elif found == b":":
            names[-1] = msgspec.json.decode(text, type=str)
            if (before := places[-1].setdefault(names[-1], start)) != start:
                return Duplicate([name for name in names[:-1] if name] + names[-1:], before, start)
        else:
            text, start = found, token.start()
    return None
