"""JSON as the database holds it: much of it, so by the quickest encoder."""

from __future__ import annotations

import json
from typing import Any

import msgspec

_encode = msgspec.json.Encoder().encode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode
decode_json = msgspec.json.Decoder().decode


def encode_json(value: Any) -> str:
    """Return a value as JSON."""
    try:
        return _encode(value).decode()
    except (ValueError, OverflowError):
        # Half a surrogate pair, or a number of more than 64 bits.
        return json.dumps(value)


def canonical_json(value: Any) -> bytes:
    """Return a value as JSON that does not hang on the order of keys."""
    try:
        return _encode_sorted(value)
    except (ValueError, OverflowError):
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
