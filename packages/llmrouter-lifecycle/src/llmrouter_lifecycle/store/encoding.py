"""Text and JSON as the database holds them: one codec, so that what was written can be read by everyone."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import Text
from sqlalchemy.types import TypeDecorator

# NUL, which PostgreSQL does not store, and halves of surrogate pairs, which no encoding has.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_NUL = "\\u0000"

_encode = msgspec.json.Encoder().encode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.Decoder().decode


def encode_json(value: Any) -> str:
    """Return a value as JSON, with U+FFFD in place of characters that cannot be stored."""
    try:
        text = _encode(value).decode()
    except (ValueError, OverflowError):
        # Half a surrogate pair, or a number of more than 64 bits.
        return json.dumps(storable(value))
    return json.dumps(storable(value)) if _NUL in text else text


def decode_json(text: str | bytes) -> Any:
    """Return what JSON holds; what an earlier release stored damaged is repaired."""
    try:
        return _decode(text)
    except msgspec.DecodeError:
        return storable(json.loads(text))


def canonical_json(value: Any) -> bytes:
    """Return a value as JSON, independent of the order of keys."""
    try:
        return _encode_sorted(value)
    except (ValueError, OverflowError):
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def storable(value: Any) -> Any:
    """Return a JSON value with U+FFFD for characters, and None for numbers, that cannot be stored."""
    if isinstance(value, str):
        return _UNSTORABLE.sub(_REPLACEMENT, value)
    if isinstance(value, Mapping):
        return {storable(key): storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def unstorable_path(value: Any, path: str = "") -> str | None:
    """Return where a JSON value holds a character that cannot be stored, as a dotted path; None: nowhere."""
    try:
        if _NUL not in _encode(value).decode():
            return None
    except (ValueError, OverflowError):
        pass
    if isinstance(value, str):
        return path if _UNSTORABLE.search(value) else None
    items: Any = value.items() if isinstance(value, Mapping) else ()
    if isinstance(value, list | tuple):
        items = enumerate(value)
    for key, item in items:
        if isinstance(key, str) and _UNSTORABLE.search(key):
            return path
        if found := unstorable_path(item, f"{path}.{key}" if path else str(key)):
            return found
    return None


class StoredText(TypeDecorator[str]):
    """Text of others, such as an error of an upstream, in which U+FFFD replaces what cannot be stored."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        """Return the text as it is stored."""
        return None if value is None else _UNSTORABLE.sub(_REPLACEMENT, value)
