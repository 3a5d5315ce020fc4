"""The LLMs that this home of the lifecycle knows, and what calls them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from llmrouter.completion.bounds import LIMITS, Bound, bound_of, has_media, limit_parameter, terms_of
from llmrouter.completion.catalogue import Catalogue
from llmrouter.completion.messages import estimate_tokens
from llmrouter.completion.prices import Price, price_of
from llmrouter.config import config_error, read_config
from llmrouter.data.candidates import read_candidates
from llmrouter.models.llm_models import ALL_MODELS
from llmrouter_lifecycle.errors import InvalidParameterError, ResourceNotFoundError
from llmrouter_lifecycle.names import shown

if TYPE_CHECKING:
    from llmrouter.completion.client import CompletionClient

VARIABLE = "LLMROUTER_CONFIG"

Config = str | os.PathLike[str] | Mapping[str, Any]


class Models:
    """The LLMs of a configuration; without one, those of `llmrouter.models.llm_models`, of unknown price.

    Args:
        config: A YAML file, or what it would hold. ``data_path.llm_data`` names the candidates' file, or
            holds them.
        client: What calls them, by default made when it is first used.

    Attributes:
        candidates: What is known of each LLM, by name.
        config: The configuration.
        source: Its file, absolute, or None.

    Raises:
        ConfigError, DataError: The configuration or the candidates cannot be used.
    """

    def __init__(self, config: Config | None = None, client: CompletionClient | None = None) -> None:
        if config is None:
            config = os.environ.get(VARIABLE) or None
        self.source = Path(config).absolute() if isinstance(config, str | os.PathLike) else None
        self.config: dict[str, Any] = {} if config is None else read_config(config)
        self.candidates = (
            {name: {} for name in sorted(ALL_MODELS)}
            if config is None
            else _candidates(self.config, self.source)
        )
        self.catalogue = Catalogue(self.candidates, self.config, self.source)
        if client is not None:
            self.client = client

    @cached_property
    def client(self) -> CompletionClient:
        """What calls the LLMs."""
        from llmrouter.completion.client import CompletionClient

        return CompletionClient(self.catalogue)

    def resolve(self, name: object, param: str = "model") -> str:
        """Return the full name of an LLM; its last part is enough where only one has it.

        Raises:
            ResourceNotFoundError: There is none of that name.
            InvalidParameterError: Several have it, or it is no text.
        """
        if not isinstance(name, str) or not name:
            raise InvalidParameterError(
                f"{param}: expected the name of an LLM, found {shown(name)}", param=param
            )
        if name in self.candidates:
            return name
        found = [known for known in self.candidates if known.rpartition("/")[2] == name]
        if len(found) > 1:
            raise InvalidParameterError(
                f"{param}: {shown(name)} may be {' or '.join(found)}; name one of them", param=param
            )
        if not found:
            known = ", ".join(list(self.candidates)[:20])
            raise ResourceNotFoundError(
                f"{param}: no LLM is named {shown(name)}; the configuration lists {known}", param=param
            )
        return found[0]

    def price(self, name: str) -> Price | None:
        """Return an LLM's price in USD per million tokens; None where it is unknown."""
        return price_of(self.candidates[name])

    def bound(
        self, name: str, parameters: Mapping[str, Any], messages: Sequence[Mapping[str, Any]], times: int = 1
    ) -> Bound | None:
        """Return what a call may use at most; None where its price is unknown, or nothing bounds its prompt.

        Args:
            name: The LLM.
            parameters: Fields of the request beside its messages.
            messages: The conversation.
            times: How often the call may be made.

        Raises:
            InvalidParameterError: A limit of tokens is none; the message names the field.
        """
        candidate = self.candidates[name]
        told = {**(candidate.get("parameters") or {}), **parameters}
        try:
            return bound_of(
                terms_of(candidate),
                told,
                len(msgspec.json.encode([told, messages])) * times,
                estimate_tokens(messages, parameters.get("tools")),
                prompts=times,
                media=has_media(messages) or told.get("web_search_options") is not None,
            )
        except ValueError as error:
            raise InvalidParameterError(str(error), param=str(error).partition(":")[0]) from None

    def limited(self, name: str, parameters: Mapping[str, Any], bound: Bound, usd: float) -> dict[str, Any]:
        """Return the parameters of a call, with the limit of its answer that so much pays for.

        Raises:
            ConfigError: It is not known how the LLM is called.
        """
        endpoint = self.catalogue.endpoint(name)
        if bound.given and endpoint.limit_parameter is None:
            return dict(parameters)
        kept = {key: value for key, value in parameters.items() if key not in LIMITS}
        return {**kept, limit_parameter(endpoint): bound.limit_for(usd)}


def _candidates(config: Mapping[str, Any], source: Path | None) -> dict[str, dict[str, Any]]:
    told = config["data_path"].get("llm_data")
    if isinstance(told, Mapping) and told and all(isinstance(value, Mapping) for value in told.values()):
        return {str(name): dict(candidate) for name, candidate in told.items()}
    if not isinstance(told, str | os.PathLike):
        raise config_error(
            source,
            ["data_path", "llm_data"],
            f"expected the path of the JSON file of the LLMs, found {told!r}",
        )
    path = Path(os.path.expanduser(told))
    if not path.is_absolute() and source is not None and (source.parent / path).exists():
        path = source.parent / path
    return read_candidates(path)
