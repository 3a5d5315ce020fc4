"""The gateway's own description, in the form of OpenAPI."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import llmrouter
from llmrouter_server.parsing import encode

_ERROR = {"$ref": "#/components/schemas/Error"}
_HEADERS = {
    "x-llmrouter-request-id": {
        "description": "Id of the request, also in the access log.",
        "schema": {"type": "string"},
    }
}
_DECISION_HEADERS = {
    **_HEADERS,
    "x-llmrouter-model": {"description": "The candidate that answered.", "schema": {"type": "string"}},
    "x-llmrouter-router": {"description": "The router that decided.", "schema": {"type": "string"}},
    "x-llmrouter-attempts": {"description": "Upstreams called.", "schema": {"type": "integer"}},
}
_ERRORS = {
    "400": "The request is wrong, or no candidate can take it.",
    "401": "No key was given, or an unknown one.",
    "403": "The key lacks a scope, or the host may not be named.",
    "404": "There is no such model, or path.",
    "405": "The path takes other methods.",
    "408": "The body did not arrive in time.",
    "413": "The body is too large.",
    "415": "The body is not JSON, or is compressed.",
    "429": "Too many requests, or the key's budget is used up.",
    "500": "The router failed.",
    "502": "The upstreams failed.",
    "503": "The gateway or the upstreams cannot answer now.",
    "504": "The router or the upstreams did not answer in time.",
}
_MODEL = {
    "type": ["string", "null"],
    "description": "A candidate, a router, or 'auto' for the default router, also where it is left out.",
}
_MESSAGES = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "required": ["role"],
        "properties": {
            "role": {"type": "string"},
            "content": {
                "oneOf": [
                    {"type": "string"},
                    {"type": "array", "items": {"type": "object"}},
                    {"type": "null"},
                ]
            },
        },
    },
}
_COMMON = {
    "model": _MODEL,
    "stream": {"type": ["boolean", "null"]},
    "stream_options": {"type": ["object", "null"]},
    "max_tokens": {"type": ["number", "null"], "minimum": 1},
    "max_completion_tokens": {"type": ["number", "null"], "minimum": 1},
    "n": {"type": ["number", "null"], "minimum": 1, "maximum": 128},
    "tools": {"type": ["array", "null"], "items": {"type": "object"}},
    "functions": {"type": ["array", "null"], "items": {"type": "object"}},
}
_ANSWER = {
    "type": "object",
    "required": ["choices", "model", "llmrouter"],
    "properties": {
        "model": {"type": "string", "description": "The candidate's name in the catalogue."},
        "choices": {"type": "array"},
        "llmrouter": {"$ref": "#/components/schemas/Report"},
    },
}


@cache
def document(with_keys: bool, with_lifecycle: bool = False) -> bytes:
    """Return the description as JSON.

    Args:
        with_keys: Whether the gateway asks for keys.
        with_lifecycle: Whether it serves the lifecycle's protocol.
    """
    return encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "llmrouter gateway",
                "version": llmrouter.__version__,
                "description": "The OpenAI protocol; a router names the LLM that answers each request.",
            },
            "paths": {**_paths(with_keys), **(_lifecycle_paths() if with_lifecycle else {})},
            "components": {
                "schemas": _schemas(),
                "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            },
        }
    )


def _paths(with_keys: bool) -> dict[str, Any]:
    security: list[Any] = [{"key": []}] if with_keys else []

    def get(
        summary: str, content: dict[str, Any], *errors: str, secure: bool = True, **more: Any
    ) -> dict[str, Any]:
        wanted = ("401", "403", *errors) if secure else ("403", *errors)
        return {
            "get": {
                "summary": summary,
                "security": security if secure else [],
                "responses": {"200": _response("Done.", content), **_errors(*wanted)},
                **more,
            }
        }

    def post(summary: str, schema: str, answer: dict[str, Any], streams: bool) -> dict[str, Any]:
        content = {"application/json": {"schema": answer}}
        if streams:
            content["text/event-stream"] = {"schema": {"type": "string"}}
        return {
            "post": {
                "summary": summary,
                "security": security,
                "requestBody": _body({"$ref": f"#/components/schemas/{schema}"}),
                "responses": {
                    "200": {
                        "description": "Done.",
                        "content": content,
                        "headers": _DECISION_HEADERS if streams else _HEADERS,
                    },
                    **_errors(*(status for status in _ERRORS if status != "405")),
                    # Another error that an upstream gave, such as 422, is passed on.
                    "4XX": _error("The upstream refused the request."),
                },
            }
        }

    return {
        "/v1/chat/completions": post("Answer a conversation.", "ChatRequest", _ANSWER, True),
        "/v1/completions": post("Answer a prompt.", "TextRequest", _ANSWER, True),
        "/v1/route": post(
            "Return the routing decision without calling an LLM.",
            "RouteRequest",
            {"$ref": "#/components/schemas/Decision"},
            False,
        ),
        "/v1/models": get(
            "List candidates and routers.",
            _json(
                {
                    "type": "object",
                    "required": ["object", "data"],
                    "properties": {
                        "data": {"type": "array", "items": {"$ref": "#/components/schemas/Model"}}
                    },
                }
            ),
        ),
        "/v1/models/{id}": get(
            "Tell of one.",
            _json({"$ref": "#/components/schemas/Model"}),
            "404",
            parameters=[_parameter("id", "path", "Slashes in it need no escape.")],
        ),
        "/healthz": get("Whether the process answers.", _json({"type": "object"}), secure=False),
        "/readyz": {
            "get": {
                "summary": "Whether requests can be answered, and what is dead.",
                "security": [],
                "responses": {
                    "200": _response("They can.", _json({"$ref": "#/components/schemas/Readiness"})),
                    "403": _error(_ERRORS["403"]),
                    "503": _response("They cannot.", _json({"$ref": "#/components/schemas/Readiness"})),
                },
            }
        },
        "/metrics": get("Metrics for Prometheus.", {"text/plain": {"schema": {"type": "string"}}}),
        "/openapi.json": get("This description.", _json({"type": "object"}), secure=False),
    }


def _lifecycle_paths() -> dict[str, Any]:
    from llmrouter_lifecycle.api import CHAT, ROUTES

    paths: dict[str, Any] = {}
    for route in ROUTES:
        # A body is an object whose keys the operation checks; chat's is that of the OpenAI protocol.
        body = {"$ref": "#/components/schemas/ChatRequest"} if route.path == CHAT else {"type": "object"}
        paths.setdefault(route.path, {})[route.method.lower()] = {
            "summary": route.summary,
            "tags": ["lifecycle"],
            "security": [{"key": []}],
            "parameters": [
                *(_parameter(name, "path") for name in re.findall(r"{(\w+)}", route.path)),
                *(_parameter(name, "query", text) for name, text in route.parameters.items()),
            ],
            **({"requestBody": _body(body)} if route.method in ("POST", "PATCH") else {}),
            "responses": {
                "200": _response("Done.", _json({"type": ["object", "array", "null"]})),
                "4XX": _error("The request is wrong, or not allowed."),
                "5XX": _error("The gateway or an LLM failed."),
            },
        }
    return paths


def _schemas() -> dict[str, Any]:
    nullable: dict[str, Any] = {
        name: {} for name in ("cost", "upstream_model", "router", "scores", "confidence", "fallback_reason")
    }
    return {
        "ChatRequest": {
            "type": "object",
            "required": ["messages"],
            "properties": {**_COMMON, "messages": _MESSAGES},
        },
        "TextRequest": {
            "type": "object",
            "required": ["prompt"],
            "properties": {
                **_COMMON,
                "prompt": {
                    "oneOf": [
                        {"type": "string"},
                        {
                            "type": "array",
                            "items": {
                                "oneOf": [
                                    {"type": "string"},
                                    {"type": "integer"},
                                    {"type": "array", "items": {"type": "integer"}},
                                ]
                            },
                        },
                    ]
                },
            },
        },
        "RouteRequest": {
            "type": "object",
            "properties": {
                **_COMMON,
                "messages": _MESSAGES,
                "query": {"type": ["string", "null"]},
                "allowed_llms": {"type": ["array", "null"], "items": {"type": "string"}},
            },
            "anyOf": [
                {"required": ["messages"]},
                {"required": ["query"], "properties": {"query": {"type": "string"}}},
            ],
        },
        "Decision": {
            "type": "object",
            "required": ["model_name", "router"],
            "properties": {"model_name": {"type": "string"}, "router": {"type": "string"}},
        },
        "Report": {
            "type": "object",
            "required": ["model_name", "attempts", *nullable],
            "properties": {"model_name": {"type": "string"}, "attempts": {"type": "integer"}, **nullable},
        },
        "Model": {
            "type": "object",
            "required": ["id", "object", "created", "owned_by"],
            "properties": {
                "id": {"type": "string"},
                "object": {"const": "model"},
                "created": {"type": "integer"},
                "owned_by": {"type": "string"},
                "llmrouter": {"type": "object"},
            },
        },
        "Readiness": {
            "type": "object",
            "required": ["status", "problems"],
            "properties": {
                "status": {"enum": ["ok", "degraded", "unavailable"]},
                "problems": {"type": "object", "additionalProperties": {"type": "string"}},
            },
        },
        "Error": {
            "type": "object",
            "required": ["error"],
            "properties": {
                "error": {
                    "type": "object",
                    "required": ["message"],
                    "properties": {
                        "message": {"type": "string"},
                        "type": {"type": ["string", "null"]},
                        "param": {"type": ["string", "null"]},
                        "code": {},
                    },
                }
            },
        },
    }


def _body(schema: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": _json(schema)}


def _parameter(name: str, place: str, text: str = "") -> dict[str, Any]:
    told = {"description": text} if text else {}
    return {"name": name, "in": place, "required": place == "path", "schema": {"type": "string"}, **told}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _response(text: str, content: dict[str, Any]) -> dict[str, Any]:
    return {"description": text, "content": content, "headers": _HEADERS}


def _error(text: str) -> dict[str, Any]:
    return _response(text, _json(_ERROR))


def _errors(*statuses: str) -> dict[str, Any]:
    return {status: _error(_ERRORS[status]) for status in statuses}
