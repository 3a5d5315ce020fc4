"""Read a router's hyperparameters, declared as a dataclass, from the section ``hparam``."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import fields
from typing import Annotated, Any, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from llmrouter.config import config_error
from llmrouter.spelling import unknown

T = TypeVar("T")

# Routers that draw nothing may be given it too, as the conformance kit does.
SEED = "seed"

# Hyperparameters of a router with which the one that is made shares its configuration.
_shared: ContextVar[frozenset[str]] = ContextVar("shared", default=frozenset())


class Check(NamedTuple):
    """What a value must be.

    Attributes:
        expected: What stands in the error, such as ``a whole number from 1``.
        holds: Whether a value is so.
    """

    expected: str
    holds: Callable[[Any], bool]


TEXT = Check("text", lambda value: isinstance(value, str))
SHARE = Check("a number from 0 to 1", lambda value: _is_number(value) and 0 <= value <= 1)
FOLDER = Check("true, false or a folder", lambda value: isinstance(value, bool | str))


def whole(least: int) -> Check:
    """Expect an integer, at least so large, and below 10^12."""
    expected = f"a whole number from {least} to 10^12"
    return Check(expected, lambda value: type(value) is int and least <= value <= 10**12)


def number(least: float) -> Check:
    """Expect a finite number, at least so large."""
    return Check(f"a number from {least:g}", lambda value: _is_number(value) and value >= least)


def above(limit: float) -> Check:
    """Expect a finite number that is larger."""
    return Check(f"a number above {limit:g}", lambda value: _is_number(value) and value > limit)


def one_of(choices: Collection[str]) -> Check:
    """Expect one of several texts."""
    *others, last = choices
    expected = f"{', '.join(others)} or {last}" if others else last
    return Check(expected, lambda value: isinstance(value, str) and value in choices)


@contextlib.contextmanager
def shared_with(names: Collection[str]) -> Iterator[None]:
    """Accept another router's hyperparameters of these names in what is read meanwhile: both share a file."""
    token = _shared.set(frozenset(names))
    try:
        yield
    finally:
        _shared.reset(token)


def read_hyperparameters(
    kind: type[T],
    cfg: Mapping[str, Any],
    source: object,
    exclusive: Sequence[str] = (),
    *,
    strict: bool = False,
    also: Collection[str] = (),
) -> T:
    """Read the hyperparameters that a dataclass declares.

    A field says by an annotation what its values must be, and has a default, which null stands for too::

        @dataclass(frozen=True)
        class Hyperparameters:
            k: Annotated[int, whole(1)] = 200

        self.settings = read_hyperparameters(Hyperparameters, self.cfg, yaml_path, strict=True)

    Args:
        kind: The dataclass.
        cfg: The configuration, as a router's ``cfg`` holds it.
        source: Where it was read, for errors.
        exclusive: Fields of which one at most may be given.
        strict: Refuse keys that the dataclass does not have, except ``seed``, which any router may be given;
            otherwise they are left to others.
        also: Keys that are read elsewhere.

    Raises:
        ConfigError: A value is not what it must be, two that exclude each other are given, or, where
            `strict`, a key is unknown.
    """
    given = cfg["hparam"]
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]  # a dataclass
    if strict:
        known = [*names, *also]
        for name in given:
            if name not in known and name != SEED and name not in _shared.get():
                raise config_error(source, ["hparam", str(name)], unknown(name, known))
    values = {name: given[name] for name in names if given.get(name) is not None}
    hints = get_type_hints(kind, include_extras=True)
    for name, value in values.items():
        for check in _checks(hints[name]):
            if not check.holds(value):
                raise config_error(
                    source, ["hparam", name], f"expected {check.expected}, found {value!r:.60}"
                )
    ways = [name for name in exclusive if name in values]
    if len(ways) > 1:
        problem = f"is one way to choose and {ways[0]} another; keep one"
        raise config_error(source, ["hparam", ways[1]], problem)
    return kind(**values)


def _checks(hint: Any) -> list[Check]:
    found = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    return [check for check in found if isinstance(check, Check)]


def _is_number(value: Any) -> bool:
    # An integer may have more digits than a float can hold, which math.isfinite would raise for.
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and -sys.float_info.max <= value <= sys.float_info.max
    )
