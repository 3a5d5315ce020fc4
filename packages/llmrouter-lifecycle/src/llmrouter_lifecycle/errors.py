"""What goes wrong in a router's life, and which HTTP status says so."""

from __future__ import annotations

from llmrouter.errors import LLMRouterError


class LifecycleError(LLMRouterError):
    """Root of the errors of this package.

    Attributes:
        status: The HTTP status that stands for it.
        type: The kind of error, as the chat protocol names kinds.
        param: The dotted name of the offending field of the request, or None.
        code: A word for programs, or None.
    """

    status = 500
    type = "server_error"
    code: str | None = None

    def __init__(self, message: str, *, param: str | None = None) -> None:
        self.param = param
        super().__init__(message)


class InvalidParameterError(LifecycleError):
    """An argument cannot be used; nothing was done."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_parameter"


class AuthenticationError(LifecycleError):
    """The key is wrong, or allows less than was asked."""

    status = 401
    type = "authentication_error"
    code = "invalid_api_key"


class BudgetExceededError(LifecycleError):
    """There are not enough credits left for what was asked."""

    status = 402
    type = "insufficient_quota"
    code = "budget_exceeded"


class ResourceNotFoundError(LifecycleError):
    """There is no such router, judge, job, version or LLM."""

    status = 404
    type = "invalid_request_error"
    code = "not_found"


class ResourceAlreadyExistsError(LifecycleError):
    """The id is taken."""

    status = 409
    type = "invalid_request_error"
    code = "already_exists"


class ConflictError(LifecycleError):
    """What was asked does not go together with the state of the resource."""

    status = 409
    type = "invalid_request_error"
    code = "conflict"


class UpstreamError(LifecycleError):
    """An LLM was called and did not answer."""

    status = 502
    type = "api_error"
    code = "upstream_error"


class JudgementError(LifecycleError):
    """A judge gave no score that counts; the message says why.

    Attributes:
        cost: Of asking it, in USD; None where that is unknown.
        upstream_status: The HTTP status with which the service of its LLM refused, or None.
    """

    status = 422
    type = "invalid_request_error"
    code = "no_judgement"

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        cost: float | None = 0.0,
        upstream_status: int | None = None,
    ) -> None:
        self.cost = cost
        self.upstream_status = upstream_status
        super().__init__(message, param=param)


class StoreError(LifecycleError):
    """The database cannot be opened or used; trying again later may help."""

    status = 503
    code = "database_unavailable"
