"""The client: routers and judges, wherever they live."""

from __future__ import annotations

import os

from llmrouter_lifecycle.client.backends import Backend, Embedded
from llmrouter_lifecycle.client.judges import JudgesClient
from llmrouter_lifecycle.client.routers import RoutersClient
from llmrouter_lifecycle.errors import InvalidParameterError
from llmrouter_lifecycle.models import Config


class Client:
    """Routers and judges.

    Args:
        where: Where their state is kept: the path of an SQLite file (default: one in the user's data folder),
            or ``postgresql://…``; or the address of a server, ``http://…``.
        config: The YAML file that lists the LLMs (default: ``$LLMROUTER_CONFIG``), or what it would hold.
        api_key: The key for a server.
        worker: Whether to start a process that does training jobs when one is needed.

    Attributes:
        routers: Create, train and run routers.
        judges: Create judges and let them score.

    Raises:
        StoreError: The database cannot be opened.
        ConfigError, DataError: The configuration or the LLMs that it lists cannot be used.
    """

    def __init__(
        self,
        where: str | os.PathLike[str] | None = None,
        *,
        config: Config | None = None,
        api_key: str | None = None,
        worker: bool = True,
    ) -> None:
        self._backend = _backend(where, config, api_key, worker)
        self.routers = RoutersClient(self._backend)
        self.judges = JudgesClient(self._backend)

    @property
    def credits(self) -> float:
        """What may still be spent, in USD; a very large number where no budget is set."""
        found = self._backend.request("GET", f"/organizations/{self._backend.org}/credits")
        return float(found["credits"])

    def close(self) -> None:
        """Let go of connections."""
        self._backend.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _backend(
    where: str | os.PathLike[str] | None, config: Config | None, api_key: str | None, worker: bool
) -> Backend:
    if isinstance(where, str) and where.startswith(("http://", "https://")):
        if not api_key:
            raise InvalidParameterError(
                "api_key: a server asks for a key; the server's administrator makes one", param="api_key"
            )
        if config is not None:
            raise InvalidParameterError("config: the LLMs are those of the server", param="config")
        from llmrouter_lifecycle.client.remote import Remote

        return Remote(where, api_key)
    if api_key is not None:
        raise InvalidParameterError("api_key: only a server asks for a key", param="api_key")
    from llmrouter_lifecycle.home import Caller, Home, default_database
    from llmrouter_lifecycle.models import Models
    from llmrouter_lifecycle.store.database import Database

    # The configuration first: what is wrong with it leaves no database behind.
    models = Models(config)
    home = Home(Database(where if where is not None else default_database()), models)
    return Embedded(home, Caller(trusted=True), worker)
