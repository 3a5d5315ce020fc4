from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from llmrouter_server.asgi import Request, Response
from llmrouter_server.errors import GatewayError
from llmrouter_server.routes import Route, Routes


async def handler(request: Request) -> Response:
    return Response(b"")


ROUTES = Routes(
    [
        Route("GET", "/a", handler),
        Route("POST", "/a", handler),
        Route("GET", "/orgs/{org}/routers/{id}", handler),
        Route("PATCH", "/orgs/{org}/routers/{id}", handler),
        Route("POST", "/judges/{id}:render", handler),
        Route("GET", "/files/{path...}", handler),
    ]
)


def find(method: str, path: str) -> tuple[Route, dict[str, str]]:
    request: Any = SimpleNamespace(method=method, path=path, arguments={})
    return ROUTES.find(request), request.arguments


@pytest.mark.parametrize(
    ("method", "path", "route", "arguments"),
    [
        ("GET", "/a", "/a", {}),
        ("PATCH", "/orgs/o/routers/r.1", "/orgs/{org}/routers/{id}", {"org": "o", "id": "r.1"}),
        ("POST", "/judges/j:render", "/judges/{id}:render", {"id": "j"}),
        ("GET", "/files/x/y", "/files/{path...}", {"path": "x/y"}),
    ],
)
def test_a_route_is_found_with_its_arguments(
    method: str, path: str, route: str, arguments: dict[str, str]
) -> None:
    found, given = find(method, path)
    assert (found.method, found.path, given) == (method, route, arguments)


@pytest.mark.parametrize("path", ["/", "/b", "/a/", "/orgs/o/routers", "/orgs/o/routers/r/s", "/files/"])
def test_a_path_that_is_not_served_is_404(path: str) -> None:
    with pytest.raises(GatewayError) as caught:
        find("GET", path)
    assert caught.value.status == 404


def test_a_method_that_is_not_served_is_405() -> None:
    with pytest.raises(GatewayError) as caught:
        find("DELETE", "/orgs/o/routers/r")
    assert (caught.value.status, caught.value.headers) == (405, {"allow": "GET, PATCH"})
