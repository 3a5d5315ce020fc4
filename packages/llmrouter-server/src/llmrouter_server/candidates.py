"""The candidates as the gateway calls them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from llmrouter.completion.bounds import bound_of
from llmrouter.completion.catalogue import Catalogue, Endpoint
from llmrouter.completion.prices import Price
from llmrouter.completion.services import Service
from llmrouter.completion.turns import Turns
from llmrouter.errors import ConfigError
from llmrouter.gateway_settings import Settings
from llmrouter_server.address import Address
from llmrouter_server.cooldown import Cooldown


class Candidate:
    """An LLM that may answer.

    Attributes:
        name: In the catalogue.
        endpoint: Where it is called, and what is known of it.
        chat: Where it takes chat completions.
        completions: Where it takes text completions.
        upstream_name: What its service calls it, as JSON.
        own_name: Its name, as JSON.
        parameters: Fields of every request that does not set them itself, each as JSON.
        parameters_size: Of these in bytes.
        cooldown: Whether it is left alone for now.
        turns: Those of its service, where that bounds its calls.
    """

    __slots__ = (
        "chat",
        "completions",
        "cooldown",
        "endpoint",
        "name",
        "own_name",
        "parameters",
        "parameters_size",
        "turns",
        "upstream_name",
    )

    def __init__(self, endpoint: Endpoint, settings: Settings, turns: Turns | None = None) -> None:
        self.name = endpoint.name
        self.endpoint = endpoint
        self.chat = Address(f"{endpoint.url}/chat/completions")
        self.completions = Address(f"{endpoint.url}/completions")
        self.upstream_name = msgspec.Raw(msgspec.json.encode(endpoint.model))
        self.own_name = msgspec.Raw(msgspec.json.encode(endpoint.name))
        self.parameters = {
            name: msgspec.Raw(msgspec.json.encode(value)) for name, value in endpoint.parameters.items()
        }
        self.parameters_size = sum(len(name) + len(bytes(value)) for name, value in self.parameters.items())
        self.cooldown = Cooldown(settings.cooldown_seconds, settings.max_cooldown_seconds)
        self.turns = turns


def candidates_of(
    sources: Iterable[tuple[Mapping[str, Any], Mapping[str, Mapping[str, Any]], object]],
    settings: Settings,
    turns: Callable[[Service | None], Turns | None],
) -> dict[str, Candidate]:
    """Return the candidates of several routers, by name.

    Args:
        sources: For each router its configuration, its candidates, and where the configuration was read.
        settings: How long they cool down.
        turns: Returns the turns of a service.

    Raises:
        ConfigError: It is not known how one is called, or two routers know one name as different LLMs.
    """
    found: dict[str, Candidate] = {}
    for config, llms, source in sources:
        catalogue = Catalogue(llms, config, source)
        for name in llms:
            endpoint = catalogue.endpoint(name)
            if problem := _problem(endpoint):
                raise ConfigError(None, problem, key=f"{name}.parameters")
            if name not in found:
                found[name] = Candidate(endpoint, settings, turns(endpoint.service))
            elif _differ(found[name].endpoint, endpoint):
                raise ConfigError(
                    None, f"two routers have a candidate {name!r}, and differ in how it is called; rename one"
                )
    return found


def _problem(endpoint: Endpoint) -> str | None:
    """Return why a candidate's parameters cannot be right; None where they may be."""
    try:
        bound_of(replace(endpoint, price=Price(0, 0), context_window=1), endpoint.parameters, 1, 1)
    except ValueError as error:
        return str(error)
    return None


def _differ(one: Endpoint, other: Endpoint) -> bool:
    return (one.url, one.model, one.price) != (other.url, other.model, other.price)
