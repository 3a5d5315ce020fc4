"""JSON as the database holds it: much of it, so by the quickest encoder.

What is written can always be read: what no database holds, halves of surrogate pairs and NUL, becomes U+FFFD.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import Text
from sqlalchemy.types import TypeDecorator

_encode = msgspec.json.Encoder().encode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.Decoder().decode
# UTF-8 has no surrogates, and PostgreSQL no NUL.
_UNSTORABLE = re.compile("[\ud800-\udfff\0]")
# The same in JSON: a whole pair or another escape stays, half of one and NUL (captured) do not.
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2}|u0000)|.)",
    re.DOTALL,
)
_REPLACEMENT = "\ufffd"


def encode_json(value: Any) -> str:
    """Return a value as JSON that every database takes."""
    try:
        text = _encode(value).decode()
    except (ValueError, OverflowError):
        # Half a surrogate pair, or a number of more than 64 bits.
        return _repaired(json.dumps(_finite(value)))
    return _repaired(text) if "\\u0000" in text else text


def _finite(value: Any) -> Any:
    """Return a JSON value with None for NaN and infinities, as the quick encoder writes them."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def decode_json(text: str | bytes) -> Any:
    """Return what JSON holds; text that an earlier release damaged is repaired."""
    try:
        return _decode(text)
    except ValueError:
        return json.loads(_repaired(text if isinstance(text, str) else text.decode("utf-8", "replace")))


def canonical_json(value: Any) -> bytes:
    """Return a value as JSON, independent of the order of its keys."""
    try:
        return _encode_sorted(value)
    except (ValueError, OverflowError):
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def storable(text: str) -> str:
    """Return a text with U+FFFD in place of what no database holds."""
    return _UNSTORABLE.sub(_REPLACEMENT, text)


def unstorable(value: Any, name: str = "") -> str | None:
    """Return the dotted name of the first text in a JSON value that no database holds, or None."""
    try:
        # Most values have none, and this finds that out quickly.
        if b"\\u0000" not in _encode(value):
            return None
    except (ValueError, OverflowError, TypeError, RecursionError):
        pass
    stack = [(name, value)]
    while stack:
        name, value = stack.pop()
        if isinstance(value, str):
            if _UNSTORABLE.search(value):
                return name
        elif isinstance(value, Mapping):
            for key, item in reversed([*value.items()]):
                if isinstance(key, str) and _UNSTORABLE.search(key):
                    return f"{name}.{storable(key)}".lstrip(".")
                stack.append((f"{name}.{key}".lstrip("."), item))
        elif isinstance(value, list | tuple):
            stack += [(f"{name}.{place}", item) for place, item in reversed([*enumerate(value)])]
    return None


def _repaired(text: str) -> str:
    return _ESCAPE.sub(lambda found: "\\ufffd" if found[1] else found[0], text)


class StoredText(TypeDecorator[str]):
    """Text of others, such as an error of an upstream, in which U+FFFD replaces what no database holds."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        """Return the text as it is stored."""
        return None if value is None else storable(value)
