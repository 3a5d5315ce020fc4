"""What every request passes: routes, access, bounds, the log."""

from __future__ import annotations

import json
import socket
import threading
from typing import Any

import pytest

from llmrouter_server.budgets import Budgets
from llmrouter_server.key_file import create_key, revoke_key
from llmrouter_testing.upstream import Upstream
from tests.server.serving import COST, LOG, MESSAGES, Serve, most_of, wait_until


def test_an_unknown_path_is_an_error_in_the_protocols_form(serve: Serve) -> None:
    response = serve().client.get("/v1/nothing")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "unknown_path"
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/chat/completions", "POST"),
        ("POST", "/v1/models", "GET"),
        ("DELETE", "/v1/models/small", "GET"),
        ("HEAD", "/healthz", "GET"),
    ],
)
def test_another_method_is_refused_with_those_that_are_allowed(
    serve: Serve, method: str, path: str, allowed: str
) -> None:
    response = serve().client.request(method, path)
    assert (response.status_code, response.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
def test_a_body_of_another_kind_is_refused(serve: Serve, kind: str | None) -> None:
    headers = {"content-type": kind} if kind else {}
    response = serve().client.post("/v1/chat/completions", content=b"{}", headers=headers)
    assert (response.status_code, response.json()["error"]["code"]) == (415, "not_json")


def test_a_content_type_may_have_parameters(serve: Serve) -> None:
    headers = {"content-type": "Application/JSON; charset=utf-8"}
    body = json.dumps({"messages": MESSAGES})
    assert serve().client.post("/v1/chat/completions", content=body, headers=headers).status_code == 200


def test_a_compressed_body_is_refused(serve: Serve) -> None:
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    response = serve().client.post("/v1/chat/completions", content=b"{}", headers=headers)
    assert (response.status_code, response.json()["error"]["code"]) == (415, "compressed")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_refused(serve: Serve, chunked: bool) -> None:
    serving = serve(max_request_bytes=2048)
    body = b" " * 1_000_000
    response = serving.client.post(
        "/v1/chat/completions",
        content=iter([body[:500_000], body[500_000:]]) if chunked else body,
        headers={"content-type": "application/json"},
    )
    assert (response.status_code, response.json()["error"]["code"]) == (413, "body_too_large")
    assert response.headers["connection"] == "close"


@pytest.mark.parametrize("sent", [b"", b'{"messages":'])
def test_a_body_that_does_not_arrive_is_given_up(serve: Serve, sent: bytes) -> None:
    serving = serve(request_seconds=0.2)
    with socket.create_connection(("127.0.0.1", serving.port)) as client:
        client.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n" + sent
        )
        client.settimeout(5)
        assert b"408 Request Timeout" in client.recv(4096)


def test_a_client_that_goes_away_within_its_body_is_logged(serve: Serve) -> None:
    serving = serve()
    with socket.create_connection(("127.0.0.1", serving.port)) as client:
        client.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        )
    assert serving.entries()[0]["status"] == 499


def test_more_requests_than_allowed_are_refused_and_those_within_are_answered(
    serve: Serve, upstream: Upstream
) -> None:
    go = threading.Event()

    def script(request: dict[str, Any]) -> str:
        go.wait(60)
        return "fine"

    upstream.script = script
    serving = serve(max_concurrency=2)
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda: statuses.append(serving.chat().status_code)) for _ in range(2)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(upstream.requests) == 2)
    response = serving.chat()
    assert (response.status_code, response.headers["retry-after"]) == (429, "1")
    assert response.json()["error"]["code"] == "too_many_requests"
    # What costs little is answered all the same.
    assert serving.client.get("/healthz").status_code == 200
    go.set()
    for thread in threads:
        thread.join()
    assert statuses == [200, 200]
    assert serving.chat().status_code == 200


def test_without_keys_only_names_of_this_machine_are_answered(serve: Serve) -> None:
    serving = serve()
    for host, status in [
        ("localhost", 200),
        ("127.0.0.1:99", 200),
        ("[::1]:8000", 200),
        ("LOCALHOST:1", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example:80", 403),
        ("localhost.evil.example", 403),
    ]:
        assert serving.client.get("/v1/models", headers={"host": host}).status_code == status, host


class TestKeys:
    @pytest.fixture
    def key(self) -> str:
        return create_key("keys.json", "ann")

    @pytest.mark.parametrize(
        "header", [None, "", "Bearer", "Basic abc", "Bearer sk-wrong", "Bearer sk-ü".encode()]
    )
    def test_without_a_known_key_nothing_is_answered(self, serve: Serve, key: str, header: Any) -> None:
        serving = serve(keys_file="keys.json")
        headers = {} if header is None else {"authorization": header}
        for method, path in [
            ("POST", "/v1/chat/completions"),
            ("POST", "/v1/completions"),
            ("POST", "/v1/route"),
            ("GET", "/v1/models"),
            ("GET", "/v1/models/auto"),
            ("GET", "/metrics"),
        ]:
            response = serving.client.request(method, path, headers=headers)
            assert response.status_code == 401, path
            assert response.json()["error"]["code"] == "invalid_api_key"
            assert response.headers["www-authenticate"] == "Bearer"

    def test_health_and_the_description_need_no_key(self, serve: Serve, key: str) -> None:
        serving = serve(keys_file="keys.json")
        for path in ("/healthz", "/readyz", "/openapi.json"):
            assert serving.client.get(path).status_code == 200

    def test_with_a_key_requests_are_answered_under_any_host(self, serve: Serve, key: str) -> None:
        serving = serve(keys_file="keys.json")
        assert serving.chat(key).status_code == 200
        headers = {"authorization": f"bearer {key}", "host": "llm.example"}
        assert serving.client.get("/v1/models", headers=headers).status_code == 200

    def test_a_key_does_only_what_its_scopes_allow(self, serve: Serve) -> None:
        reader = create_key("keys.json", "reader", ["read"])
        asker = create_key("keys.json", "asker", ["chat"])
        serving = serve(keys_file="keys.json")
        assert serving.chat(asker).status_code == 200
        response = serving.chat(reader)
        assert (response.status_code, response.json()["error"]["code"]) == (403, "scope_missing")
        for key, status in ((reader, 200), (asker, 403)):
            headers = {"authorization": f"Bearer {key}"}
            assert serving.client.get("/v1/models", headers=headers).status_code == status

    def test_a_budget_is_spent_and_then_refused(self, serve: Serve, upstream: Upstream) -> None:
        asked = {"max_tokens": 2}
        key = create_key("keys.json", "ann", budget_usd=most_of(**asked) + 1.5 * COST)
        serving = serve(keys_file="keys.json")
        assert serving.chat(key, **asked).status_code == 200
        assert serving.chat(key, **asked).status_code == 200
        response = serving.chat(key, **asked)
        assert response.status_code == 429
        assert response.json()["error"]["code"] == response.json()["error"]["type"] == "insufficient_quota"
        assert len(upstream.requests) == 2

    def test_a_request_that_may_cost_more_than_is_left_is_refused(
        self, serve: Serve, upstream: Upstream
    ) -> None:
        key = create_key("keys.json", "ann", budget_usd=1e-3)
        serving = serve(keys_file="keys.json")
        assert serving.chat(key, max_tokens=10_000).status_code == 429
        assert serving.chat(key, max_tokens=10).status_code == 200
        assert len(upstream.requests) == 1

    def test_what_is_in_flight_is_set_aside(self, serve: Serve, upstream: Upstream) -> None:
        go = threading.Event()

        def script(request: dict[str, Any]) -> str:
            go.wait(60)
            return "fine"

        upstream.script = script
        key = create_key("keys.json", "ann", budget_usd=1e-3)
        serving = serve(keys_file="keys.json")
        thread = threading.Thread(target=serving.chat, args=[key], kwargs={"max_tokens": 400})
        thread.start()
        wait_until(lambda: bool(upstream.requests))
        assert serving.chat(key, max_tokens=400).status_code == 429
        go.set()
        thread.join()
        assert serving.chat(key, max_tokens=400).status_code == 200

    def test_a_key_with_a_budget_goes_only_where_the_price_is_known(
        self, serve: Serve, upstream: Upstream
    ) -> None:
        key = create_key("keys.json", "ann", budget_usd=1)
        llms = {
            "unpriced": {"api_endpoint": upstream.url, "cost": 1},
            "priced": {"api_endpoint": upstream.url, "input_price": 1, "output_price": 1},
        }
        serving = serve(llms, keys_file="keys.json")
        assert serving.chat(key).json()["model"] == "priced"
        response = serving.chat(key, model="unpriced")
        assert response.status_code == 400
        assert "its price is unknown" in response.json()["error"]["message"]

    @pytest.mark.parametrize("asked", [False, True])
    def test_a_stream_is_charged_and_tells_its_tokens_only_to_who_asked(
        self, serve: Serve, upstream: Upstream, asked: bool
    ) -> None:
        key = create_key("keys.json", "ann", budget_usd=1)
        serving = serve(keys_file="keys.json")
        fields = (
            {"stream_options": {"include_usage": True, "x": 1}} if asked else {"stream_options": {"x": 1}}
        )
        response = serving.chat(key, stream=True, **fields)
        assert upstream.requests[0]["stream_options"] == {"x": 1, "include_usage": True}
        assert ('"usage"' in response.text) == asked
        assert response.text.endswith("data: [DONE]\n\n")
        assert isinstance(serving.gateway.budgets, Budgets)
        assert serving.gateway.keys is not None
        ann = next(iter(serving.gateway.keys))
        assert serving.gateway.budgets.spent(ann) == pytest.approx(11e-6)

    def test_the_log_names_the_key_and_never_shows_it(self, serve: Serve, key: str) -> None:
        serving = serve(keys_file="keys.json")
        serving.chat(key)
        assert serving.entries()[0]["key"] == "ann"
        assert key not in LOG.read_text()

    def test_a_key_file_may_be_replaced_while_requests_are_answered(self, serve: Serve, key: str) -> None:
        from llmrouter_server.auth import Keys

        serving = serve(keys_file="keys.json")
        revoke_key("keys.json", "ann")
        other = create_key("keys.json", "bob")
        serving.app.gateway = serving.gateway.with_keys(Keys("keys.json"))
        assert serving.chat(key).status_code == 401
        assert serving.chat(other).status_code == 200


def test_the_log_tells_what_happened_and_nothing_of_the_content(serve: Serve) -> None:
    serving = serve()
    response = serving.chat(messages=[{"role": "user", "content": "a secret question"}])
    entry = serving.entries()[0]
    assert entry["id"] == response.headers["x-llmrouter-request-id"]
    assert entry["time"].endswith("Z")
    assert (entry["method"], entry["path"], entry["status"]) == ("POST", "/v1/chat/completions", 200)
    assert (entry["router"], entry["model"], entry["attempts"]) == ("randomrouter", "small", 1)
    assert (entry["prompt_tokens"], entry["completion_tokens"]) == (3, 4)
    assert entry["ms"] >= entry["first_byte_ms"] > entry["decide_ms"] > 0
    assert entry["bytes_in"] > 20
    assert entry["bytes_out"] == len(response.content)
    assert entry["error"] is None
    assert "secret" not in LOG.read_text()


def test_a_fault_of_the_gateway_itself_is_told_without_its_cause(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from llmrouter_server.report import Report

    def fail(report: Report) -> None:
        raise LookupError("a secret")

    monkeypatch.setattr(Report, "encode", fail)
    response = serve().chat()
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "internal_error"
    assert "secret" not in response.text
    assert "a secret" in caplog.text


def test_metrics_are_told_as_text(serve: Serve) -> None:
    serving = serve()
    serving.chat()
    response = serving.client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    counted = 'llmrouter_answers_total{model="small",router="randomrouter"} 1.0'
    wait_until(lambda: counted in serving.client.get("/metrics").text)


def test_many_requests_at_once_get_each_its_own_answer(serve: Serve, upstream: Upstream) -> None:
    serving = serve()
    answers: dict[str, str] = {}

    def ask(number: int) -> None:
        for turn in range(5):
            text = f"{number}-{turn}"
            messages = [{"role": "user", "content": text}]
            answers[text] = serving.chat(messages=messages).json()["choices"][0]["message"]["content"]

    threads = [threading.Thread(target=ask, args=[number]) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 80
    assert all(answer == f"echo {text}" for text, answer in answers.items())
