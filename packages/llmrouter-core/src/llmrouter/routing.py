"""The way of a query: a router is opened, a query is put to it, a decision comes out."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from time import perf_counter
from typing import Any

import msgspec

from llmrouter.constraints import KEY, Constraint, ConstraintError, ranked
from llmrouter.data.queries import QueryRow
from llmrouter.decision import RoutingDecision, decision_from_result
from llmrouter.errors import CheckpointError, DataError, RoutingError, describe
from llmrouter.models.router import Router
from llmrouter.plugin_system import PluginRegistry, RouterEntry
from llmrouter.plugin_system.installed import Observer
from llmrouter.plugin_system.isolation import failure, is_interrupt, own_copy, plugin_code, same_folder
from llmrouter.request import CONVERSATION

logger = logging.getLogger(__name__)


# A query's key that names the LLMs it may go to; routers that know it choose among them themselves.
ALLOWED = "allowed_llms"

Decided = RoutingDecision | RoutingError


class DecisionEngine:
    """Puts queries to one router and turns its answers into decisions.

    Args:
        router: The router.
        name: By which the router is known.
        version: Of the distribution that it comes from.
        observers: Called after every decision.

    Raises:
        LLMRouterError: The router has no candidates.
    """

    def __init__(
        self,
        router: Router,
        name: str | None = None,
        version: str | None = None,
        observers: Iterable[Observer] = (),
    ) -> None:
        self.router = router
        self.name = name
        self.version = version
        self._observers = list(observers)
        self._faulty: set[str] = set()
        if not router.llm_data:
            raise DataError(
                None, f"router {name!r} has no candidate LLMs; name them under data_path.llm_data"
            )

    @property
    def observed(self) -> bool:
        """Whether plugins observe the decisions, each of which then runs their code too."""
        return bool(self._observers)

    def decide(self, query: dict[str, Any]) -> RoutingDecision:
        """Route one query.

        Args:
            query: With at least the key ``query``. Where it has ``allowed_llms``, one of these candidates is
                chosen: a router that names another one is put right, as `ranked` says.

        Raises:
            RoutingError: The router failed, or named no candidate.
        """
        started = perf_counter()
        try:
            result = self.router.route_single(own_copy(query))  # routers write into it
        except BaseException as error:  # a plugin may raise anything, SystemExit included
            raise failure("the router", error, RoutingError) from error
        return self._decision(query, result, (perf_counter() - started) * 1000)

    def decide_batch(self, queries: list[dict[str, Any]]) -> list[Decided]:
        """Route several queries; an error stands in the place of a decision that could not be made."""
        if not queries:
            return []
        started = perf_counter()
        try:
            with same_folder(f"route_batch of {self.name}"):
                told: Any = self.router.route_batch([own_copy(query) for query in queries])
            # A plain list, for a class of the router's own could raise at every step.
            results = [*told] if isinstance(told, list | tuple) else told
        except BaseException as error:  # as above
            if is_interrupt(error):
                raise
            logger.warning("route_batch of %s failed, routing one by one: %s", self.name, describe(error))
            return [self._attempt(self.decide, query) for query in queries]
        if type(results) is not list or len(results) != len(queries):
            found = f"{len(results)} results" if type(results) is list else type(results).__name__
            wrong = RoutingError(f"route_batch returned {found} for {len(queries)} queries")
            return [wrong] * len(queries)
        latency_ms = (perf_counter() - started) * 1000 / len(queries)
        return [
            self._attempt(self._decision, query, result, latency_ms)
            for query, result in zip(queries, results, strict=True)
        ]

    def decide_rows(
        self, rows: Iterable[QueryRow], batch_size: int = 1024
    ) -> Iterator[list[tuple[QueryRow, Decided]]]:
        """Route a stream of rows batch by batch, in order; a malformed row gets an error for its answer."""
        rows = iter(rows)
        while batch := list(islice(rows, batch_size)):
            answers = iter(self.decide_batch([row.query for row in batch if row.query is not None]))
            yield [(row, RoutingError(row.problem) if row.query is None else next(answers)) for row in batch]

    def _attempt(self, decide: Any, *arguments: Any) -> Decided:
        try:
            decision: RoutingDecision = decide(*arguments)
        except RoutingError as error:
            return error
        return decision

    def _decision(self, query: dict[str, Any], result: Any, latency_ms: float) -> RoutingDecision:
        try:
            decision = decision_from_result(
                result,
                query,
                self.router.llm_data,
                router=self.name,
                router_version=self.version,
                latency_ms=latency_ms,
            )
        except RoutingError:
            raise
        except BaseException as error:  # what a router returns may be of classes of its own
            raise failure("reading the router's result", error, RoutingError) from error
        if query.get(KEY) is not None and decision.constraint is None:
            decision = self._unconstrained(query[KEY], decision)
        if (allowed := query.get(ALLOWED)) is not None:
            decision = self._among(allowed, decision)
        if self._observers:
            self.notify(query, decision)
        return decision

    def _among(self, allowed: Any, decision: RoutingDecision) -> RoutingDecision:
        """Return the decision, or, where it is for an LLM that is not allowed, one for the next choice."""
        llms = self.router.llm_data
        is_list = isinstance(allowed, list | tuple | set | frozenset)
        known = [name for name in llms if name in allowed] if is_list else []
        if not known:
            raise RoutingError(f"{ALLOWED!r} names no candidate; expected a list, of {', '.join(llms)}")
        if decision.model_name in known:
            return decision
        return msgspec.structs.replace(
            decision,
            model_name=ranked(decision, known)[0],
            fallback=True,
            fallback_reason=f"{decision.model_name} may not be chosen for this query",
        )

    def _unconstrained(self, told: Any, decision: RoutingDecision) -> RoutingDecision:
        """Return the decision of a router that knows no constraints, which says that it kept to none."""
        try:
            Constraint.parse(told, self.router.llm_data)
        except ConstraintError as error:
            raise RoutingError(str(error)) from error
        return msgspec.structs.replace(decision, extra={**(decision.extra or {}), "constraint_met": None})

    def notify(self, query: dict[str, Any], decision: RoutingDecision) -> None:
        """Tell the observers of a decision; of a conversation they see the text that was routed by."""
        query = {key: value for key, value in query.items() if key not in CONVERSATION}
        for observer in self._observers:
            try:
                with same_folder(observer.plugin):
                    observer({"query": own_copy(query), "decision": _copied(decision)})
            except BaseException as error:  # an observer changes nothing, whatever it raises
                if is_interrupt(error):
                    raise
                if observer.plugin not in self._faulty:
                    self._faulty.add(observer.plugin)
                    logger.warning("llmrouter_after_route of %s failed: %s", observer.plugin, describe(error))


def _copied(decision: RoutingDecision) -> RoutingDecision:
    return msgspec.structs.replace(
        decision, **{name: own_copy(getattr(decision, name)) for name in ("scores", "extra", "constraint")}
    )


def create_router(registry: PluginRegistry, entry: RouterEntry, config: str | os.PathLike[str]) -> Router:
    """Make the router that an entry names, with its configuration.

    Raises:
        ConfigError: The configuration cannot be used.
        PluginError: The router's code fails.
    """
    router_class = registry.load_router(entry)
    with plugin_code(f"Router {entry.name!r} from {entry.label}"):
        return router_class(yaml_path=str(config))


def open_engine(
    registry: PluginRegistry,
    name: str,
    config: str | os.PathLike[str],
    load_model_path: str | os.PathLike[str] | None = None,
) -> DecisionEngine:
    """Find a router by name, make it, restore what it learned, and make it ready to decide.

    Args:
        registry: Where to look for the router.
        name: As `PluginRegistry.find` takes it.
        config: Path of its YAML configuration.
        load_model_path: What to load; by default the configuration's ``model_path.load_model_path``.

    Raises:
        LLMRouterError: Any of that fails.
    """
    entry = registry.find(name)
    router = create_router(registry, entry, config)
    load_state(router, entry, load_model_path)
    return DecisionEngine(router, entry.name, entry.version, registry.observers)


def load_state(router: Router, entry: RouterEntry, path: str | os.PathLike[str] | None = None) -> None:
    """Restore what a router learned, from `path` or from where its configuration says.

    A router that keeps no state ignores what the configuration says, with a warning.

    Raises:
        CheckpointError: The state cannot be restored; the router must not be used.
    """
    path, asked = (
        (path, True) if path is not None else (router.cfg["model_path"].get("load_model_path"), False)
    )
    if path is None:
        return
    if not asked and type(router).load_router is Router.load_router:
        logger.warning("%s has no state to load; ignoring model_path.load_model_path", entry.name)
        return
    if not isinstance(path, str | os.PathLike):
        raise CheckpointError(None, f"expected a path, found {path!r}", key="model_path.load_model_path")
    with plugin_code(f"load_router of {entry.name!r}"):
        router.load_router(str(path))
