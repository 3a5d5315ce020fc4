"""A router under test, its trainer included."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from llmrouter.plugin_system import PluginRegistry, get_plugin_registry
from llmrouter.specs import RouterSpec
from llmrouter_testing import samples
from llmrouter_testing.report import fail, not_applicable
from llmrouter_testing.subjects.base import Declared, Subject, target_of

if TYPE_CHECKING:
    from llmrouter.models.base_trainer import BaseTrainer
    from llmrouter.models.router import Router
    from llmrouter.plugin_system import RouterEntry

Query = dict[str, Any]


class RouterSubject(Subject):
    """A router under test.

    Args:
        given: Its name, as users choose it; its class; or its folder, a `Path`.
        hparam: Hyperparameters.
        candidates: The LLMs to choose among.
        queries: Queries to route, in place of samples.
        seed: Value of ``hparam.seed``; None leaves that out.
        trainer: Class that trains it, in place of the one that is declared with it.
        routing_data: What it is trained on, in place of samples.
        checkpoint: What it loads, in place of what training would save.
        config: Further sections of the configuration.
        seconds_per_query: How long a query may take, routed alone; the median of several.

    Attributes:
        path_gained: What importing the class added to sys.path.
    """

    kind = "router"

    def __init__(
        self,
        given: str | Path | type[Router],
        *,
        hparam: Mapping[str, Any] | None = None,
        candidates: Mapping[str, Mapping[str, Any]] | None = None,
        queries: Sequence[Query | str] | None = None,
        seed: int | None = 7,
        trainer: type[BaseTrainer] | None = None,
        routing_data: Sequence[Mapping[str, Any]] | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        config: Mapping[str, Any] | None = None,
        seconds_per_query: float = 1.0,
    ) -> None:
        super().__init__(given.absolute() if isinstance(given, Path) else given)
        self.hparam = {**({} if seed is None else {"seed": seed}), **(hparam or {})}
        self.candidates = {name: dict(told) for name, told in (candidates or samples.CANDIDATES).items()}
        asked = samples.QUERIES if queries is None else queries
        self._queries = [{"query": query} if isinstance(query, str) else dict(query) for query in asked]
        self._trainer = trainer
        self._routing_data = routing_data
        self._checkpoint = checkpoint
        self._config = dict(config or {})
        self.seconds_per_query = seconds_per_query
        self.path_gained: list[str] = []

    @property
    def queries(self) -> list[Query]:
        """Queries to route, new dicts each time."""
        return [dict(query) for query in self._queries]

    @cached_property
    def _registry(self) -> PluginRegistry:
        return PluginRegistry([self.given.parent]) if isinstance(self.given, Path) else get_plugin_registry()

    @cached_property
    def entry(self) -> RouterEntry | None:
        """What the registry tells of it; None for a class that nobody declares."""
        if isinstance(self.given, Path):
            return self._registry.find(f"dir:{self.given.name}")
        if isinstance(self.given, str):
            return self._registry.find(self.given)
        target = target_of(self.given)
        return next((entry for entry in self._registry.routers if entry.target == target), None)

    @property
    def declared(self) -> Declared | None:
        """Where it is declared; None for a folder, or a class that no installed distribution declares."""
        entry = self.entry
        if entry is None or entry.plugin is None:
            return None
        reason = None if entry.state == "ready" else f"{entry.state}: {entry.reason}"
        spec = next(spec for spec in entry.plugin.specs(RouterSpec) if spec.name == entry.name)
        return Declared(entry.plugin, spec, reason)

    @cached_property
    def found(self) -> type[Router]:
        """The router's class."""
        if isinstance(self.given, type):
            return self.given
        entry = cast("RouterEntry", self.entry)  # found by its name, or an error said that there is none
        before = list(sys.path)
        found = self._registry.load_router(entry)
        self.path_gained = [place for place in sys.path if place not in before]
        return found

    @cached_property
    def trainer(self) -> type[BaseTrainer] | None:
        """The trainer's class, or None."""
        if self._trainer is not None or self.entry is None or not self.entry.trainable:
            return self._trainer
        return self._registry.load_trainer(self.entry)

    @cached_property
    def config(self) -> Path:
        """Path of the configuration, beside what it names."""
        rows = samples.routing_rows(self.candidates) if self._routing_data is None else self._routing_data
        (self.folder / "llm.json").write_text(json.dumps(self.candidates), "utf-8")
        for name, lines in (("routing", rows), ("queries", self._queries)):
            text = "".join(json.dumps(line) + "\n" for line in lines)
            (self.folder / f"{name}.jsonl").write_text(text, "utf-8")
        sections = {
            **self._config,
            "data_path": {
                "llm_data": "llm.json",
                **{f"routing_data_{split}": "routing.jsonl" for split in ("train", "test")},
                **{f"query_data_{split}": "queries.jsonl" for split in ("train", "test")},
                **self._config.get("data_path", {}),
            },
            # In a folder that is not there yet, as in a new project.
            "model_path": {
                "save_model_path": str(self.folder / "saved" / "model"),
                **self._config.get("model_path", {}),
            },
            "hparam": {**self.hparam, **self._config.get("hparam", {})},
        }
        path = self.folder / "config.yaml"
        path.write_text(json.dumps(sections), "utf-8")  # JSON is YAML
        return path

    def train(self) -> Router:
        """Make a router and train it; returns it."""
        if self.trainer is None:
            not_applicable("it has no trainer")
        router = self.make(trained=False)
        self.trainer(router, router.cfg, "cpu").train()
        return router

    @cached_property
    def checkpoint(self) -> Path | None:
        """What a router has to load before it routes: what its trainer saved; None: nothing."""
        if self._checkpoint is not None:
            return Path(self._checkpoint).absolute()
        if self.trainer is None:
            return None
        saved = self.folder / "trained"
        trained = Path(self.train().cfg["model_path"]["save_model_path"])
        if not trained.exists():
            fail("training saved nothing where model_path.save_model_path says")
        trained.replace(saved)
        return saved

    @property
    def options(self) -> tuple[type[Router], str, str | None]:
        """Arguments of `make_router`, which another process can be given."""
        return self.found, str(self.config), str(self.checkpoint) if self.checkpoint else None

    def make(self, trained: bool = True) -> Router:
        """Make a router as the command line does."""
        found, config, checkpoint = self.options if trained else (self.found, str(self.config), None)
        return make_router(found, config, checkpoint)

    def route(self, queries: Sequence[Query] | None = None, router: Router | None = None) -> list[Any]:
        """Route queries one by one, by default the samples with a new router."""
        router = router or self.make()
        return [router.route_single(query) for query in (self.queries if queries is None else queries)]


def make_router(router: type[Router], config: str, checkpoint: str | None) -> Router:
    """Make a router with its configuration, and restore its state."""
    made = router(yaml_path=config)
    if checkpoint is not None:
        made.load_router(checkpoint)
    return made
