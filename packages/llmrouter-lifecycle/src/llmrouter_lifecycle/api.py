"""The protocol without its transport: a method, a path and JSON in, JSON out.

A server mounts it by handing each request to `Api.call`, from a thread; an embedded client calls it directly.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from llmrouter_lifecycle.errors import InvalidParameterError, ResourceNotFoundError
from llmrouter_lifecycle.home import Caller, Home
from llmrouter_lifecycle.operations import accounts, chat, jobs, judges, routers
from llmrouter_lifecycle.store.encoding import unstorable

Operation = Callable[..., Any]

CHAT = "/openai/v2/chat/completions"
_ORG = "/v1/organizations/{org}"
_JOBS = f"{_ORG}/router_training_jobs"
# No name holds NUL, and PostgreSQL does not even look for one.
_PARTS = {"{org}": r"(?P<org>[^/\0]+)", "{id}": r"(?P<id>[^/:\0]+)"}

Scope = Literal["chat", "read", "write"]


class Route(NamedTuple):
    """An operation and where it is.

    Attributes:
        method: Of HTTP.
        path: Below the API's address, such as ``/v1/organizations/{org}/routers/{id}``.
        operation: What it does.
        scope: What a key must be allowed.
        slow: Whether it calls an LLM, and so may take as long as that takes.
        large: Whether its body may hold the requests of a training job.
        parameters: Of the address, each with what it tells.
    """

    method: str
    path: str
    operation: Operation
    scope: Scope
    slow: bool = False
    large: bool = False
    parameters: Mapping[str, str] = {}

    @property
    def summary(self) -> str:
        """What it does, in a sentence."""
        return (self.operation.__doc__ or "").partition("\n")[0]

    @property
    def pattern(self) -> re.Pattern[str]:
        """What the paths of its requests match."""
        parts = re.split(r"(\{\w+\})", self.path)
        return re.compile("".join(_PARTS.get(part) or re.escape(part) for part in parts))


_VERSION = {"version": "Which version; the latest where it is left out."}

ROUTES = (
    Route("GET", "/organizations", accounts.organizations, "read"),
    Route("GET", "/organizations/{org}/credits", accounts.credits, "read"),
    Route("POST", CHAT, chat.chat, "chat", slow=True),
    Route(
        "POST",
        f"{_ORG}/routers",
        routers.create_router,
        "write",
        parameters={"routerId": "What it is to be called."},
    ),
    Route("GET", f"{_ORG}/routers", routers.list_routers, "read"),
    Route("GET", f"{_ORG}/routers/{{id}}", routers.get_router, "read", parameters=_VERSION),
    Route("GET", f"{_ORG}/routers/{{id}}/versions", routers.router_versions, "read"),
    Route("PATCH", f"{_ORG}/routers/{{id}}", routers.update_router, "write"),
    Route("DELETE", f"{_ORG}/routers/{{id}}", routers.delete_router, "write"),
    Route("POST", _JOBS, jobs.create_job, "write", large=True),
    Route("POST", f"{_JOBS}:estimate", jobs.estimate_job, "read", large=True),
    Route("GET", _JOBS, jobs.list_jobs, "read"),
    Route("GET", f"{_JOBS}/{{id}}", jobs.get_job, "read"),
    Route("GET", f"{_JOBS}/{{id}}/results", jobs.job_results, "read"),
    Route("POST", f"{_JOBS}/{{id}}:cancel", jobs.cancel_job, "write"),
    Route("POST", f"{_JOBS}/{{id}}:retry", jobs.retry_job, "write"),
    Route("DELETE", f"{_JOBS}/{{id}}", jobs.delete_job, "write"),
    Route(
        "POST",
        f"{_ORG}/judges",
        judges.create_judge,
        "write",
        parameters={"judgeId": "What it is to be called."},
    ),
    # It spends what an answer spends.
    Route("POST", f"{_ORG}/judges:evaluate", judges.evaluate_spec, "chat", slow=True),
    Route("GET", f"{_ORG}/judges", judges.list_judges, "read"),
    Route("GET", f"{_ORG}/judges/{{id}}", judges.get_judge, "read", parameters=_VERSION),
    Route("GET", f"{_ORG}/judges/{{id}}/versions", judges.judge_versions, "read"),
    Route("PATCH", f"{_ORG}/judges/{{id}}", judges.update_judge, "write"),
    Route("DELETE", f"{_ORG}/judges/{{id}}", judges.delete_judge, "write"),
    Route("POST", f"{_ORG}/judges/{{id}}:render", judges.render, "read"),
    Route("POST", f"{_ORG}/judges/{{id}}:evaluate", judges.evaluate, "chat", slow=True),
)
_PATTERNS = [(route, route.pattern) for route in ROUTES]


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
        for part in (found, query or {}, body):
            if (name := unstorable(part)) is not None:
                raise InvalidParameterError(
                    f"{name}: holds NUL or half of a surrogate pair, which is not text; remove it", param=name
                )
        return route.operation(self.home, caller, query or {}, body, **found)


def find_route(method: str, path: str) -> tuple[Route, dict[str, str]]:
    """Return the route of a request, and the names in its path.

    Raises:
        ResourceNotFoundError: There is none.
    """
    for route, pattern in _PATTERNS:
        if route.method == method and (match := pattern.fullmatch(path)):
            return route, match.groupdict()
    raise ResourceNotFoundError(f"there is nothing at {method} {path}")
