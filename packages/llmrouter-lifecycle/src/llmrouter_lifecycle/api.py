"""The protocol without its transport: a method, a path and JSON in, JSON out.

A server mounts it by handing each request to `Api.call`, from a thread; an embedded client calls it directly.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from llmrouter_lifecycle.errors import InvalidParameterError, ResourceNotFoundError
from llmrouter_lifecycle.home import Caller, Home
from llmrouter_lifecycle.operations import accounts, chat, jobs, judges, routers

Operation = Callable[..., Any]

CHAT = "/openai/v2/chat/completions"
_ORG = r"/v1/organizations/(?P<org>[^/]+)"
_ID = r"(?P<id>[^/:]+)"


class Route(NamedTuple):
    """An operation and where it is.

    Attributes:
        slow: Whether it calls an LLM, and so may take as long as that takes.
    """

    method: str
    path: re.Pattern[str]
    operation: Operation
    slow: bool = False


def _route(method: str, path: str, operation: Operation, slow: bool = False) -> Route:
    return Route(method, re.compile(path), operation, slow)


ROUTES = (
    _route("GET", r"/organizations", accounts.organizations),
    _route("GET", r"/organizations/(?P<org>[^/]+)/credits", accounts.credits),
    _route("POST", re.escape(CHAT), chat.chat, slow=True),
    _route("POST", f"{_ORG}/routers", routers.create_router),
    _route("GET", f"{_ORG}/routers", routers.list_routers),
    _route("GET", f"{_ORG}/routers/{_ID}", routers.get_router),
    _route("GET", f"{_ORG}/routers/{_ID}/versions", routers.router_versions),
    _route("PATCH", f"{_ORG}/routers/{_ID}", routers.update_router),
    _route("DELETE", f"{_ORG}/routers/{_ID}", routers.delete_router),
    _route("POST", f"{_ORG}/router_training_jobs", jobs.create_job),
    _route("POST", f"{_ORG}/router_training_jobs:estimate", jobs.estimate_job),
    _route("GET", f"{_ORG}/router_training_jobs", jobs.list_jobs),
    _route("GET", f"{_ORG}/router_training_jobs/{_ID}", jobs.get_job),
    _route("GET", f"{_ORG}/router_training_jobs/{_ID}/results", jobs.job_results),
    _route("POST", f"{_ORG}/router_training_jobs/{_ID}:cancel", jobs.cancel_job),
    _route("POST", f"{_ORG}/router_training_jobs/{_ID}:retry", jobs.retry_job),
    _route("DELETE", f"{_ORG}/router_training_jobs/{_ID}", jobs.delete_job),
    _route("POST", f"{_ORG}/judges", judges.create_judge),
    _route("POST", f"{_ORG}/judges:evaluate", judges.evaluate_spec, slow=True),
    _route("GET", f"{_ORG}/judges", judges.list_judges),
    _route("GET", f"{_ORG}/judges/{_ID}", judges.get_judge),
    _route("GET", f"{_ORG}/judges/{_ID}/versions", judges.judge_versions),
    _route("PATCH", f"{_ORG}/judges/{_ID}", judges.update_judge),
    _route("DELETE", f"{_ORG}/judges/{_ID}", judges.delete_judge),
    _route("POST", f"{_ORG}/judges/{_ID}:render", judges.render),
    _route("POST", f"{_ORG}/judges/{_ID}:evaluate", judges.evaluate, slow=True),
)


class Api:
    """All operations on one home."""

    def __init__(self, home: Home) -> None:
        self.home = home

    def call(
        self,
        caller: Caller,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
    ) -> Any:
        """Do what a request asks for; returns the JSON of its answer.

        Args:
            caller: Whoever asks.
            method: ``GET``, ``POST``, ``PATCH`` or ``DELETE``.
            path: Below the API's address, such as ``/v1/organizations/ORG/routers``.
            query: The parameters of the address.
            body: JSON.

        Raises:
            LLMRouterError: It cannot be done; `llmrouter_lifecycle.errors` says with which status.
        """
        route, found = find_route(method, path)
        if "org" in found and found.pop("org") != caller.org:
            raise ResourceNotFoundError(f"there is nothing at {path}")
        body = {} if body is None else body
        if not isinstance(body, Mapping):
            raise InvalidParameterError(f"the body: expected a JSON object, found {type(body).__name__}")
        return route.operation(self.home, caller, query or {}, body, **found)


def find_route(method: str, path: str) -> tuple[Route, dict[str, str]]:
    """Return the route of a request, and the names in its path.

    Raises:
        ResourceNotFoundError: There is none.
    """
    for route in ROUTES:
        if route.method == method and (match := route.path.fullmatch(path)):
            return route, match.groupdict()
    raise ResourceNotFoundError(f"there is nothing at {method} {path}")
