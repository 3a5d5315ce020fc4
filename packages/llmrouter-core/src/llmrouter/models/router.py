"""The contract of a router; free of torch."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from llmrouter.config import config_error, read_config
from llmrouter.data.candidates import read_candidates
from llmrouter.data.embeddings import read_embeddings
from llmrouter.data.routing_data import SCALE, RoutingData, read_routing_data
from llmrouter.data.rows import read_rows
from llmrouter.errors import CheckpointError

if TYPE_CHECKING:
    from llmrouter.completion.client import CompletionClient
    from llmrouter.completion.result import Completion

T = TypeVar("T")


class Router(ABC):
    """Names, for each query, the LLM that should answer it.

    A subclass implements `route_single`. Data named under ``data_path`` are read when first used; each of
    these attributes may be assigned instead, even before ``super().__init__``.

    Args:
        yaml_path: Path of the YAML configuration, or a mapping that was read already; None: empty.
        resources: Whatever the caller wants to hand to the router.

    Attributes:
        cfg: The configuration; the sections ``data_path``, ``model_path``, ``hparam`` and ``metric`` are
            always there.
        metric_weights: The values of ``metric.weights``, in order.
        resources: As given.
        performance_scale: The lowest and the highest performance in the files of routing data.
        quick: Set it to True in a class that decides in microseconds, from memory, without input, output or
            locks: a server may then call it between other requests instead of in a thread.

    Raises:
        ConfigError: The configuration cannot be read.
    """

    quick: ClassVar[bool] = False
    performance_scale: tuple[float, float] = SCALE

    def __init__(
        self, yaml_path: str | os.PathLike[str] | Mapping[str, Any] | None = None, resources: Any = None
    ) -> None:
        # First, for where torch's Module is among the bases it must be ready before anything is assigned.
        super().__init__()
        self._source = yaml_path if yaml_path is not None else {}
        self.cfg: dict[str, Any] = read_config(self._source)
        self.metric_weights: list[Any] = list((self.cfg["metric"].get("weights") or {}).values())
        self.resources = resources

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in cls.__mro__[: cls.__mro__.index(Router)]:
            # By name, for this module does without torch.
            if (base.__module__, base.__qualname__) == ("torch.nn.modules.module", "Module"):
                raise TypeError(
                    f"class {cls.__name__}: name the router before torch's Module among the bases, as in "
                    f"class {cls.__name__}(Router, nn.Module), or inherit from MetaRouter; "
                    "otherwise the router is never initialised"
                )

    @abstractmethod
    def route_single(self, query_input: dict[str, Any]) -> dict[str, Any]:
        """Choose the LLM for one query.

        Args:
            query_input: A query with at least the key ``query``. Where it has ``allowed_llms``, a list of
                names, only these may answer; where a router chooses another one, its next choice by
                ``scores`` is taken.

        Returns:
            A dict with at least ``model_name`` or ``predicted_llm``, one of the names in ``llm_data``. It may
            tell ``scores``, ``confidence``, ``expected_cost`` (USD) and whatever else.
        """

    def route_batch(self, batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Choose the LLM for each of several queries; by default one after the other."""
        return [self.route_single(query_input) for query_input in batch]

    def complete(
        self, model_name: str, messages: str | Sequence[Mapping[str, Any]], **parameters: Any
    ) -> Completion:
        """Let a candidate answer: what a multi-round router calls in its ``answer_query``.

        Usage and cost of these calls are added up for the query. A router that calls from threads of its own
        must run them in a copy of its context (`contextvars.copy_context`), or theirs are left out.

        Args:
            model_name: The candidate.
            messages: A conversation as the chat protocol has it, or the text of one message of the user.
            parameters: Further fields of the request, such as ``temperature``.

        Raises:
            LLMRouterError: It is not known how to call the candidate, or it did not answer.
        """
        return self.completions.complete(model_name, messages, **parameters)

    def save_router(self, path: str | os.PathLike[str]) -> None:
        """Save what training learned."""
        raise CheckpointError(
            path, f"{type(self).__name__} has no state to save; it does not define save_router"
        )

    def load_router(self, path: str | os.PathLike[str]) -> None:
        """Restore what `save_router` saved."""
        raise CheckpointError(
            path, f"{type(self).__name__} has no state to load; it does not define load_router"
        )

    @cached_property
    def llm_data(self) -> dict[str, dict[str, Any]]:
        """The candidate LLMs: name to what is known of each."""
        found = self._read("llm_data", read_candidates)
        if found is None:
            raise config_error(
                self._source,
                ["data_path", "llm_data"],
                "is missing; name the JSON file of the candidate LLMs",
            )
        return found

    @cached_property
    def llm_embedding_data(self) -> Any:
        """Embeddings of the candidate LLMs, or None."""
        return self._read("llm_embedding_data", read_embeddings)

    @cached_property
    def query_data_train(self) -> list[dict[str, Any]] | None:
        """Queries to train on, or None."""
        return self._read("query_data_train", read_rows)

    @cached_property
    def query_data_test(self) -> list[dict[str, Any]] | None:
        """Queries to test on, or None."""
        return self._read("query_data_test", read_rows)

    @cached_property
    def query_embedding_data(self) -> Any:
        """Embeddings of queries, or None."""
        return self._read("query_embedding_data", read_embeddings)

    @cached_property
    def routing_data_train(self) -> RoutingData | None:
        """Routing data to train on, or None."""
        return self._read("routing_data_train", self._read_routing_data)

    @cached_property
    def routing_data_test(self) -> RoutingData | None:
        """Routing data to test on, or None."""
        return self._read("routing_data_test", self._read_routing_data)

    @cached_property
    def completions(self) -> CompletionClient:
        """What calls the candidates."""
        from llmrouter.completion.catalogue import Catalogue
        from llmrouter.completion.client import CompletionClient

        return CompletionClient(Catalogue(self.llm_data, self.cfg, self._source))

    def _read_routing_data(self, path: Path) -> RoutingData:
        return read_routing_data(path, self.performance_scale)

    def _read(self, key: str, read: Callable[[Path], T]) -> T | None:
        path = self._data_path(key)
        if path is None:
            return None
        try:
            return read(path)
        except AttributeError as error:
            # Python would report it as a missing attribute of the router and hide what happened.
            raise RuntimeError(f"reading data_path.{key} from {path} failed: {error}") from error

    def _data_path(self, key: str) -> Path | None:
        """Find a data file: beside the YAML file, else in the current folder."""
        given = self.cfg["data_path"].get(key)
        if given is None:
            return None
        if not isinstance(given, str | os.PathLike):
            raise config_error(
                self._source, ["data_path", key], f"expected the path of a file, found {given!r}"
            )
        path = Path(os.path.expanduser(given))
        places = [path]
        if not path.is_absolute() and isinstance(self._source, str | os.PathLike):
            places.insert(0, Path(self._source).parent / path)
        for place in places:
            if place.exists():
                return place
        looked = " nor ".join(str(place.absolute()) for place in dict.fromkeys(places))
        neither = "neither " if len(set(places)) > 1 else "no "
        raise config_error(self._source, ["data_path", key], f"there is {neither}{looked}")
