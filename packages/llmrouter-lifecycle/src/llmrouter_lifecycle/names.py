"""Ids and full names of resources: ``organizations/ORG/routers/ID``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeGuard

from llmrouter.spelling import unknown
from llmrouter_lifecycle.errors import InvalidParameterError

Collection = Literal["routers", "judges", "router_training_jobs"]

# The largest version that every database holds.
LAST_VERSION = 2**31 - 1
# Clients paste ids into paths as they are.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def check_id(value: object, param: str) -> str:
    """Return an id that may be used.

    Raises:
        InvalidParameterError: It may not.
    """
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise InvalidParameterError(
            f"{param}: {shown(value)} is not an id; use 1 to 63 letters, digits, '.', '_' and '-', "
            "and begin with a letter or digit",
            param=param,
        )
    return value


def full_name(org: str, collection: Collection, id: str) -> str:
    """Return the full name of a resource."""
    return f"organizations/{org}/{collection}/{id}"


def id_of(name: object, org: str, collection: Collection, param: str) -> str:
    """Return the id in a full name of this organisation, or in a bare id.

    A name of another organisation is returned whole, which is no id that exists.

    Raises:
        InvalidParameterError: It is no text, or holds NUL.
    """
    if not isinstance(name, str) or not name or "\0" in name:
        raise InvalidParameterError(
            f"{param}: expected a name such as {full_name(org, collection, 'my-id')}, found {shown(name)}",
            param=param,
        )
    return name.removeprefix(f"organizations/{org}/{collection}/")


def check_version(value: object, param: str = "version") -> int | None:
    """Return a version's number; None and ``latest`` stand for the latest.

    Raises:
        InvalidParameterError: It is not a whole number from 1 to `LAST_VERSION`.
    """
    if value is None or value == "latest":
        return None
    digits = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 10
    number = int(value) if digits else value  # type: ignore[call-overload]
    if type(number) is not int or not 1 <= number <= LAST_VERSION:
        raise InvalidParameterError(
            f"{param}: expected a whole number from 1 to {LAST_VERSION}, found {shown(value)}", param=param
        )
    return number


def is_number(value: object, most: float = sys.float_info.max) -> TypeGuard[float]:
    """Return whether a value is a number from 0 to `most`; true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most


def refuse_unknown(told: Mapping[Any, Any], known: Iterable[str], param: str) -> None:
    """Refuse a key that means nothing.

    Raises:
        InvalidParameterError: There is one; the message names the key, and the one that was meant.
    """
    known = list(known)
    if odd := sorted(str(key) for key in told if key not in known):
        key = f"{param}.{odd[0] if len(odd[0]) <= 80 else shown(odd[0])}"
        raise InvalidParameterError(f"{key}: {unknown(odd[0], known)}", param=key)


def shown(value: object) -> str:
    """Return a value as an error message shows it: in short."""
    if isinstance(value, list | tuple | dict) and not value:
        return "none"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
