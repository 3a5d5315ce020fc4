"""Where a rule sends a query: to an LLM, or to another router."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from llmrouter.errors import LLMRouterError
from llmrouter.models.hyperparameters import shared_with
from llmrouter.routing import ALLOWED, DecisionEngine, open_engine
from llmrouter.spelling import unknown
from llmrouter_rules.plugin import NAME

KEYS = ("router", "config", "load_model_path")
HYPERPARAMETERS = ("rules", "otherwise", "regex_timeout")


class TargetError(LLMRouterError):
    """A target cannot be understood."""


class ToLLM:
    """One LLM, whatever the query."""

    def __init__(self, name: str) -> None:
        self.name = name

    def takes(self, query: Mapping[str, Any]) -> bool:
        """Whether the query may go there."""
        allowed = query.get(ALLOWED)
        return allowed is None or self.name in allowed

    def decide(self, query: Mapping[str, Any]) -> dict[str, Any]:
        """Choose the LLM for a query."""
        return {"model_name": self.name}


class ToRouter:
    """Another router, made when a query first goes there.

    Args:
        name: As `PluginRegistry.find` takes it.
        config: The configuration it is made with.
        shared: Hyperparameters in that configuration that are the asking router's.
        load_model_path: What it learned; None: as its configuration says.
        llms: The LLMs it may choose.
    """

    def __init__(
        self,
        name: str,
        config: str | os.PathLike[str],
        load_model_path: str | None,
        llms: Collection[str],
        shared: Collection[str] = (),
    ) -> None:
        self.name = name
        self._shared = frozenset(shared)
        self._config = config
        self._load_model_path = load_model_path
        self._llms = list(llms)
        self._engine: DecisionEngine | None = None

    def takes(self, query: Mapping[str, Any]) -> bool:
        """Whether the query may go there."""
        return True

    def decide(self, query: Mapping[str, Any]) -> dict[str, Any]:
        """Let the router choose the LLM for a query.

        Raises:
            LLMRouterError: The router cannot be made, fails, or has no LLM in common with the candidates.
        """
        engine = self.open()
        allowed = query.get(ALLOWED)
        llms = [name for name in self._llms if allowed is None or name in allowed]
        decision = engine.decide({**query, ALLOWED: llms})
        told = {
            key: value
            for key in ("scores", "confidence", "expected_cost", "constraint", "fallback", "fallback_reason")
            if (value := getattr(decision, key)) is not None
        }
        return {**(decision.extra or {}), **told, "model_name": decision.model_name, "asked": self.name}

    def open(self) -> DecisionEngine:
        """Make the router, once."""
        if self._engine is None:
            from llmrouter.plugin_system import get_plugin_registry

            with shared_with(self._shared):
                self._engine = open_engine(
                    get_plugin_registry(), self.name, self._config, self._load_model_path
                )
        return self._engine


Target = ToLLM | ToRouter


def read_target(told: Any, source: Any, llms: Collection[str]) -> Target:
    """Return where ``then`` or ``otherwise`` leads.

    Args:
        told: Name of a candidate, or ``{"router", "config", "load_model_path"}``.
        source: The configuration it stands in: paths are looked for beside it.
        llms: Names of the candidates.

    Raises:
        TargetError: It names neither.
    """
    if isinstance(told, str):
        if told not in llms:
            raise TargetError(f"no candidate is named {told!r}; there are {', '.join(llms)}")
        return ToLLM(told)
    if not isinstance(told, dict) or not isinstance(told.get("router"), str):
        raise TargetError(f"expected a candidate, or {{router: NAME, config: FILE}}, found {told!r}")
    if odd := [key for key in told if key not in KEYS]:
        raise TargetError(f"{odd[0]!r} {unknown(odd[0], KEYS)}")
    if wrong := [key for key in KEYS if told.get(key) is not None and not isinstance(told[key], str)]:
        raise TargetError(f"{wrong[0]}: expected text, found {told[wrong[0]]!r}")
    if told.get("config") is None:
        if told["router"].rpartition(":")[2] == NAME:
            raise TargetError(f"{NAME} cannot ask itself with the same configuration; name another config")
        if not isinstance(source, str | os.PathLike):
            raise TargetError("config: is missing; name the configuration of that router")
        return ToRouter(told["router"], source, told.get("load_model_path"), llms, HYPERPARAMETERS)
    path = Path(told["config"]).expanduser()
    if isinstance(source, str | os.PathLike) and not path.is_absolute():
        path = Path(source).parent / path
    if not path.is_file():
        raise TargetError(f"config: there is no {path}")
    return ToRouter(told["router"], path, told.get("load_model_path"), llms)
