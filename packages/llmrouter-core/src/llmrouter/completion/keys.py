"""Keys of services, from the environment; they are never shown."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from llmrouter.completion.services import KEY_SUFFIX, Service
from llmrouter.errors import LLMRouterError

VARIABLE = "API_KEYS"
HIDDEN = "[key]"


class KeyRing:
    """The keys of one service, used in turn; safe from several threads."""

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._keys = tuple(keys)
        self._turns = itertools.cycle(self._keys)
        # The longest first, for one may be part of another.
        self._hidden = sorted(self._keys, key=len, reverse=True)

    def next(self) -> str | None:
        """Return the key whose turn it is; None where there is none."""
        return next(self._turns, None)

    def redact(self, text: str) -> str:
        """Return a text without these keys, as of an error that quotes one."""
        for key in self._hidden:
            text = text.replace(key, HIDDEN)
        return text

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"<KeyRing: {len(self)} keys>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("keys are not pickled; read them anew where they are needed")


def keys_for(service: Service | None, environ: Mapping[str, str]) -> KeyRing:
    """Return the keys of a service, or of an endpoint that belongs to none.

    ``API_KEYS`` is a JSON object from service to key or keys, or, for all services alike, a JSON list, a list
    with commas, or one key. Where it tells none for the service, its own variable does, which may hold
    several with commas too.

    Raises:
        LLMRouterError: A variable holds something other than keys; it is named, but not shown.
    """
    told = _parse(environ.get(VARIABLE, ""))
    if isinstance(told, dict):
        told = told.get(service.name.lower(), []) if service is not None else []
    if not told and service is not None:
        told = _checked(service.api_key_env, environ.get(service.api_key_env, "").split(","))
    return KeyRing(told)


def check_keys(environ: Mapping[str, str]) -> list[str]:
    """Tell in words what is wrong with the variables that hold keys, without showing any."""
    problems = []
    for variable in environ:
        try:
            if variable == VARIABLE:
                _parse(environ[variable])
            elif variable.endswith(KEY_SUFFIX):
                _checked(variable, environ[variable].split(","))
        except LLMRouterError as error:
            problems.append(str(error))
    return problems


def _parse(text: str) -> dict[str, list[str]] | list[str]:
    """Return the keys of each service, by its name in lower case, or those of all."""
    text = text.strip()
    if not text.startswith(("{", "[")):
        return _checked(VARIABLE, text.split(","))
    try:
        told = json.loads(text)
    except ValueError as error:
        # Only where, for the text itself is secret.
        where = f" at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else ""
        raise LLMRouterError(f"{VARIABLE} begins like JSON and is not valid JSON{where}") from None
    if isinstance(told, list):
        return _checked(VARIABLE, told)
    return {
        service.lower(): _checked(VARIABLE, keys.split(",") if isinstance(keys, str) else keys)
        for service, keys in told.items()
    }


def _checked(variable: str, keys: Any) -> list[str]:
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise LLMRouterError(
            f'{variable} holds something other than keys; expected {{"SERVICE": "KEY" or ["KEY", …]}}, '
            '["KEY", …] or KEY,KEY'
        )
    found = [key.strip() for key in keys if key.strip()]
    # Others cannot be sent, and the error that says so would show the key.
    if not all(key.isascii() and key.isprintable() and " " not in key for key in found):
        raise LLMRouterError(f"{variable} holds a key with blanks, line breaks or letters outside ASCII")
    return found
