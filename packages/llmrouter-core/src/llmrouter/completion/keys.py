"""Keys of services, from the environment; they are never shown."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping

from llmrouter.completion.services import Service
from llmrouter.errors import LLMRouterError

VARIABLE = "API_KEYS"
HIDDEN = "[key]"


class KeyRing:
    """The keys of one service, used in turn; safe from several threads."""

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._keys = tuple(keys)
        self._turns = itertools.cycle(self._keys)

    def next(self) -> str | None:
        """Return the key whose turn it is; None where there is none."""
        return next(self._turns, None)

    def redact(self, text: str) -> str:
        """Return a text without these keys, as of an error that quotes one."""
        for key in self._keys:
            text = text.replace(key, HIDDEN)
        return text

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"<KeyRing: {len(self)} keys>"

    def __reduce__(self) -> tuple[type[KeyRing], tuple[tuple[str, ...]]]:
        # A copy in another process begins its turns anew.
        return KeyRing, (self._keys,)


def keys_for(service: Service | None, environ: Mapping[str, str]) -> KeyRing:
    """Return the keys of a service, or of an endpoint that belongs to none.

    ``API_KEYS`` is a JSON object from service to key or keys, or, for all services alike, a JSON list, a list
    with commas, or one key. Where it tells none for the service, its own variable does.

    Raises:
        LLMRouterError: ``API_KEYS`` looks like JSON and is not what is described.
    """
    told = _parse(environ.get(VARIABLE, ""))
    if isinstance(told, dict):
        own = told.get(service.name, []) if service is not None else []
        told = [own] if isinstance(own, str) else own
    found = _clean(told)
    if not found and service is not None:
        found = _clean(environ.get(service.api_key_env, "").split(","))
    return KeyRing(found)


def _parse(text: str) -> dict[str, list[str] | str] | list[str]:
    text = text.strip()
    if not text.startswith(("{", "[")):
        return text.split(",")
    try:
        told = json.loads(text)
    except ValueError:
        # Not what json says, which quotes the text.
        raise LLMRouterError(f"{VARIABLE} begins like JSON and is not valid JSON") from None
    values = told.values() if isinstance(told, dict) else [told]
    flat = [item for value in values for item in (value if isinstance(value, list) else [value])]
    if not all(isinstance(item, str) for item in flat):
        raise LLMRouterError(
            f'{VARIABLE} holds something other than keys; expected {{"SERVICE": "KEY" or ["KEY", …]}}, '
            '["KEY", …] or KEY,KEY'
        )
    found: dict[str, list[str] | str] | list[str] = told
    return found


def _clean(keys: Iterable[str]) -> list[str]:
    return [key.strip() for key in keys if key.strip()]
