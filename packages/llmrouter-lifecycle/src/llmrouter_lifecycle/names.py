"""Ids and full names of resources: ``organizations/ORG/routers/ID``."""

from __future__ import annotations

import re
from typing import Literal

from llmrouter_lifecycle.errors import InvalidParameterError

Collection = Literal["routers", "judges", "router_training_jobs"]

# Clients paste ids into paths as they are.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def check_id(value: object, param: str) -> str:
    """Return an id that may be used.

    Raises:
        InvalidParameterError: It may not.
    """
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise InvalidParameterError(
            f"{param}: {value!r} is not an id; use 1 to 63 letters, digits, '.', '_' and '-', the first of "
            "them a letter or digit",
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
        InvalidParameterError: It is no text.
    """
    if not isinstance(name, str) or not name:
        raise InvalidParameterError(
            f"{param}: expected a name such as {full_name(org, collection, 'my-id')}, found {name!r}",
            param=param,
        )
    return name.removeprefix(f"organizations/{org}/{collection}/")


def check_version(value: object, param: str = "version") -> int | None:
    """Return a version's number; None and ``latest`` stand for the latest.

    Raises:
        InvalidParameterError: It is no number from 1.
    """
    if value is None or value == "latest":
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:10])
    if type(value) is not int or value < 1:
        raise InvalidParameterError(f"{param}: expected a whole number from 1, found {value!r}", param=param)
    return value
