"""The baseline that the gateway is held against: Starlette, aiohttp and uvicorn with nothing in between.

Fixed: a change here would move what every earlier figure was measured against.
``python benchmarks/bare.py UPSTREAM PORT``
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

UPSTREAM, PORT = sys.argv[1], int(sys.argv[2])


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, aiohttp.ClientSession]]:
    """Keep one client for all requests."""
    async with aiohttp.ClientSession() as client:
        yield {"client": client}


async def complete(request: Request) -> Response:
    """Pass the body on, and the answer back."""
    url, sent = UPSTREAM + "/v1/chat/completions", {"Content-Type": "application/json"}
    async with request.state.client.post(url, data=await request.body(), headers=sent) as answer:
        return Response(await answer.read(), answer.status, {"Content-Type": answer.content_type})


app = Starlette(routes=[Route("/v1/chat/completions", complete, methods=["POST"])], lifespan=lifespan)
uvicorn.run(app, host="127.0.0.1", port=PORT, access_log=False, log_level="warning")
