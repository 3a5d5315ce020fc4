"""A lifecycle as the gateway holds it: who asks, and which LLM a router chooses."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from time import perf_counter
from typing import TYPE_CHECKING

from llmrouter.decision import RoutingDecision
from llmrouter.errors import LLMRouterError
from llmrouter_lifecycle.api import Api
from llmrouter_lifecycle.errors import StoreError
from llmrouter_lifecycle.home import Caller, Home
from llmrouter_lifecycle.models import Models
from llmrouter_lifecycle.names import full_name
from llmrouter_lifecycle.operations import chat
from llmrouter_lifecycle.rest import error_reply
from llmrouter_lifecycle.routing.trained import import_routers
from llmrouter_lifecycle.store.database import Database
from llmrouter_server import tracing
from llmrouter_server.choosing import Choice
from llmrouter_server.errors import GatewayError, retry_after
from llmrouter_server.lifecycle.threads import Threads
from llmrouter_server.parsing import request_of
from llmrouter_server.requirements import able
from llmrouter_server.timing import TimeLimitError, within
from llmrouter_server.unavailable import RETRY_SECONDS

if TYPE_CHECKING:
    from llmrouter_server.asgi import Request
    from llmrouter_server.key_file import Key
    from llmrouter_server.parsing import Asked
    from llmrouter_server.requirements import Demand

logger = logging.getLogger(__name__)

_CHECK_SECONDS = 2.0


class Lifecycle:
    """A lifecycle of routers.

    Args:
        database: Where it lives.
        config: The file that lists the LLMs.
        threads: Where it works.

    Attributes:
        models: The LLMs that it knows.

    Raises:
        LLMRouterError: The configuration cannot be used.
    """

    def __init__(self, database: Database, config: str, threads: Threads) -> None:
        self.models = Models(config)
        self.home = Home(database, self.models)
        self.api = Api(self.home)
        self.threads = threads

    async def choose(self, request: Request, asked: Asked, demand: Demand) -> Choice:
        """Choose who answers a request that names a router of the lifecycle, or an LLM by its last part.

        Raises:
            GatewayError: There is no such model, no LLM can take the request, or the router failed.
        """
        candidates, now = request.gateway.candidates, asyncio.get_running_loop().time()
        started = perf_counter()
        with tracing.span("route", {"llmrouter.router": str(asked.model)}), told_as_the_protocol_does():
            chosen = await self.threads.run(
                "choosing",
                chat.choose,
                self.home,
                caller_of(request.key),
                request_of(asked),
                lambda names: able(candidates, names, demand, now),
                owners=request.gateway.sharers(request.key),
            )
        decision: RoutingDecision | None = chosen.decision
        if decision is None:
            return Choice(None, able(candidates, (chosen.llm,), demand, now))
        request.entry.router = decision.router
        request.entry.decide_ms = round((perf_counter() - started) * 1000, 3)
        # Those that could not take it have no place in its order.
        names = able(candidates, decision.scores or (decision.model_name,), demand, now)
        return Choice(decision, names)

    async def routers(self, key: Key | None) -> list[str]:
        """Return the names of the routers that a key may use."""
        org = caller_of(key).org
        found = await self.threads.run("operations", self.home.routers.list, org)
        return [full_name(org, "routers", router.id) for router in found]

    async def problem(self) -> str | None:
        """Return why the database cannot be used; None if it can."""
        try:
            with within(_CHECK_SECONDS):
                await asyncio.to_thread(self.home.database.check)
        except TimeLimitError:
            return f"does not answer within {_CHECK_SECONDS:g} s"
        except StoreError as error:
            return str(error)
        return None

    def warm_up(self) -> None:
        """Import, in a thread, what trained routers need, so that the first request does not wait for it."""
        self.threads.begin("choosing", _import_routers)

    def close(self) -> None:
        """Let go of what calls the LLMs; the database stays open."""
        if "client" in self.models.__dict__:
            self.models.client.close()


def caller_of(key: Key | None) -> Caller:
    """Return who asks with a key; without keys it is whoever is on this machine."""
    return Caller() if key is None else Caller(key.org, key.name, key.budget_usd)


@contextlib.contextmanager
def told_as_the_protocol_does() -> Iterator[None]:
    """Turn errors of the lifecycle into those of the gateway."""
    try:
        yield
    except LLMRouterError as error:
        status, told = error_reply(error)
        found = told["error"]
        if status >= 500:
            logger.error("%s", error)
        raise GatewayError(
            status,
            found["message"],
            param=found["param"],
            code=found["code"],
            type=found["type"],
            headers=retry_after(RETRY_SECONDS) if status == 503 else None,
        ) from error


def _import_routers() -> None:
    try:
        import_routers()
    except Exception:  # a library may raise anything while it is imported; requests that need it say so
        logger.exception("What trained routers need cannot be imported")
