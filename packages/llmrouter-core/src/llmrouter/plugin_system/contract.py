"""Check that a class fulfils the contract of a router, trainer, encoder or judge."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from llmrouter.errors import RouterValidationError


class _Call(NamedTuple):
    """How core calls a method, the instance apart.

    Attributes:
        parameters: As the base class has them.
        arguments: What is given by position.
        keywords: What is given by name.
    """

    parameters: str
    arguments: tuple[Any, ...] = ()
    keywords: Mapping[str, Any] = MappingProxyType({})


_CALLS: dict[str, dict[str, _Call]] = {
    "Router": {
        "__init__": _Call("(self, yaml_path=None, resources=None)", keywords={"yaml_path": ""}),
        "route_single": _Call("(self, query_input)", ({},)),
        "route_batch": _Call("(self, batch)", ([],)),
    },
    "Trainer": {
        "__init__": _Call("(self, router, config, device='cpu')", (object(), {}, "cpu")),
        "train": _Call("(self)"),
    },
    "Encoder": {
        "__init__": _Call("(self, argument=None)", (None,)),
        "fit": _Call("(self, texts)", ([],)),
        "encode": _Call("(self, texts)", ([],)),
        "state": _Call("(self)"),
        "restore": _Call("(self, arrays, settings)", ({}, {})),
    },
    "Judge": {
        "__init__": _Call("(self, spec)", ({},)),
        "score": _Call("(self, request, response)", ({}, {})),
    },
}
_BASES = {
    "Encoder": "llmrouter.encoders.base.Encoder",
    "Judge": "llmrouter.models.judge.Judge",
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
    if problem := contract_problem(found, kind, where):
        raise RouterValidationError(problem, kind=kind)
    return found


def contract_problem(found: object, kind: str, where: str) -> str | None:
    """Tell why a class cannot be made and called as core does it, or None.

    Args:
        found: The class; an encoder or judge need not inherit from ours.
        kind: ``Router``, ``Trainer``, ``Encoder`` or ``Judge``.
        where: Where it is, in words.
    """
    if not isinstance(found, type):
        return f"{where}: {found!r} is no class"
    if missing := sorted(getattr(found, "__abstractmethods__", ())):
        return f"{found.__name__} in {where} does not implement {', '.join(missing)}"
    for method, call in _CALLS[kind].items():
        function = getattr(found, method, None)
        if not callable(function):
            return f"{found.__name__} in {where} has no {method}; inherit from {_BASES[kind]}"
        try:
            inspect.signature(function).bind(None, *call.arguments, **call.keywords)
        except TypeError as error:
            given = f"{method}{_parameters(function)}"
            return (
                f"{found.__name__} in {where}: {given} cannot be called as {method}{call.parameters}: {error}"
            )
    return None


def _parameters(function: Callable[..., Any]) -> inspect.Signature:
    """A function's signature without its types, which say nothing about how it can be called."""
    signature = inspect.signature(function)
    bare = [parameter.replace(annotation=parameter.empty) for parameter in signature.parameters.values()]
    return signature.replace(parameters=bare, return_annotation=signature.empty)
