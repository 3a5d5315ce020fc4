"""Errors as the OpenAI protocol has them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from llmrouter.constraints import ConstraintError

_encode = msgspec.json.Encoder().encode

# The `type` that a status has unless told otherwise.
_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


class GatewayError(Exception):
    """A request that is answered with an error.

    Attributes:
        status: HTTP status.
        message: What is wrong and what to do, for the client.
        param: The field of the request that is to blame.
        code: For programs, such as ``model_not_found``.
        type: Kind of error; by default what goes with the status.
        headers: Of the answer, beside the usual ones.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        type: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.type = type or _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
        self.headers = dict(headers or {})

    @property
    def body(self) -> bytes:
        """The error as JSON."""
        return _encode(self.told)

    @property
    def event(self) -> bytes:
        """The error as an event of a stream."""
        return b"data: " + self.body + b"\n\n"

    @property
    def told(self) -> dict[str, Any]:
        """The error as the protocol has it."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


def constraint_error(error: ConstraintError) -> GatewayError:
    """Return the answer to a constraint that cannot be understood."""
    unknown = error.unknown_llm is not None
    code = "model_not_found" if unknown else "invalid_value"
    return GatewayError(404 if unknown else 400, f"{error}.", param=error.param, code=code)


def retry_after(seconds: float) -> dict[str, str]:
    """Return the header that says when to try again, in whole seconds."""
    return {"retry-after": str(max(1, math.ceil(seconds)))}
