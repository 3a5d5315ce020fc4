"""JSON whose text is not valid Unicode."""

from __future__ import annotations

import re

# An escape in a JSON text: a whole surrogate pair, half of one (captured), or any other.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


def has_lone_surrogate(body: bytes) -> bool:
    """Return whether JSON holds an escape that is half of a surrogate pair, which encodes no character."""
    return any(found[1] for found in _ESCAPE.finditer(body))


def repaired(body: bytes) -> bytes:
    """Return JSON with U+FFFD in place of bytes that are not UTF-8 and of halves of surrogate pairs."""
    if not body.isascii():
        body = body.decode("utf-8", "replace").encode()
    return _ESCAPE.sub(lambda found: b"\\ufffd" if found[1] else found[0], body)
