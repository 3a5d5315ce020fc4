"""What one process needs to serve a lifecycle, whatever the configuration says."""

from __future__ import annotations

from collections.abc import Sequence

from llmrouter_lifecycle.store.database import Database
from llmrouter_server.lifecycle.budgets import LifecycleBudgets
from llmrouter_server.lifecycle.endpoints import lifecycle_routes
from llmrouter_server.lifecycle.mount import Lifecycle
from llmrouter_server.lifecycle.threads import Threads
from llmrouter_server.routes import Route


class LifecycleProcess:
    """The database, the threads and the budgets, which stay as they are when the configuration is read anew.

    Args:
        where: The database.

    Attributes:
        budgets: What keys spend.

    Raises:
        LLMRouterError: The database cannot be opened.
    """

    def __init__(self, where: str) -> None:
        self._database = Database(where)
        self._threads = Threads()
        self.budgets = LifecycleBudgets(self._database)

    @property
    def routes(self) -> Sequence[Route]:
        """The endpoints of the protocol."""
        return lifecycle_routes()

    def open(self, config: str) -> Lifecycle:
        """Return the lifecycle with the LLMs of a configuration.

        Raises:
            LLMRouterError: The configuration cannot be used.
        """
        lifecycle = Lifecycle(self._database, config, self._threads)
        lifecycle.warm_up()
        return lifecycle

    def close(self) -> None:
        """Write what was spent, and close the database."""
        self._threads.close()
        self.budgets.close()
        self._database.close()
