"""What requests are answered with: routers, candidates, keys and limits; replaced as a whole by a reload."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from llmrouter.errors import ConfigError
from llmrouter.gateway_settings import Settings, read_settings
from llmrouter.plugin_system import PluginRegistry
from llmrouter.routing import DecisionEngine, open_engine
from llmrouter_server.auth import Key, Keys
from llmrouter_server.budgets import Budgeting
from llmrouter_server.candidates import Candidate, candidates_of
from llmrouter_server.deciding import Decider, decider_for
from llmrouter_server.metrics import Metrics
from llmrouter_server.upstream import Upstreams

if TYPE_CHECKING:
    from llmrouter_server.lifecycle.mount import Lifecycle

# The name by which clients ask for the default router.
AUTO = "auto"


@dataclass(frozen=True)
class RouterOption:
    """A router to serve.

    Attributes:
        name: As `PluginRegistry.find` takes it.
        config: Path of its configuration.
        load_model_path: What it learned, in place of what the configuration names.
    """

    name: str
    config: str
    load_model_path: str | None = None


@dataclass(frozen=True)
class Gateway:
    """What a request is answered with.

    Attributes:
        settings: Time limits and bounds, from the first router's configuration.
        deciders: The routers by name, and the first one as ``auto``.
        candidates: By name.
        keys: Who may ask; None: everybody on this machine.
        metrics: What is counted.
        upstreams: Connections to upstreams.
        budgets: What keys have spent; None without keys.
        lifecycle: Routers that are made and trained while it serves; None: it serves none.
    """

    settings: Settings
    deciders: dict[str, Decider]
    candidates: dict[str, Candidate]
    keys: Keys | None
    metrics: Metrics
    upstreams: Upstreams
    budgets: Budgeting | None = None
    lifecycle: Lifecycle | None = None

    @property
    def routers(self) -> list[Decider]:
        """The routers, the default first."""
        return [decider for name, decider in self.deciders.items() if name != AUTO]

    def sharers(self, key: Key | None) -> tuple[str, ...]:
        """Return for whom a request with a key takes places, as `Shares` has it."""
        return () if key is None or self.keys is None else self.keys.sharers(key)

    def with_keys(self, keys: Keys) -> Gateway:
        """Return the same with other keys."""
        return replace(self, keys=keys)

    def close(self) -> None:
        """End its routers' threads, once they have decided what waits."""
        for decider in self.routers:
            decider.close()
        if self.lifecycle is not None:
            self.lifecycle.close()


def open_gateway(
    registry: PluginRegistry,
    options: Sequence[RouterOption],
    keys_file: str | None,
    metrics: Metrics,
    upstreams: Upstreams,
    budgets: Budgeting | None,
    lifecycle: Lifecycle | None = None,
) -> Gateway:
    """Make a gateway from the files as they are now.

    Args:
        registry: Where to look for routers.
        options: The routers to serve, the default first.
        keys_file: Who may ask; None: everybody on this machine.
        metrics: What is counted.
        upstreams: Connections to upstreams.
        budgets: What keys have spent.
        lifecycle: Whose routers and LLMs are served too; a must where there are no other routers.

    Raises:
        LLMRouterError: One of the files cannot be used, or a router fails.
    """
    keys = Keys(keys_file) if keys_file is not None else None
    engines: dict[str, DecisionEngine] = {}
    for option in options:
        engine = open_engine(registry, option.name, option.config, option.load_model_path)
        if str(engine.name) in engines:
            raise ConfigError(option.config, f"the router {engine.name!r} is named twice")
        engines[str(engine.name)] = engine
    sources: list[
        tuple[Mapping[str, Any], Mapping[str, Mapping[str, Any]], str | os.PathLike[str] | None]
    ] = [
        (engine.router.cfg, engine.router.llm_data, option.config)
        for engine, option in zip(engines.values(), options, strict=True)
    ]
    if lifecycle is not None:
        sources.append((lifecycle.models.config, lifecycle.models.candidates, lifecycle.models.source))
    settings = read_settings(sources[0][0], sources[0][2])
    candidates = candidates_of(sources, settings, upstreams.turns)
    for name in (AUTO, *engines):
        if name in candidates:
            raise ConfigError(
                sources[0][2],
                f"a candidate is named {name!r}, as a router is; clients could not tell them apart",
            )
    deciders = {name: decider_for(engine, metrics, settings) for name, engine in engines.items()}
    return Gateway(
        settings,
        {AUTO: next(iter(deciders.values())), **deciders} if deciders else {},
        candidates,
        keys,
        metrics,
        upstreams,
        budgets,
        lifecycle,
    )
