from __future__ import annotations

import json
import time
from typing import Any

import pytest

from llmrouter_testing.upstream import Reply, Upstream
from tests.server.serving import MESSAGES, Serve, StartRaw, answer_with, json_answer


def test_an_answer_names_the_candidate_and_tells_the_decision(serve: Serve) -> None:
    response = serve().chat()
    answer = response.json()
    assert response.status_code == 200
    assert answer["model"] == "small"
    assert answer["choices"][0]["message"]["content"] == "echo What is AI?"
    told = answer["llmrouter"]
    assert told["router"] == "randomrouter"
    assert told["router_version"] == "0.1.0"
    assert told["upstream_model"] == "upstream-vendor/small"
    assert told["attempts"] == 1
    assert told["cost"] == pytest.approx((3 * 1 + 4 * 2) / 1e6)
    assert told["latency_ms"] > 0
    assert told["fallback"] is None
    assert "query" not in told


def test_headers_tell_the_decision(serve: Serve) -> None:
    headers = serve().chat().headers
    assert headers["x-llmrouter-model"] == "small"
    assert headers["x-llmrouter-router"] == "randomrouter"
    assert headers["x-llmrouter-attempts"] == "1"
    assert headers["x-llmrouter-request-id"].startswith("req_")
    assert "x-llmrouter-fallback" not in headers


def test_a_request_reaches_the_upstream_with_its_model_and_all_other_fields(
    serve: Serve, upstream: Upstream
) -> None:
    fields: dict[str, Any] = {
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
        "temperature": 0.25,
        "seed": 2**60,
        "made_up": {"a": [1, None, "ü"]},
        "messages": [
            {
                "role": "user",
                "content": [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {}}],
            },
            {"role": "assistant", "content": None, "tool_calls": []},
            {"role": "user", "content": "Go on", "name": "x"},
        ],
    }

    def script(request: dict[str, Any]) -> str:
        raise Reply(400)

    upstream.script = script
    serve().chat(**fields, model="auto")
    assert upstream.requests == [{**fields, "model": "vendor/small"}]


def test_fields_pass_byte_for_byte(serve: Serve, raw_upstream: StartRaw) -> None:
    odd = b'{"id" : "x","choices":[ {"a" :1.0e0 , "b":"\\u00fc"} ], "model":"m","big":1234567890123456789012}'
    raw = raw_upstream(answer_with(json_answer(odd)))
    serving = serve({"one": {"api_endpoint": raw.url}})
    body = b'{"messages" : [{"role":"user","content":"\\u0041"} ],"x" : {"y" :1e3 ,"z":"\\/"}}'
    response = serving.client.post(
        "/v1/chat/completions", content=body, headers={"content-type": "application/json"}
    )
    sent = raw.requests[0].partition(b"\r\n\r\n")[2]
    assert b'[{"role":"user","content":"\\u0041"} ]' in sent
    assert b'{"y" :1e3 ,"z":"\\/"}' in sent
    assert b'[ {"a" :1.0e0 , "b":"\\u00fc"} ]' in response.content
    assert b"1234567890123456789012" in response.content


def test_a_candidate_is_asked_without_routing(serve: Serve, upstream: Upstream) -> None:
    answer = serve().chat(model="large").json()
    assert answer["model"] == "large"
    assert answer["llmrouter"]["router"] is None
    assert upstream.requests[0]["model"] == "vendor/large"


@pytest.mark.parametrize("name", ["auto", "randomrouter", None])
def test_a_router_is_asked_by_name_or_as_the_default(serve: Serve, name: str | None) -> None:
    assert serve().chat(model=name).json()["llmrouter"]["router"] == "randomrouter"


def test_an_unknown_model_is_an_error(serve: Serve) -> None:
    response = serve().chat(model="nobody")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "model_not_found"
    assert response.json()["error"]["param"] == "model"


def test_a_text_completion_goes_to_its_own_path(serve: Serve, raw_upstream: StartRaw) -> None:
    raw = raw_upstream(answer_with(json_answer(b'{"choices": [{"text": "yes"}], "model": "m"}')))
    answer = serve({"one": {"api_endpoint": raw.url}}).post("/v1/completions", prompt=["Is it?", "Or not?"])
    assert answer.json()["choices"] == [{"text": "yes"}]
    assert raw.requests[0].startswith(b"POST /v1/completions HTTP/1.1\r\n")


def test_parameters_of_a_candidate_are_added_where_the_client_sets_none(
    serve: Serve, upstream: Upstream
) -> None:
    llms = {"one": {"api_endpoint": upstream.url, "parameters": {"temperature": 0, "top_p": 0.5}}}
    serve(llms).chat(temperature=1)
    assert upstream.requests == [{"messages": MESSAGES, "model": "one", "temperature": 1, "top_p": 0.5}]


def test_the_key_of_the_service_goes_to_the_upstream_and_the_clients_does_not(
    serve: Serve, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEYS", '{"acme": ["one", "two"]}')
    serving = serve({"llm": {"api_endpoint": upstream.url, "service": "acme"}})
    for _ in range(3):
        serving.chat(key="sk-client")
    assert upstream.keys == ["one", "two", "one"]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 401, 403, 408])
def test_a_candidate_that_fails_is_replaced_by_the_next_choice(
    serve: Serve, upstream: Upstream, status: int
) -> None:
    def script(request: dict[str, Any]) -> str:
        if request["model"] == "vendor/small":
            raise Reply(status, {"error": {"message": "secret"}})
        return "fine"

    upstream.script = script
    serving = serve()
    response = serving.chat()
    assert response.status_code == 200
    told = response.json()["llmrouter"]
    assert (told["model_name"], told["attempts"], told["fallback"]) == ("large", 2, True)
    assert told["fallback_reason"].startswith("small: the upstream")
    assert response.headers["x-llmrouter-fallback"] == "true"
    kind = "refused" if status in (401, 403) else "status"
    assert serving.metric("upstream_faults_total", model="small", kind=kind) == 1


@pytest.mark.parametrize(
    ("status", "told"), [(429, 429), (500, 502), (502, 502), (503, 503), (504, 504), (401, 502), (408, 504)]
)
def test_when_all_fail_the_last_error_is_told_without_what_the_upstream_said(
    serve: Serve, upstream: Upstream, status: int, told: int
) -> None:
    def script(request: dict[str, Any]) -> str:
        raise Reply(status, {"error": {"message": "secret"}}, {"Retry-After": "7"})

    upstream.script = script
    response = serve().chat()
    assert response.status_code == told
    error = response.json()["error"]
    assert error["message"].startswith("large: ")
    assert "secret" not in response.text
    assert len(upstream.requests) == 2
    if told in (429, 503):
        assert response.headers["retry-after"] == "7"


@pytest.mark.parametrize("status", [400, 404, 409, 422])
def test_a_refusal_of_the_request_is_passed_on_and_nobody_else_is_asked(
    serve: Serve, upstream: Upstream, status: int
) -> None:
    error = {"error": {"message": "bad temperature", "type": "x", "param": "temperature", "code": "y"}}

    def script(request: dict[str, Any]) -> str:
        raise Reply(status, error)

    upstream.script = script
    response = serve().chat()
    assert (response.status_code, response.json()) == (status, error)
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("body", [b"<html>no</html>", b'{"detail": "no"}', b"", b'"no"', b'{"error": "no"}'])
def test_a_refusal_in_another_form_is_put_into_the_protocols(
    serve: Serve, upstream: Upstream, body: bytes
) -> None:
    def script(request: dict[str, Any]) -> str:
        raise Reply(400, body)

    upstream.script = script
    response = serve().chat()
    assert response.status_code == 400
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    if b"no" in body and body.startswith(b"{"):
        assert response.json()["error"]["message"] == "no"


def test_a_refusal_does_not_quote_the_gateways_key(
    serve: Serve, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_API_KEY", "sk-very-secret")

    def script(request: dict[str, Any]) -> str:
        raise Reply(400, {"error": {"message": "the key sk-very-secret may not"}})

    upstream.script = script
    response = serve({"llm": {"api_endpoint": upstream.url, "service": "acme"}}).chat()
    assert response.status_code == 400
    assert "sk-very-secret" not in response.text


def test_a_named_candidate_that_fails_is_not_replaced(serve: Serve, upstream: Upstream) -> None:
    def script(request: dict[str, Any]) -> str:
        raise Reply(500)

    upstream.script = script
    assert serve().chat(model="small").status_code == 502
    assert [request["model"] for request in upstream.requests] == ["vendor/small"]


def test_no_more_upstreams_are_called_than_max_attempts(serve: Serve, upstream: Upstream) -> None:
    def script(request: dict[str, Any]) -> str:
        raise Reply(500)

    upstream.script = script
    llms = {name: {"api_endpoint": upstream.url} for name in "abcd"}
    assert serve(llms, max_attempts=2).chat().status_code == 502
    assert len(upstream.requests) == 2


def test_a_failing_candidate_is_left_alone_for_a_while(serve: Serve, upstream: Upstream) -> None:
    def script(request: dict[str, Any]) -> str:
        if request["model"] == "vendor/small":
            raise Reply(500)
        return "fine"

    upstream.script = script
    serving = serve(cooldown_seconds=60)
    for _ in range(3):
        assert serving.chat().json()["model"] == "large"
    assert [request["model"] for request in upstream.requests] == ["vendor/small"] + 3 * ["vendor/large"]


def test_a_failing_candidate_is_tried_again_after_its_time(serve: Serve, upstream: Upstream) -> None:
    failures = iter([Reply(500)])

    def script(request: dict[str, Any]) -> str:
        if request["model"] == "vendor/small":
            for failure in failures:
                raise failure
        return "fine"

    upstream.script = script
    serving = serve(cooldown_seconds=0.05)
    assert serving.chat().json()["model"] == "large"
    time.sleep(0.06)
    assert serving.chat().json()["model"] == "small"


def test_an_upstream_that_asks_to_wait_is_not_called_meanwhile(serve: Serve, upstream: Upstream) -> None:
    def script(request: dict[str, Any]) -> str:
        raise Reply(429, None, {"Retry-After": "30"})

    upstream.script = script
    serving = serve()
    serving.chat()
    calls = len(upstream.requests)
    response = serving.chat()
    assert response.status_code == 429
    assert 25 <= int(response.headers["retry-after"]) <= 30
    assert response.json()["error"]["code"] == "candidates_cooling_down"
    assert len(upstream.requests) == calls


def test_where_nobody_asked_to_wait_a_failing_candidate_is_tried_rather_than_none(
    serve: Serve, upstream: Upstream
) -> None:
    failures = iter([Reply(500)])

    def script(request: dict[str, Any]) -> str:
        for failure in failures:
            raise failure
        return "fine"

    upstream.script = script
    serving = serve({"one": {"api_endpoint": upstream.url}}, cooldown_seconds=60)
    assert serving.chat().status_code == 502
    assert serving.chat().status_code == 200


def test_candidates_that_cannot_take_images_are_left_out(serve: Serve, upstream: Upstream) -> None:
    upstream.script = lambda request: "seen"
    llms = {
        "blind": {"api_endpoint": upstream.url, "supports": []},
        "seeing": {"api_endpoint": upstream.url, "supports": ["images"]},
    }
    content = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]

    def script(request: dict[str, Any]) -> str:
        raise Reply(400, {"error": {"message": "reached"}})

    upstream.script = script
    serving = serve(llms)
    serving.chat(messages=[{"role": "user", "content": content}])
    assert upstream.requests[0]["model"] == "seeing"
    response = serving.chat(messages=[{"role": "user", "content": content}], tools=[{"type": "function"}])
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["code"] == "no_suitable_candidate"
    assert "blind: it takes no" in error["message"]
    assert "seeing: it takes no tools" in error["message"]


def test_candidates_with_too_small_a_window_are_left_out(serve: Serve, upstream: Upstream) -> None:
    llms = {
        "short": {"api_endpoint": upstream.url, "context_window": 100},
        "long": {"api_endpoint": upstream.url, "context_window": 1000},
    }
    serving = serve(llms)

    def ask(letters: int, **fields: Any) -> Any:
        return serving.chat(messages=[{"role": "user", "content": "x" * letters}], **fields)

    assert ask(200).json()["model"] == "short"
    assert ask(2000).json()["model"] == "long"
    assert ask(200, max_tokens=80).json()["model"] == "long"
    response = ask(20_000)
    assert response.status_code == 400
    assert "short: its context window is 100 tokens" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"content": "hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ["hi"]}]}, "messages[0].content"),
        ({"model": 3}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"tools": {}}, "tools"),
        ({"n": 1000}, "n"),
    ],
)
def test_a_field_that_is_wrong_is_named(serve: Serve, fields: dict[str, Any], param: str) -> None:
    response = serve().chat(**fields)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param
    assert response.json()["error"]["type"] == "invalid_request_error"


def test_messages_must_be_there(serve: Serve) -> None:
    response = serve().post("/v1/chat/completions", model="auto")
    assert (response.status_code, response.json()["error"]["param"]) == (400, "messages")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"messages": "\xff"}', b"[" * 100_000])
def test_a_body_that_is_no_request_is_an_error(serve: Serve, body: bytes) -> None:
    response = serve().client.post(
        "/v1/chat/completions", content=body, headers={"content-type": "application/json"}
    )
    assert response.status_code == 400
    assert response.json()["error"]["code"] in ("invalid_json", "invalid_value")


def test_what_the_router_sees_follows_the_mode(serve: Serve, install: Any) -> None:
    install(
        "llmrouter-fake",
        {
            "fake_plugin": """
            from llmrouter import RouterSpec, hookimpl

            @hookimpl
            def llmrouter_register_routers():
                return [RouterSpec("fake", "fake_router:FakeRouter")]
            """,
            "fake_router": """
            from llmrouter.models.router import Router

            class FakeRouter(Router):
                def route_single(self, query_input):
                    return {"model_name": "small", "seen": query_input["query"]}
            """,
        },
        {"fake": "fake_plugin"},
    )
    messages = [
        {"role": "user", "content": "One"},
        {"role": "assistant", "content": "Two"},
        {"role": "user", "content": "Three"},
    ]

    def seen(**settings: Any) -> Any:
        return serve(router="fake", **settings).chat(messages=messages).json()["llmrouter"]["extra"]["seen"]

    assert seen() == "Three"
    assert seen(mode="full_context") == "user: One\nassistant: Two\nuser: Three"


def test_a_router_that_fails_is_an_error_that_hides_why(serve: Serve, write: Any) -> None:
    write(
        "custom_routers/bad/router.py",
        """
        from llmrouter.models.router import Router

        class BadRouter(Router):
            def route_single(self, query_input):
                raise ValueError("a secret path")
        """,
    )
    response = serve(router="bad").chat()
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "router_failed"
    assert "secret" not in response.text


def test_an_answer_is_counted(serve: Serve) -> None:
    serving = serve()
    serving.chat()
    assert serving.metric("answers_total", router="randomrouter", model="small") == 1
    assert serving.metric("tokens_total", model="small", direction="prompt") == 3
    assert serving.metric("tokens_total", model="small", direction="completion") == 4
    assert serving.metric("cost_usd_total", model="small") == pytest.approx(11e-6)
    assert serving.metric("requests_total", route="/v1/chat/completions", status="200") == 1
    assert serving.metric("request_seconds_count", route="/v1/chat/completions") == 1


def test_the_cost_is_unknown_where_the_price_or_the_tokens_are(serve: Serve, raw_upstream: StartRaw) -> None:
    raw = raw_upstream(answer_with(json_answer(json.dumps({"choices": []}).encode())))
    serving = serve({"one": {"api_endpoint": raw.url, "input_price": 1, "output_price": 1}})
    assert serving.chat().json()["llmrouter"]["cost"] is None
