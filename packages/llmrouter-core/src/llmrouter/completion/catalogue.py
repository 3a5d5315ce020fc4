"""The catalogue: where each candidate is called, under which name, with which keys and at which price."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from llmrouter.completion.keys import VARIABLE, KeyRing, keys_for
from llmrouter.completion.prices import Price, price_of
from llmrouter.completion.services import (
    Service,
    check_url,
    host_of,
    is_loopback,
    key_variable,
    services_from,
)
from llmrouter.completion.usage import Usage
from llmrouter.config import config_error
from llmrouter.errors import ConfigError


@dataclass(frozen=True)
class Endpoint:
    """How a candidate is called.

    Attributes:
        name: The candidate's name.
        model: What its service calls it.
        url: Base URL of the OpenAI protocol, without a slash at the end.
        keys: The keys, used in turn; none for an endpoint on this machine that needs none.
        service: Who offers it, or None.
        price: In USD per million tokens, or None where it is unknown.
        context_window: Tokens that it takes, or None where that is unknown.
        max_output_tokens: Tokens that an answer of it has at most, or None where that is unknown.
        limit_parameter: The field by which its service takes the limit of an answer's tokens; None where the
            candidate names none.
        features: What it takes beside text, of ``images`` and ``tools``; None where that is unknown.
        parameters: Fields of every request that does not set them itself, such as ``temperature``.
    """

    name: str
    model: str
    url: str
    keys: KeyRing
    service: Service | None = None
    price: Price | None = None
    context_window: int | None = None
    max_output_tokens: int | None = None
    limit_parameter: str | None = None
    features: frozenset[str] | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def supports(self, feature: str) -> bool:
        """Whether it takes ``images`` or ``tools``; what is unknown is tried."""
        return self.features is None or feature in self.features

    def cost(
        self, prompt_tokens: int | None, completion_tokens: int | None, cached_tokens: int = 0
    ) -> float | None:
        """Return the cost of an answer in USD; None where price or tokens are unknown.

        Args:
            prompt_tokens: Of the prompt.
            completion_tokens: Of the answer.
            cached_tokens: How many of the prompt's tokens the service had kept.
        """
        if self.price is None or prompt_tokens is None or completion_tokens is None:
            return None
        return self.price.cost(prompt_tokens, completion_tokens, cached_tokens)

    def cost_of(self, usage: Usage | None) -> float | None:
        """Return what an answer of so many tokens costs in USD; None where price or tokens are unknown."""
        if usage is None:
            return None
        return self.cost(usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens)


class Catalogue:
    """The candidates of a configuration, as something that can be called.

    A copy or a pickle of it holds no keys: they are read anew, from the environment.

    Args:
        candidates: What is known of each, by name, as a router's ``llm_data``.
        config: The configuration; its ``services`` and ``api_endpoint`` count.
        source: Where it was read, for errors.
        environ: Where the keys are; None: in this process's environment.

    Attributes:
        services: Those built in and configured, by name in lower case.

    Raises:
        ConfigError: ``services`` or ``api_endpoint`` is malformed.
    """

    def __init__(
        self,
        candidates: Mapping[str, Mapping[str, Any]],
        config: Mapping[str, Any],
        source: object = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._candidates = candidates
        self._source = source
        self._environ = environ
        self._default = config.get("api_endpoint")
        if self._default is not None and (problem := check_url(self._default)):
            raise config_error(source, ["api_endpoint"], problem)
        self.services = services_from(config, source)
        self._rings: dict[str, KeyRing] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._candidates)

    def __len__(self) -> int:
        return len(self._candidates)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_environ": None, "_rings": {}}

    def endpoint(self, name: str) -> Endpoint:
        """Return how a candidate is called.

        Raises:
            KeyError: There is no such candidate.
            ConfigError: It is not known where it is, or a key that it needs is not set.
            LLMRouterError: The variables that hold keys are malformed.
        """
        candidate = self._candidates[name]
        service = self._service(name, candidate)
        url = candidate.get("api_endpoint") or (service.api_endpoint if service else None) or self._default
        if url is None:
            raise ConfigError(
                None,
                f"it is not known where {name!r} is called; give the candidate an 'api_endpoint' or a "
                f"'service' ({', '.join(self.services)}), or the configuration an 'api_endpoint'",
            )
        if problem := check_url(url):
            raise ConfigError(None, problem, key=f"{name}.api_endpoint")
        # One for all candidates of a service, which take turns with its keys.
        owner = service.name if service is not None else f"at {url}"
        if owner not in self._rings:
            self._rings[owner] = keys_for(service, os.environ if self._environ is None else self._environ)
        keys = self._rings[owner]
        if not keys and not is_loopback(url):
            advice = (
                f"set {VARIABLE} or {service.api_key_env} in the environment"
                if service is not None
                else f"set {VARIABLE} in the environment, or give it a 'service' whose variable holds the key"
            )
            raise ConfigError(None, f"{name!r} needs a key; {advice}")
        features = candidate.get("supports")
        return Endpoint(
            name=name,
            model=str(candidate.get("model") or _model(name, service)),
            url=str(url).rstrip("/"),
            keys=keys,
            service=service,
            price=price_of(candidate),
            context_window=candidate.get("context_window"),
            max_output_tokens=candidate.get("max_output_tokens"),
            limit_parameter=candidate.get("limit_parameter"),
            features=None if features is None else frozenset(features),
            parameters=candidate.get("parameters") or {},
        )

    def _service(self, name: str, candidate: Mapping[str, Any]) -> Service | None:
        own = candidate.get("api_endpoint")
        named = candidate.get("service")
        if named is None:
            found = self.services.get(name.partition("/")[0].lower())
            # An LLM such as openai/gpt-oss-20b at an endpoint of its own is somebody else's, who gets no key.
            if found and own and found.api_endpoint and not _same_host(own, found.api_endpoint):
                return None
            return found
        lower = str(named).lower()
        if lower in self.services:
            return self.services[lower]
        if own or self._default:
            return Service(lower, api_key_env=key_variable(lower))
        raise ConfigError(
            None,
            f"no service is named {named!r}; there are {', '.join(self.services)}, and 'services' in the "
            "configuration adds others",
            key=f"{name}.service",
        )


def _same_host(one: object, other: str) -> bool:
    return isinstance(one, str) and check_url(one) is None and host_of(one) == host_of(other)


def _model(name: str, service: Service | None) -> str:
    """What a service calls the LLM of a name such as ``openai/openai/gpt-4o`` or ``together/vendor/llm``."""
    for _again in range(2):
        first, _, rest = name.partition("/")
        if service is not None and rest and first.lower() == service.name:
            name = rest
    return name
