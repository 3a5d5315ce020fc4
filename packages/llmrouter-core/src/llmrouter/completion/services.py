"""Services that offer LLMs: built in, and configured under ``services``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from llmrouter.config import config_error
from llmrouter.spelling import unknown

ENDPOINTS = {
    "anthropic": "https://api.anthropic.com/v1",
    "gemini": "https://generativelanguage.googleapis.com/v1beta/openai",
    "openai": "https://api.openai.com/v1",
    "together": "https://api.together.xyz/v1",
}
# Of the variables that hold the keys of one service.
KEY_SUFFIX = "_API_KEY"


@dataclass(frozen=True)
class Service:
    """Somebody who offers LLMs over the OpenAI protocol.

    Attributes:
        name: By which candidates name it.
        api_endpoint: Base URL, such as ``https://api.openai.com/v1``; None where each candidate has its own.
        api_key_env: Environment variable that holds the key.
        concurrency: Calls at once at most; None: no limit of the service's own.
        requests_per_minute: Calls a minute at most; None: no limit.
    """

    name: str
    api_endpoint: str | None = None
    api_key_env: str = ""
    concurrency: int | None = None
    requests_per_minute: float | None = None


_KEYS = tuple(field.name for field in fields(Service) if field.name != "name")


def services_from(config: Mapping[str, Any], source: object = None) -> dict[str, Service]:
    """Return the built-in services and those of the section ``services``, by name.

    Args:
        config: A configuration.
        source: Where it was read, for errors.

    Returns:
        The services by their names in lower case, which is how they are looked up.

    Raises:
        ConfigError: The section is malformed.
    """
    found = {name: Service(name, url, key_variable(name)) for name, url in ENDPOINTS.items()}
    section = config.get("services") or {}
    if not isinstance(section, dict):
        raise config_error(source, ["services"], "expected a section of services by name")
    for name, told in section.items():
        if not isinstance(told, dict | None):
            raise config_error(source, ["services", str(name)], f"expected {', '.join(_KEYS)}")
        for key, value in (told or {}).items():
            if problem := _problem(key, value):
                raise config_error(source, ["services", str(name), str(key)], problem)
        lower = str(name).lower()
        known = found.get(lower, Service(lower, api_key_env=key_variable(lower)))
        found[lower] = replace(known, **(told or {}))
    return found


def check_url(value: object) -> str | None:
    """Tell in words why something is no base URL of an API, or return None.

    What may hold a password or key is not repeated.
    """
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
        host = parts and parts.hostname and (parts.port or True)
    except ValueError:  # brackets that do not match, or a port that is none
        parts = host = None
    if parts is not None and ("@" in parts.netloc or parts.query or parts.fragment):
        return "holds a name, password or parameters; keys belong into the environment"
    if parts is None or parts.scheme not in ("http", "https") or not host:
        found = "something else" if any(mark in str(value) for mark in "@?") else repr(value)
        return f"expected a URL such as http://127.0.0.1:8080/v1, found {found}"
    return None


def host_of(url: str) -> str:
    """Return the host of a URL that `check_url` finds good."""
    return urlsplit(url).hostname or ""


def is_loopback(url: str) -> bool:
    """Whether a URL leads to this machine itself."""
    host = host_of(url)
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def key_variable(name: str) -> str:
    """Return the environment variable that holds a service's key by default."""
    return f"{''.join(c if c.isalnum() else '_' for c in name).upper()}{KEY_SUFFIX}"


def _problem(key: object, value: object) -> str | None:
    if key == "api_endpoint":
        return check_url(value)
    if key == "api_key_env":
        return None if isinstance(value, str) else f"expected the name of a variable, found {value!r}"
    if key == "concurrency":
        return (
            None if type(value) is int and value > 0 else f"expected a whole number from 1, found {value!r}"
        )
    if key == "requests_per_minute":
        good = type(value) in (int, float) and value > 0  # type: ignore[operator]
        return None if good else f"expected a number above 0, found {value!r}"
    return unknown(key, _KEYS)
