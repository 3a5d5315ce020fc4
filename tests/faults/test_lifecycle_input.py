"""The lifecycle refuses what cannot be right with a 4xx, whichever field holds it, on both databases."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from llmrouter_lifecycle import Client
from llmrouter_lifecycle.api import Api
from llmrouter_lifecycle.home import Caller
from llmrouter_lifecycle.rest import Reply, handle
from llmrouter_testing.upstream import Reply as UpstreamReply
from llmrouter_testing.upstream import Upstream
from tests.lifecycle.conftest import home_of

ORG = "/v1/organizations/acme"
CALLER = Caller("acme", "key-acme", 5.0)
CHAT = {
    "messages": [{"role": "user", "content": "Say what comes after 1"}],
    "model": "routers",
    "max_tokens": 5,
}
POINT = {
    "point": {"x": 0.1, "y": 0.2},
    "executor": {"spec": {"executor_type": "ModelExecutor", "model_name": "local/cheap"}},
}
NUMERIC = {"model_type": "numeric"}
RUBRIC = {
    "model_type": "rubric_judge",
    "rubric": "Is it right?",
    "model": "local/cheap",
    "min_score": 0,
    "max_score": 10,
    "prescript": "",
}
PAYLOADS = {
    "completionCreateParams": {"jsonPayload": json.dumps({**CHAT, "reference": "2"})},
    "chatCompletion": {"jsonPayload": json.dumps({"response": {"role": "assistant", "content": "It is 2."}})},
}
JOB = {
    "routerName": "organizations/acme/routers/r",
    "judgeName": "organizations/acme/judges/j",
    "judgeVersion": 1,
    "llms": ["local/cheap", "local/dear"],
    "requests": [{**CHAT, "id": "1", "reference": "2", "tools": [], "temperature": 0.5}],
    "budgetUsd": 1.0,
    "seed": 0,
    "retentionDays": 1,
}
# For each operation with a body: method, path, query, body.
BODIES: dict[str, tuple[str, str, dict[str, str], dict[str, Any]]] = {
    "create a router": (
        "POST",
        f"{ORG}/routers",
        {"routerId": "new"},
        {"routerSpec": {"points": [POINT]}, "description": "d"},
    ),
    "update a router": (
        "PATCH",
        f"{ORG}/routers/r",
        {},
        {"routerSpec": {"points": [POINT], "router": {"checkpoint": "c"}}},
    ),
    "create a judge": (
        "POST",
        f"{ORG}/judges",
        {"judgeId": "new"},
        {"judgeSpec": {"judgeSpec": RUBRIC}, "description": "d"},
    ),
    "update a judge": ("PATCH", f"{ORG}/judges/j", {}, {"judgeSpec": {"judgeSpec": NUMERIC}}),
    "render": ("POST", f"{ORG}/judges/rubric:render", {}, {**PAYLOADS, "judgeVersion": 1}),
    "evaluate": ("POST", f"{ORG}/judges/j:evaluate", {}, {**PAYLOADS, "judgeVersion": 1}),
    "evaluate a spec": (
        "POST",
        f"{ORG}/judges:evaluate",
        {},
        {**PAYLOADS, "judgeSpec": {"judgeSpec": NUMERIC}},
    ),
    "estimate a job": ("POST", f"{ORG}/router_training_jobs:estimate", {}, JOB),
    "create a job": ("POST", f"{ORG}/router_training_jobs", {}, JOB),
    "chat": (
        *("POST", "/openai/v2/chat/completions", {}),
        {
            **CHAT,
            "model": "organizations/acme/routers/r",
            "routing_constraint": {"cost_constraint": {"numeric_value": 1}},
        },
    ),
}
NESTED: Any = "x"
for _ in range(200):
    NESTED = [NESTED]
VALUES: list[Any] = [
    *(
        None,
        True,
        0,
        -1,
        1.5,
        -1e-9,
        2**31,
        2**63,
        10**30,
        -(10**30),
        10**400,
        1e308,
        [],
        {},
        [[]],
        [None],
        {"a": 1},
    ),
    *(
        "",
        "\0",
        "x\0y",
        " ",
        "x" * 100_000,
        "é" * 300,
        "latest",
        "../..",
        "%s %(x)s {x}",
        "organizations/a/routers/b",
    ),
    *(["\0"], {"\0": "\0"}, NESTED),
]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to each value in a body, inner ones too."""
    if path:
        yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


def replaced(body: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """Return a body with another value at a place."""
    found = copy.deepcopy(body)
    inner: Any = found
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return found


def answer(request: dict[str, Any]) -> str:
    """Answer whatever is asked."""
    message = {"role": "assistant", "content": "It is 2."}
    raise UpstreamReply(200, {"model": "m", "choices": [{"index": 0, "message": message}]})


@pytest.fixture
def api(client: Client, upstream: Upstream) -> Api:
    """A lifecycle in which there are a router and two judges."""
    upstream.script = answer
    api = Api(home_of(client))
    for method, path, query, body in (
        ("POST", f"{ORG}/routers", {"routerId": "r"}, {"routerSpec": {"points": [POINT]}}),
        ("POST", f"{ORG}/judges", {"judgeId": "j"}, {"judgeSpec": {"judgeSpec": NUMERIC}}),
        ("POST", f"{ORG}/judges", {"judgeId": "rubric"}, {"judgeSpec": {"judgeSpec": RUBRIC}}),
    ):
        api.call(CALLER, method, path, query, body)
    return api


def ask(api: Api, method: str, path: str, query: dict[str, str], body: Any) -> Reply:
    """Ask as a server does; returns an answer that can be read."""
    reply = handle(api, CALLER, method, path, query, b"" if body is None else json.dumps(body).encode())
    json.dumps(reply.body, ensure_ascii=False).encode()
    return reply


@pytest.mark.parametrize("operation", BODIES)
def test_no_value_in_any_field_of_a_body_is_a_500(api: Api, operation: str) -> None:
    method, path, query, body = BODIES[operation]
    assert operation == "update a router" or ask(api, method, path, query, body).status == 200
    for place in places(body):
        for value in VALUES:
            reply = ask(api, method, path, query, replaced(body, place, value))
            assert reply.status in (200, 400, 402, 404, 409, 422), (place, repr(value)[:80], reply)
            if reply.status == 400:
                assert reply.body["error"]["param"], (place, repr(value)[:80], reply)


PAYLOADS_THAT_ARE_NONE = [
    *(
        "",
        "null",
        "1",
        "[]",
        '"x"',
        "{",
        "[" * 100_000,
        '{"messages": NaN}',
        '{"messages": [1], "response": 1}',
    ),
    *('{"messages": [], "response": {}}', '{"messages": [{"role": 1}], "response": {"content": 1}}'),
    *('{"messages": [{"role": "user", "content": [1]}], "choices": [1]}', '{"messages": {}, "choices": {}}'),
    *('{"messages": [{"role": "user", "content": "\\ud83d"}], "response": {"content": "\\ud83d"}}',),
    f'{{"messages": [{{"role": "user", "content": {"1" * 5000}}}], "response": {{"content": {"1" * 5000}}}}}',
    '{"messages": [{"role": "user", "content": "x", "reference": NaN}], "response": {"content": {"a": NaN}}}',
]


@pytest.mark.parametrize("operation", ["render", "evaluate", "evaluate a spec"])
def test_no_payload_of_an_evaluation_is_a_500(api: Api, operation: str) -> None:
    method, path, query, body = BODIES[operation]
    for payload in PAYLOADS_THAT_ARE_NONE:
        for fields in (list(PAYLOADS), *([field] for field in PAYLOADS)):
            changed = {**body, **{field: {"jsonPayload": payload} for field in fields}}
            reply = ask(api, method, path, query, changed)
            assert reply.status in (200, 400, 422), (payload[:80], reply)


NAMES = [
    "r",
    "none",
    "\0",
    "x\0",
    "é",
    "\ud83d".encode("utf-8", "replace").decode(),
    "x" * 10_000,
    "..",
    "%",
    " ",
    "r\n",
]
VERSIONS = [
    "0",
    "-1",
    "1.5",
    "",
    " 1",
    "1e3",
    "\0",
    "٣",
    "latest",
    str(2**31),
    str(2**63),
    "9" * 5000,
    "00000000001",
]


def test_no_name_is_a_500(api: Api) -> None:
    for kind in ("routers", "judges", "router_training_jobs"):
        for name in NAMES:
            found = 200 if name == "r" and kind == "routers" else 404
            for method, end in (("GET", ""), ("GET", "/versions"), ("GET", "/results"), ("DELETE", "")):
                reply = ask(api, method, f"{ORG}/{kind}/{name}{end}", {}, None)
                assert reply.status in (404, found, 200 if end == "/versions" else 404), (kind, name, reply)
            for action in (":cancel", ":retry", ":render", ":evaluate"):
                assert ask(api, "POST", f"{ORG}/{kind}/{name}{action}", {}, {}).status in (400, 404)
    for name in NAMES[1:]:
        for kind, param in (("routers", "routerId"), ("judges", "judgeId")):
            body = BODIES["create a router" if kind == "routers" else "create a judge"][3]
            reply = ask(api, "POST", f"{ORG}/{kind}", {param: name}, body)
            assert reply.status == (200 if name == "none" else 400), (kind, name, reply)


def test_no_version_is_a_500(api: Api) -> None:
    for version in VERSIONS:
        for kind, name in (("routers", "r"), ("judges", "j")):
            reply = ask(api, "GET", f"{ORG}/{kind}/{name}", {"version": version}, None)
            assert reply.status == (200 if version == "latest" else 400), (version, reply)
            assert version == "latest" or reply.body["error"]["param"] == "version"
    # A version beyond ten digits was once cut to its first ten.
    assert ask(api, "GET", f"{ORG}/routers/r", {"version": "1" + "0" * 9}, None).status == 404


def test_a_body_that_is_no_json_is_a_400(api: Api) -> None:
    for body in (
        b"{",
        b"\xff",
        b'{"a":NaN}',
        b'"\\ud83d"',
        b"[" * 1_000_000,
        b'{"a":' * 100_000,
        b"1",
        b"[]",
        b'"x"',
    ):
        for operation in BODIES.values():
            assert handle(api, CALLER, *operation[:2], operation[2], body).status == 400
