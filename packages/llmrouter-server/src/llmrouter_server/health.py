"""Whether the gateway can do its work, and if not, what keeps it from it."""

from __future__ import annotations

import asyncio
import contextlib

from llmrouter_server.address import Origin
from llmrouter_server.asgi import Request, Response
from llmrouter_server.gateway import Gateway
from llmrouter_server.parsing import encode
from llmrouter_server.timing import TimeLimitError, within

_CONNECT_SECONDS = 2
# Whoever asks often learns no more, and upstreams are not bothered.
_KEEP_SECONDS = 2


class Health:
    """Looks after routers and upstreams, when asked and not more often than every two seconds."""

    def __init__(self) -> None:
        self._looking: tuple[Gateway, float, asyncio.Task[dict[str, str]]] | None = None

    async def readyz(self, request: Request) -> Response:
        """Say whether requests can be answered; 503 names the router, database or candidates that cannot."""
        gateway = request.gateway
        problems = {
            f"router {decider.name}": problem for decider in gateway.routers if (problem := decider.problem)
        }
        if gateway.lifecycle is not None and (problem := await gateway.lifecycle.problem()):
            problems["database"] = problem
        dead = await self._unreachable(gateway)
        able = not problems and len(dead) < len(gateway.candidates)
        for name in gateway.candidates:
            if problem := dead.get(name) or _cooling(gateway, name):
                problems[f"candidate {name}"] = problem
        status = "ok" if not problems else "degraded" if able else "unavailable"
        return Response(encode({"status": status, "problems": problems}), 200 if able else 503)

    async def _unreachable(self, gateway: Gateway) -> dict[str, str]:
        """Return why candidates cannot be reached, by name; concurrent callers share one look."""
        now = asyncio.get_running_loop().time()
        known = self._looking
        if known is None or known[0] is not gateway or (known[2].done() and known[1] + _KEEP_SECONDS < now):
            known = gateway, now, asyncio.get_running_loop().create_task(_look(gateway))
            self._looking = known
        return await asyncio.shield(known[2])


async def _look(gateway: Gateway) -> dict[str, str]:
    origins = {candidate.chat.origin for candidate in gateway.candidates.values()}
    told = dict(zip(origins, await asyncio.gather(*map(_problem, origins)), strict=True))
    return {
        name: problem
        for name, candidate in gateway.candidates.items()
        if (problem := told[candidate.chat.origin])
    }


def _cooling(gateway: Gateway, name: str) -> str | None:
    left = gateway.candidates[name].cooldown.until - asyncio.get_running_loop().time()
    return f"failed, and is left alone for {left:.0f} s" if left > 0 else None


async def _problem(origin: Origin) -> str | None:
    if origin.proxy is not None:
        # What is behind it cannot be told without asking.
        return None
    try:
        with within(_CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(origin.host, origin.port)
    except TimeLimitError:
        return "cannot be reached in time"
    except OSError:
        return "cannot be reached"
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return None
