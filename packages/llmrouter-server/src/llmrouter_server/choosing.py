"""Which candidate answers a request, and which next, should it fail."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter

from llmrouter.constraints import Constraint, ConstraintError, ranked
from llmrouter.decision import RoutingDecision
from llmrouter.request import query_from
from llmrouter.routing import ALLOWED
from llmrouter_server import tracing
from llmrouter_server.asgi import Request
from llmrouter_server.errors import GatewayError, constraint_error
from llmrouter_server.gateway import AUTO
from llmrouter_server.parsing import Asked, request_of
from llmrouter_server.requirements import Demand, able


@dataclass(slots=True)
class Choice:
    """Who may answer a request.

    Attributes:
        decision: The router's; None where the client named the candidate.
        names: Candidates that can take the request.
    """

    decision: RoutingDecision | None
    names: list[str]

    def order(self) -> Iterator[str]:
        """Yield the candidates in the order in which they are to be tried."""
        if self.decision is None:
            yield from self.names
            return
        first = self.decision.model_name
        yield first
        # Worked out only when it comes to that.
        rest = [name for name in self.names if name != first]
        if rest:
            yield from ranked(self.decision, rest)


async def choose(request: Request, asked: Asked, demand: Demand) -> Choice:
    """Choose who answers a request: the candidate it names, or what a router decides.

    Raises:
        GatewayError: There is no such model, no candidate can take the request, or the router failed.
    """
    gateway = request.gateway
    name = asked.model or AUTO
    now = asyncio.get_running_loop().time()
    decider = gateway.deciders.get(name)
    if decider is None:
        lifecycle = gateway.lifecycle
        if name == AUTO and not gateway.deciders:
            raise GatewayError(
                400,
                "There is no default router; name an LLM or a router as 'model'.",
                param="model",
                code="model_missing",
            )
        if lifecycle is not None and (name not in gateway.candidates or asked.routing_constraint is not None):
            return await lifecycle.choose(request, asked, demand)
        if name not in gateway.candidates:
            raise GatewayError(
                404,
                f"The model {name!r} does not exist; GET /v1/models lists those there are.",
                param="model",
                code="model_not_found",
            )
        return Choice(None, able(gateway.candidates, (name,), demand, now))
    request.entry.router = decider.name
    try:
        Constraint.parse(asked.routing_constraint, decider.candidates)
    except ConstraintError as error:
        raise constraint_error(error) from None
    names = able(gateway.candidates, decider.candidates, demand, now)
    started = perf_counter()
    with tracing.span("route", {"llmrouter.router": decider.name}):
        query = query_from(request_of(asked), gateway.settings.mode)
        if len(names) != len(decider.candidates):
            query[ALLOWED] = names
        decision = await decider.decide(query)
    request.entry.decide_ms = round((perf_counter() - started) * 1000, 3)
    return Choice(decision, names)
