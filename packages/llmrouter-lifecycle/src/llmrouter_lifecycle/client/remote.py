"""A lifecycle on a server."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any

from llmrouter.errors import LLMRouterError
from llmrouter_lifecycle import errors
from llmrouter_lifecycle.api import find_route

# Seconds; what calls an LLM may take as long as that takes.
TIMEOUT = 30.0
SLOW_TIMEOUT = 300.0
# How often a request is sent again that may be, while the server's database is away, and the longest pause.
RETRIES = 3
LONGEST_PAUSE = 5.0

_BY_CODE: dict[str, type[errors.LifecycleError]] = {
    error.code: error
    for error in vars(errors).values()
    if isinstance(error, type) and issubclass(error, errors.LifecycleError) and error.code
}
_BY_STATUS: dict[int, type[errors.LifecycleError]] = {
    400: errors.InvalidParameterError,
    401: errors.AuthenticationError,
    402: errors.BudgetExceededError,
    403: errors.AuthenticationError,
    404: errors.ResourceNotFoundError,
    409: errors.ConflictError,
    422: errors.JudgementError,
    502: errors.UpstreamError,
    503: errors.StoreError,
}


class Remote:
    """Speaks to a server.

    Args:
        address: Of the API, such as ``https://HOST``.
        api_key: The key.

    Attributes:
        org: The organisation of the key.

    Raises:
        AuthenticationError: The key is wrong.
        LifecycleError: The server cannot be reached.
    """

    def __init__(self, address: str, api_key: str) -> None:
        import httpx2

        self._http = httpx2.Client(
            base_url=address.rstrip("/"), headers={"Authorization": f"Bearer {api_key}"}, timeout=TIMEOUT
        )
        self._errors = httpx2.HTTPError
        try:
            self.org: str = self.request("GET", "/organizations")[0]["uid"]
        except BaseException:  # whatever it is, Ctrl-C too: there will be no client to close
            self._http.close()
            raise

    def request(
        self, method: str, path: str, query: Mapping[str, Any] | None = None, body: Any = None
    ) -> Any:
        """Return the JSON that answers a request."""
        route, _ = find_route(method, path)
        # So that what the client library or a proxy repeats is done once.
        headers = {"Idempotency-Key": uuid.uuid4().hex} if method == "POST" else {}
        sent = {
            "params": dict(query or {}),
            "json": body,
            "headers": headers,
            "timeout": SLOW_TIMEOUT if route.slow else TIMEOUT,
        }
        try:
            answer = self._http.request(method, path, **sent)
            for _ in range(RETRIES if method in ("GET", "POST") else 0):
                if answer.status_code != 503:
                    break
                time.sleep(_pause(answer.headers.get("retry-after")))
                answer = self._http.request(method, path, **sent)
            told = answer.json() if answer.content else None
        except (self._errors, ValueError) as error:
            reason = str(error) or type(error).__name__
            raise errors.LifecycleError(
                f"{self._http.base_url} did not answer as it should: {reason}"
            ) from error
        if answer.is_success:
            return told
        raise _error(answer.status_code, told)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


def _pause(header: str | None) -> float:
    """Return for how many seconds a header ``Retry-After`` asks to wait, within bounds."""
    try:
        return min(max(float(header or 1), 0.0), LONGEST_PAUSE)
    except ValueError:
        return 1.0


def _error(status: int, told: Any) -> LLMRouterError:
    found = told.get("error") if isinstance(told, dict) else None
    if not isinstance(found, dict):
        return errors.LifecycleError(f"the server answered {status}")
    kind = _BY_CODE.get(found.get("code") or "") or _BY_STATUS.get(status, errors.LifecycleError)
    return kind(str(found.get("message")), param=found.get("param"))
