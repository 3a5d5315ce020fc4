"""Check that a class fulfils the contract of a router or trainer."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from llmrouter.errors import RouterValidationError

# How core calls each method, the instance apart: positional and keyword arguments.
_CALLS: dict[str, dict[str, tuple[tuple[Any, ...], dict[str, Any]]]] = {
    "Router": {
        "__init__": ((), {"yaml_path": ""}),
        "route_single": (({},), {}),
        "route_batch": (([],), {}),
    },
    "Trainer": {"__init__": ((object(), {}, "cpu"), {}), "train": ((), {})},
}


def validated(found: object, base: type, where: str) -> type:
    """Return `found` if it is a usable subclass of `base`.

    Raises:
        RouterValidationError: It is not; the message says what to change.
    """
    kind = base.__name__.removeprefix("Base")
    if not isinstance(found, type) or not issubclass(found, base):
        raise RouterValidationError(
            f"{where}: {found!r} is not a subclass of {base.__module__}.{base.__name__}", kind=kind
        )
    if missing := sorted(getattr(found, "__abstractmethods__", ())):
        raise RouterValidationError(
            f"{found.__name__} in {where} does not implement {', '.join(missing)}", kind=kind
        )
    for method, (arguments, keywords) in _CALLS[kind].items():
        try:
            inspect.signature(getattr(found, method)).bind(None, *arguments, **keywords)
        except TypeError as error:
            given = f"{method}{_parameters(getattr(found, method))}"
            expected = f"{method}{_parameters(getattr(base, method))}"
            raise RouterValidationError(
                f"{found.__name__} in {where}: {given} cannot be called as {expected}: {error}", kind=kind
            ) from None
    return found


def _parameters(function: Callable[..., Any]) -> inspect.Signature:
    """A function's signature without its types, which say nothing about how it can be called."""
    signature = inspect.signature(function)
    bare = [parameter.replace(annotation=parameter.empty) for parameter in signature.parameters.values()]
    return signature.replace(parameters=bare, return_annotation=signature.empty)
