"""Where a lifecycle lives: its database, the LLMs it knows, and whoever asks."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llmrouter_lifecycle.models import Models
from llmrouter_lifecycle.routing.policies import Policies
from llmrouter_lifecycle.store.accounts import Account
from llmrouter_lifecycle.store.calls import Calls
from llmrouter_lifecycle.store.database import Database
from llmrouter_lifecycle.store.jobs import Jobs
from llmrouter_lifecycle.store.versions import judge_versions, router_versions

LOCAL_ORG = "local"


@dataclass(frozen=True)
class Caller:
    """Whoever asks.

    Attributes:
        org: The organisation, which sees its own resources alone.
        key: The name of the key, whose credits pay.
        budget_usd: What the key may spend in all, in USD; None: no limit.
        trusted: Whether it may name Python functions to be run, as in a process of its own.
    """

    org: str = LOCAL_ORG
    key: str = LOCAL_ORG
    budget_usd: float | None = None
    trusted: bool = False

    @property
    def account(self) -> Account:
        """Whose credits pay."""
        return Account(self.org, self.key, self.budget_usd)


class Home:
    """What all operations work on; safe from several threads."""

    def __init__(self, database: Database, models: Models) -> None:
        self.database = database
        self.models = models
        self.routers = router_versions(database)
        self.judges = judge_versions(database)
        self.jobs = Jobs(database)
        self.calls = Calls(database)
        self.policies = Policies(database, models)

    @property
    def allowed_judges(self) -> frozenset[str]:
        """Python functions that anybody may name as judges, as the configuration says."""
        section: Any = self.models.config.get("lifecycle")
        allowed = section.get("judges") if isinstance(section, Mapping) else None
        return frozenset(map(str, allowed or ()))

    def close(self) -> None:
        """Close all connections."""
        if "client" in self.models.__dict__:
            self.models.client.close()
        self.database.close()


def default_database() -> str:
    """Return the path of the SQLite file in the user's data folder."""
    import platformdirs

    return os.path.join(platformdirs.user_data_dir("llmrouter", appauthor=False), "lifecycle.sqlite")
