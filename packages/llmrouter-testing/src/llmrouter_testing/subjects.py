"""What is under test: a plugin's class, where it is declared, and how to make one."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import weakref
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from llmrouter.plugin_system import PluginRegistry, get_plugin_registry
from llmrouter.specs import EncoderSpec, JudgeSpec, RouterSpec
from llmrouter_testing import samples
from llmrouter_testing.report import fail, not_applicable

if TYPE_CHECKING:
    from llmrouter.encoders.base import Encoder
    from llmrouter.models.base_trainer import BaseTrainer
    from llmrouter.models.judge import Judge
    from llmrouter.models.router import Router
    from llmrouter.plugin_system import RouterEntry
    from llmrouter.plugin_system.installed import Plugin

Query = dict[str, Any]


class Declared(NamedTuple):
    """Where an installed distribution declares a plugin.

    Attributes:
        plugin: The distribution's plugin module, and what became of it.
        spec: The declaration.
        reason: Why it cannot be used, or None.
    """

    plugin: Plugin
    spec: RouterSpec | EncoderSpec | JudgeSpec
    reason: str | None


class Subject(ABC):
    """A plugin under test; it is looked for when it is first needed.

    Attributes:
        given: A class, or the name of what is installed.
        folder: A temporary folder, gone with the subject.
        kind: ``router``, ``encoder`` or ``judge``.
    """

    kind = ""

    def __init__(self, given: Any) -> None:
        self.given = given

    @cached_property
    def folder(self) -> Path:
        """A temporary folder, gone with the subject."""
        folder = tempfile.mkdtemp(prefix="llmrouter-testing-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return Path(folder)

    @property
    def name(self) -> str:
        """What to call it."""
        return self.given.__name__ if isinstance(self.given, type) else str(self.given)

    @property
    @abstractmethod
    def found(self) -> type:
        """The class."""

    @property
    @abstractmethod
    def declared(self) -> Declared | None:
        """Where it is declared; None for a class that no installed distribution declares."""

    @property
    def declaration(self) -> Declared:
        """Where it is declared; a check that needs it does not apply where it is not."""
        if self.declared is None:
            not_applicable("no installed distribution declares it; name it as users do to have that checked")
        return self.declared


def target_of(found: type) -> str:
    """Return how a plugin module would name a class."""
    return f"{found.__module__}:{found.__qualname__}"


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


class _NamedSubject(Subject):
    """An encoder or judge: its name, an argument after a colon included, or its class."""

    @cached_property
    def _declaration(self) -> Any:
        declarations = getattr(get_plugin_registry(), f"{self.kind}s")
        if isinstance(self.given, str):
            name = self.given.partition(":")[0]
            if name not in declarations:
                fail(f"no {self.kind} is named {name!r}; there are {', '.join(declarations) or 'none'}")
            return declarations[name]
        target = target_of(self.given)
        return next((one for one in declarations.values() if one.spec.target == target), None)

    @property
    def spec(self) -> Any:
        """Its `EncoderSpec` or `JudgeSpec`; None for a class that nobody declares."""
        return self._declaration.spec if self._declaration else None

    @property
    def declared(self) -> Declared | None:
        """Where it is declared."""
        found = self._declaration
        return Declared(found.plugin, found.spec, found.reason) if found else None

    @cached_property
    def found(self) -> type:
        """The class."""
        if isinstance(self.given, type):
            return self.given
        found: type = get_plugin_registry().load(self._declaration)
        return found


class EncoderSubject(_NamedSubject):
    """An encoder under test.

    Args:
        given: Its name, which may have an argument after a colon, or its class.
        argument: The argument, where a class is given.
        texts: What it encodes, in place of samples.
        seconds_per_text: How long a text may take, encoded alone; the median of several.
    """

    kind = "encoder"

    def __init__(
        self,
        given: str | type[Encoder],
        *,
        argument: str | None = None,
        texts: Sequence[str] | None = None,
        seconds_per_text: float = 1.0,
    ) -> None:
        super().__init__(given)
        self.argument = (given.partition(":")[2] or None) if isinstance(given, str) else argument
        self.texts = list(samples.QUERIES if texts is None else texts)
        self.seconds_per_text = seconds_per_text

    def make(self, fitted: bool = True) -> Encoder:
        """Make an encoder, and let it learn from the texts."""
        return make_encoder(self.found, self.argument, self.texts if fitted else None)

    @property
    def options(self) -> tuple[type, str | None, list[str]]:
        """Arguments of `make_encoder`, which another process can be given."""
        return self.found, self.argument, self.texts


def make_encoder(encoder: type, argument: str | None, texts: list[str] | None) -> Encoder:
    """Make an encoder, and let it learn from texts."""
    made: Encoder = encoder(argument)
    if texts is not None:
        made.fit(texts)
    return made


class JudgeSubject(_NamedSubject):
    """A judge under test.

    Args:
        given: Its name or its class.
        spec: What a user tells of it beside ``model_type``.
        exchanges: Requests and the messages that answer them, to be judged, in place of samples.
        seconds_per_answer: How long an answer may take; the median of several.
    """

    kind = "judge"

    def __init__(
        self,
        given: str | type[Judge],
        *,
        spec: Mapping[str, Any] | None = None,
        exchanges: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]] | None = None,
        seconds_per_answer: float = 1.0,
    ) -> None:
        super().__init__(given)
        self._told = dict(spec or {})
        self.exchanges = list(exchanges or (exchange(query, query[::-1]) for query in samples.QUERIES))
        self.seconds_per_answer = seconds_per_answer

    def make(self) -> Judge:
        """Make a judge as the lifecycle does."""
        judge: Judge = self.found({"model_type": self.spec.name if self.spec else self.name, **self._told})
        return judge


def exchange(question: str, answer: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a request with its reference, and the message that answers it."""
    request = {"messages": [{"role": "user", "content": question}], "reference": question}
    return request, {"role": "assistant", "content": answer}
