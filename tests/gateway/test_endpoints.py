"""The endpoints beside those that answer, and what requests come to that are wrong."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from tests.gateway.client import SECONDS, Gateway, wait_for
from tests.gateway.conftest import Serve
from tests.gateway.upstream import HOST, Upstream, fails, hangs, refusing_port

HELLO = {"model": "auto", "messages": [{"role": "user", "content": "Hello"}]}
CANDIDATES = {
    "tiny": {"context_window": 200, "supports": [], "input_price": 1.0, "output_price": 2.0},
    "seeing": {"context_window": 100_000, "supports": ["images"]},
    "skilled": {"context_window": 100_000, "supports": ["tools"]},
}


@pytest.fixture(scope="module")
def gateway(serve_module: Serve) -> Gateway:
    """A gateway whose candidates can do different things."""
    return serve_module(candidates=CANDIDATES, gateway={"max_request_bytes": 200_000})


def test_models_are_the_candidates_the_router_and_auto(gateway: Gateway) -> None:
    told = gateway.get("/v1/models").json
    assert told["object"] == "list"
    assert {model["id"] for model in told["data"]} == {"auto", "said", *CANDIDATES}
    for model in told["data"]:
        assert model["object"] == "model"
        assert {"created", "owned_by"} <= set(model)
        assert gateway.get(f"/v1/models/{model['id']}").json == model
    assert gateway.get("/v1/models/nobody").status == 404


def test_route_tells_the_decision_and_asks_nobody(gateway: Gateway, llm: Upstream) -> None:
    before = {name: len(llm.requests(name)) for name in CANDIDATES}
    by_messages = gateway.post("/v1/route", {"messages": [{"role": "user", "content": "seeing tiny"}]})
    by_query = gateway.post("/v1/route", {"query": "seeing tiny", "model": "said"})
    for answer in (by_messages, by_query):
        assert answer.status == 200
        assert answer.json["model_name"] == answer.json["predicted_llm"] == "seeing"
        assert answer.json["router"] == "said"
    assert {name: len(llm.requests(name)) for name in CANDIDATES} == before


def test_a_model_is_a_router_or_a_candidate(gateway: Gateway) -> None:
    assert gateway.chat("tiny", model="said").json["llmrouter"]["router"] == "said"
    named = gateway.chat("tiny", model="seeing").json["llmrouter"]
    assert (named["model_name"], named["router"]) == ("seeing", None)
    unknown = gateway.chat("tiny", model="gpt-9")
    assert unknown.status == 404
    assert unknown.error["code"] == "model_not_found"


@pytest.mark.parametrize(
    ("fields", "chosen"),
    [
        ({"messages": [{"role": "user", "content": "tiny"}]}, "tiny"),
        ({"messages": [{"role": "user", "content": "tiny " + "many words " * 500}]}, "seeing"),
        ({"max_tokens": 5000}, "seeing"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "skilled"),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "text", "text": "tiny skilled"},
                            {"type": "image_url", "image_url": {"url": "data:image/gif;base64,AA=="}},
                        ],
                    }
                ]
            },
            "seeing",
        ),
    ],
    ids=["small", "long", "long-answer", "tools", "image"],
)
def test_candidates_that_cannot_take_a_request_are_left_out(
    gateway: Gateway, fields: dict[str, Any], chosen: str
) -> None:
    body = {"model": "auto", "messages": [{"role": "user", "content": "tiny"}], **fields}
    for path in ("/v1/chat/completions", "/v1/route"):
        answer = gateway.post(path, body)
        assert answer.status == 200, answer.body
        told = answer.json.get("llmrouter", answer.json)
        assert told["model_name"] == chosen


def test_a_request_that_nobody_can_take_is_refused_with_the_reasons(gateway: Gateway) -> None:
    answer = gateway.chat("x", max_tokens=1_000_000)
    assert answer.status == 400
    assert all(name in answer.error["message"] for name in CANDIDATES)
    assert "context window" in answer.error["message"]
    alone = gateway.chat("x", model="tiny", tools=[{"type": "function", "function": {"name": "f"}}])
    assert alone.status == 400
    assert "tools" in alone.error["message"]


def test_healthz_answers_and_readyz_names_what_is_dead(serve: Serve, llm: Upstream) -> None:
    with refusing_port() as port:
        dead = {"api_endpoint": f"http://{HOST}:{port}/v1"}
        gateway = serve("alive", candidates={"alive": {}, "dead": dead})
        assert gateway.get("/healthz").status == 200
        ready = gateway.get("/readyz")
        assert ready.status == 200
        assert "dead" in json.dumps(ready.json)
        assert "alive" not in json.dumps(ready.json)
        alone = serve(candidates={"dead": dead})
        assert alone.get("/healthz").status == 200
        assert alone.get("/readyz").status == 503
        assert "dead" in json.dumps(alone.get("/readyz").json)


def test_metrics_count_requests_answers_tokens_and_faults(serve: Serve, llm: Upstream) -> None:
    gateway = serve("good", "bad", candidates={"good": {"input_price": 1.0, "output_price": 1.0}})
    llm.behave("bad", fails(500))
    assert gateway.chat("bad good").status == 200
    assert gateway.chat("good", model="nobody").status == 404
    answer = gateway.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    lines = dict(
        line.rsplit(" ", 1) for line in answer.body.decode().splitlines() if not line.startswith("#")
    )
    told = {
        'llmrouter_requests_total{route="/v1/chat/completions",status="200"}': 1,
        'llmrouter_requests_total{route="/v1/chat/completions",status="404"}': 1,
        'llmrouter_answers_total{model="good",router="said"}': 1,
        'llmrouter_upstream_faults_total{kind="status",model="bad"}': 1,
        'llmrouter_tokens_total{direction="prompt",model="good"}': 12,
        'llmrouter_cost_usd_total{model="good"}': 18e-6,
    }
    assert {name: float(lines[name]) for name in told} == pytest.approx(told)


def test_names_that_clients_make_up_do_not_become_metrics(gateway: Gateway) -> None:
    gateway.chat("x", model="made-up-by-a-client")
    gateway.get("/made/up/path")
    assert "made" not in gateway.get("/metrics").body.decode()


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        (b"", None),
        (b"\xff\xfe", None),
        (b"[]", None),
        (b"null", None),
        (b"[" * 100_000, None),
        (b'{"model": "auto"}', "messages"),
        ({**HELLO, "messages": []}, "messages"),
        ({**HELLO, "messages": "Hello"}, "messages"),
        ({**HELLO, "messages": [{"content": "Hello"}]}, "messages[0].role"),
        ({**HELLO, "messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({**HELLO, "model": 5}, "model"),
        ({**HELLO, "stream": "yes"}, "stream"),
        ({**HELLO, "max_tokens": -1}, "max_tokens"),
    ],
)
def test_a_wrong_body_is_refused_and_the_field_named(gateway: Gateway, body: Any, param: str | None) -> None:
    answer = gateway.post("/v1/chat/completions", body)
    assert answer.status == 400
    assert answer.error["type"] == "invalid_request_error"
    assert answer.error["param"] == param


def test_what_is_no_json_request_is_refused(gateway: Gateway) -> None:
    body = json.dumps(HELLO).encode()
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        assert gateway.send("POST", "/v1/chat/completions", body, {"Content-Type": kind}).status == 415
    assert gateway.send("POST", "/v1/chat/completions", body, {}).status == 415
    packed = {"Content-Encoding": "gzip"}
    assert gateway.post("/v1/chat/completions", body, **packed).status == 415
    wrong = gateway.get("/v1/chat/completions")
    assert (wrong.status, wrong.headers["allow"]) == (405, "POST")
    assert gateway.get("/v1/nothing").status == 404


def test_a_body_beyond_the_bound_is_refused_without_reading_it_all(gateway: Gateway) -> None:
    announced = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with socket.create_connection((HOST, gateway.port), timeout=SECONDS) as connection:
        connection.sendall(announced + b"Content-Length: 1000000000\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")
    with socket.create_connection((HOST, gateway.port), timeout=SECONDS) as connection:
        connection.sendall(announced + b"Transfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        connection.sendall(chunk * 4)
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")
    assert gateway.post("/v1/chat/completions", {**HELLO, "filler": "x" * 300_000}).status == 413


def test_a_body_that_does_not_come_is_not_waited_for_for_ever(serve: Serve) -> None:
    gateway = serve("one", gateway={"request_seconds": 0.5})
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with socket.create_connection((HOST, gateway.port), timeout=5) as connection:
        connection.sendall(head + b'Content-Length: 100\r\n\r\n{"model"')
        assert connection.recv(4096).startswith(b"HTTP/1.1 408 ")


def test_more_requests_than_allowed_at_once_are_sent_away_for_a_while(serve: Serve, llm: Upstream) -> None:
    gateway = serve("occupied", gateway={"max_concurrency": 1})
    llm.behave("occupied", hangs)
    before = len(llm.requests("occupied"))
    body = json.dumps(HELLO).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
    with socket.create_connection((HOST, gateway.port), timeout=SECONDS) as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        wait_for(lambda: len(llm.requests("occupied")) > before)
        answer = gateway.chat("occupied")
        assert answer.status == 429
        assert int(answer.headers["retry-after"]) >= 1
        # Who looks after the gateway still can.
        assert gateway.get("/healthz").status == gateway.get("/metrics").status == 200
    wait_for(lambda: gateway.post("/v1/route", {"query": "occupied"}).status == 200)


def test_the_access_log_tells_of_requests_and_nothing_of_their_content(serve: Serve) -> None:
    gateway = serve("one", candidates={"one": {"input_price": 1.0, "output_price": 1.0}})
    assert gateway.chat("one my-secret-prompt", user="my-secret-user").status == 200
    assert gateway.chat("one my-secret-prompt", stream=True).status == 200
    assert gateway.chat("x", model="my-secret-model").status == 404
    plain, streamed, wrong = gateway.entries(3)
    assert (plain["method"], plain["path"], plain["status"]) == ("POST", "/v1/chat/completions", 200)
    assert (plain["router"], plain["model"], plain["attempts"]) == ("said", "one", 1)
    assert (plain["prompt_tokens"], plain["completion_tokens"]) == (12, 6)
    assert plain["cost"] == pytest.approx(18e-6)
    assert plain["ms"] > 0
    assert streamed["stream"] is True
    assert (wrong["status"], wrong["error"]) == (404, "model_not_found")
    for text in (gateway.access_log(), gateway.output()):
        assert "my-secret" not in text
        assert "Machine" not in text


def test_without_keys_it_serves_this_machine_alone(gateway: Gateway, serve: Serve) -> None:
    # A page of the web may have a browser on this machine call it by a name that leads here.
    assert gateway.get("/v1/models", Host="evil.example").status == 403
    assert gateway.get("/v1/models", Host=f"localhost:{gateway.port}").status == 200
    with pytest.raises(AssertionError, match="--keys-file"):
        serve("one", arguments=("--host", "0.0.0.0"))


def test_a_configuration_that_is_wrong_is_told_without_a_traceback(serve: Serve) -> None:
    with pytest.raises(AssertionError, match="idle_secs") as told:
        serve("one", gateway={"idle_secs": 5})
    assert "Traceback" not in str(told.value)
