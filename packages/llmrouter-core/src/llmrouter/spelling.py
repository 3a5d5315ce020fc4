"""Suggest the known name that a misspelt one stands for."""

from __future__ import annotations

from collections.abc import Collection

# Two names that share this much of their letters, in order, are taken for one.
ALIKE = 0.8


def nearest(name: object, known: Collection[str], alike: float = ALIKE) -> str | None:
    """Return the known name most like another one; None if none is alike.

    Case, spaces, and whether words are joined by ``-`` or ``_``, make no difference. Names of the same
    letters in another order are always alike.

    Args:
        name: The name as written.
        known: The names that mean something.
        alike: How similar they must be, from 0 to 1.
    """
    from difflib import get_close_matches  # only mistakes need it

    plain = {_plain(one): one for one in known}
    written = _plain(str(name))
    found = get_close_matches(written, plain, n=1, cutoff=alike) or [
        one for one in plain if len(one) == len(written) > 1 and sorted(one) == sorted(written)
    ]
    return plain[found[0]] if found else None


def unknown(name: object, known: Collection[str]) -> str:
    """Return the problem with a name that means nothing: what was probably meant, or what there is."""
    near = nearest(name, known, alike=0.6)
    return f"is unknown; did you mean {near!r}?" if near else f"is unknown; there are {', '.join(known)}"


def _plain(name: str) -> str:
    return name.strip().lower().replace("-", "_").replace(" ", "_")
