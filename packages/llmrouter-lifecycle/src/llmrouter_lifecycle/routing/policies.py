"""The policies of router versions, kept between requests, for versions never change."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, Protocol

from llmrouter.decision import RoutingDecision
from llmrouter_lifecycle.errors import ResourceNotFoundError
from llmrouter_lifecycle.models import Models
from llmrouter_lifecycle.routing.static import StaticPolicy
from llmrouter_lifecycle.routing.trained import TrainedPolicy
from llmrouter_lifecycle.store.checkpoints import get_checkpoint
from llmrouter_lifecycle.store.database import Database
from llmrouter_lifecycle.store.versions import Version

# Versions whose policies are kept.
KEPT = 64


class Policy(Protocol):
    """Chooses an LLM.

    Attributes:
        qualities: The LLMs to choose from.
    """

    qualities: dict[str, float]

    def decide(self, query: dict[str, Any]) -> RoutingDecision:
        """Choose the LLM for a query, as `llmrouter.request.query_from` makes it of a request."""


class Policies:
    """Makes the policies of versions, each once; safe from several threads."""

    def __init__(self, database: Database, models: Models) -> None:
        self._database = database
        self._models = models
        self._kept: OrderedDict[tuple[str, str, int, float], Policy] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, version: Version) -> Policy:
        """Return the policy of a router's version.

        Raises:
            LLMRouterError: Its checkpoint is missing or damaged.
        """
        # With the time, for an id may have been deleted and made anew.
        key = (version.org, version.id, version.version, version.created)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = self._make(version)
                if len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]

    def _make(self, version: Version) -> Policy:
        trained = version.spec.get("router")
        if trained:
            checkpoint = get_checkpoint(self._database, version.org, trained["checkpoint"])
            policy: Policy = TrainedPolicy(version.spec, checkpoint, self._models)
        else:
            policy = StaticPolicy(version.spec, self._models)
        missing = [name for name in policy.qualities if name not in self._models.candidates]
        if missing or not policy.qualities:
            raise ResourceNotFoundError(
                f"the router {version.id!r} goes to {', '.join(missing) or 'LLMs'} that the configuration "
                "does not list any more; add them, or update the router"
            )
        return policy
