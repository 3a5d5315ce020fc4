"""Where a client's requests go: into this process, or to a server."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from typing import Any, Protocol

from llmrouter_lifecycle.api import Api
from llmrouter_lifecycle.home import Caller, Home

logger = logging.getLogger(__name__)

# Seconds between looks whether a worker is there.
CHECK = 2.0


class Backend(Protocol):
    """Answers requests of the protocol.

    Attributes:
        org: The organisation.
    """

    org: str

    def request(
        self, method: str, path: str, query: Mapping[str, Any] | None = None, body: Any = None
    ) -> Any:
        """Return the JSON that answers a request, as `Api.call` does."""

    def close(self) -> None:
        """Let go of connections."""


class Embedded:
    """A lifecycle in this process, on an SQLite file or a PostgreSQL database.

    Args:
        home: Where it lives.
        caller: Whoever asks.
        worker: Whether to start a worker when a job needs one.
    """

    def __init__(self, home: Home, caller: Caller, worker: bool = True) -> None:
        self.home = home
        self.org = caller.org
        self._caller = caller
        self._api = Api(home)
        self._worker = worker
        self._checked = 0.0
        self._lock = threading.Lock()
        self._process: Any = None

    def request(
        self, method: str, path: str, query: Mapping[str, Any] | None = None, body: Any = None
    ) -> Any:
        """Return the JSON that answers a request."""
        answer = self._api.call(self._caller, method, path, query, body)
        if isinstance(answer, dict) and answer.get("status") == "RUNNING":
            self._ensure_worker(new=method == "POST")
        return answer

    def close(self) -> None:
        """Let go of connections; a worker goes on with what it does."""
        self.home.close()

    def _ensure_worker(self, new: bool) -> None:
        """Start a worker where none is, so that jobs of killed workers go on too."""
        from llmrouter_lifecycle.worker import has_worker, start_worker

        with self._lock:
            if not self._worker or (not new and time.monotonic() - self._checked < CHECK):
                return
            self._checked = time.monotonic()
            if self._process is not None and self._process.poll() is None:
                return
            if has_worker(self.home.database):
                return
            models = self.home.models
            self._process = start_worker(
                self.home.database, models.source if models.source is not None else models.config or None
            )
        logger.warning(
            "started a worker, process %d, which does the training jobs and ends by itself", self._process.pid
        )
