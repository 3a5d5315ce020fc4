"""Which handler answers a request."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass

from llmrouter_server.asgi import Request, Response
from llmrouter_server.errors import GatewayError
from llmrouter_server.key_file import Scope

Handler = Callable[[Request], Awaitable[Response]]

# "{name}" stands for one part of a path, "{name...}" for all that is left of it.
_PLACEHOLDER = re.compile(r"\{(\w+)(\.\.\.)?\}")


@dataclass(frozen=True)
class Route:
    """A method, a path, and who answers it.

    Attributes:
        method: Such as ``POST``.
        path: Such as ``/v1/models/{id...}``.
        handler: Answers a request, or raises `GatewayError`.
        scope: That a key must have; None: no key is needed.
        counts: Whether it takes one of the places for requests that are worked on at once.
    """

    method: str
    path: str
    handler: Handler
    scope: Scope | None = None
    counts: bool = False


class Routes:
    """A table of routes; paths without placeholders are looked up, the others are tried in order."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = list(routes)
        self._fixed: dict[str, dict[str, Route]] = {}
        self._patterns: list[tuple[re.Pattern[str], dict[str, Route]]] = []
        patterns: dict[str, dict[str, Route]] = {}
        for route in self._routes:
            table = patterns if _PLACEHOLDER.search(route.path) else self._fixed
            table.setdefault(route.path, {})[route.method] = route
        for path, methods in patterns.items():
            self._patterns.append((_pattern(path), methods))

    def __iter__(self) -> Iterator[Route]:
        return iter(self._routes)

    def find(self, request: Request) -> Route:
        """Return the route of a request, and set its arguments.

        Raises:
            GatewayError: 404, there is no such path; 405, it takes other methods.
        """
        methods = self._fixed.get(request.path)
        if methods is None:
            for pattern, found in self._patterns:
                if match := pattern.fullmatch(request.path):
                    request.arguments = match.groupdict()
                    methods = found
                    break
            else:
                raise GatewayError(404, f"There is nothing at {request.path}.", code="unknown_path")
        route = methods.get(request.method)
        if route is None:
            allowed = ", ".join(sorted(methods))
            raise GatewayError(
                405, f"{request.path} takes {allowed}.", code="method_not_allowed", headers={"allow": allowed}
            )
        return route


def _pattern(path: str) -> re.Pattern[str]:
    parts, end = [], 0
    for found in _PLACEHOLDER.finditer(path):
        parts += [re.escape(path[end : found.start()]), f"(?P<{found[1]}>{'.+' if found[2] else '[^/]+'})"]
        end = found.end()
    return re.compile("".join([*parts, re.escape(path[end:])]), re.DOTALL)
