"""The table of routes, and the endpoints beside those that answer: models, decisions, metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from llmrouter import decision as decisions
from llmrouter.completion.prices import Price
from llmrouter_server import metrics, openapi
from llmrouter_server.answering import chat_completions, completions
from llmrouter_server.asgi import Request, Response
from llmrouter_server.choosing import choose
from llmrouter_server.errors import GatewayError
from llmrouter_server.gateway import AUTO
from llmrouter_server.health import Health
from llmrouter_server.metrics import GATHER_SECONDS
from llmrouter_server.parsing import encode, parse_route
from llmrouter_server.requirements import Demand
from llmrouter_server.routes import Route, Routes


def gateway_routes(others: Iterable[Route] = ()) -> Routes:
    """Return the routes of the gateway, and others beside them."""
    health = Health()
    return Routes(
        [
            Route("POST", "/v1/chat/completions", chat_completions, scope="chat", counts=True),
            Route("POST", "/v1/completions", completions, scope="chat", counts=True),
            Route("POST", "/v1/route", route, scope="chat", counts=True),
            Route("GET", "/v1/models", models, scope="read"),
            Route("GET", "/v1/models/{id...}", model, scope="read"),
            Route("GET", "/metrics", prometheus, scope="read"),
            Route("GET", "/healthz", healthz),
            Route("GET", "/readyz", health.readyz),
            Route("GET", "/openapi.json", description),
            *others,
        ]
    )


async def route(request: Request) -> Response:
    """Return the routing decision without calling an LLM."""
    body = await request.json_body()
    asked = parse_route(body)
    priced = request.key is not None and request.key.budget_usd is not None
    choice = await choose(request, asked, Demand(asked, len(body), priced))
    if choice.decision is None:
        raise GatewayError(
            400,
            f"{asked.model!r} is a candidate, so there is nothing to decide; name a router, or {AUTO!r}.",
            param="model",
            code="not_a_router",
        )
    request.entry.model = choice.decision.model_name
    return Response(decisions.encode(choice.decision))


async def models(request: Request) -> Response:
    """List what clients may name as ``model``."""
    return Response(encode({"object": "list", "data": list((await _models(request)).values())}))


async def model(request: Request) -> Response:
    """Tell of one."""
    name = request.arguments["id"]
    found = (await _models(request)).get(name)
    if found is None:
        raise GatewayError(404, f"The model {name!r} does not exist.", param="model", code="model_not_found")
    return Response(encode(found))


async def healthz(request: Request) -> Response:
    """Say that the process answers."""
    return Response(b'{"status":"ok"}')


async def prometheus(request: Request) -> Response:
    """Tell the metrics, of requests that finished just now too."""
    await asyncio.sleep(2 * GATHER_SECONDS)
    return Response(await request.gateway.metrics.text(), content_type=metrics.CONTENT_TYPE)


async def description(request: Request) -> Response:
    """Describe the protocol."""
    gateway = request.gateway
    return Response(openapi.document(gateway.keys is not None, gateway.lifecycle is not None))


async def _models(request: Request) -> dict[str, dict[str, Any]]:
    gateway = request.gateway
    found = {
        name: _model(
            name, "llmrouter", {"kind": "router", "router": decider.name, "candidates": decider.candidates}
        )
        for name, decider in gateway.deciders.items()
    }
    for name, candidate in gateway.candidates.items():
        endpoint = candidate.endpoint
        told = {
            "kind": "candidate",
            "upstream_model": endpoint.model,
            "price": None if endpoint.price is None else _price(endpoint.price),
            "context_window": endpoint.context_window,
            "supports": None if endpoint.features is None else sorted(endpoint.features),
        }
        found[name] = _model(name, endpoint.service.name if endpoint.service else "llmrouter", told)
    if gateway.lifecycle is not None:
        for name in await gateway.lifecycle.routers(request.key):
            found[name] = _model(name, "llmrouter", {"kind": "router", "router": name})
    return found


def _model(name: str, owner: str, told: dict[str, Any]) -> dict[str, Any]:
    # `created` is part of the protocol; when an LLM was made is not known here.
    return {"id": name, "object": "model", "created": 0, "owned_by": owner, "llmrouter": told}


def _price(price: Price) -> dict[str, float]:
    return {name: usd for name, usd in price._asdict().items() if usd is not None}
