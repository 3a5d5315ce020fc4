"""What clients send reaches the upstream, and what it answers reaches them, as it was."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.gateway.client import Gateway
from tests.gateway.conftest import Serve
from tests.gateway.upstream import Upstream, completion, says, streams, text_completion

PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA="
TOOL = {
    "type": "function",
    "function": {"name": "weather", "strict": True, "parameters": {"type": "object", "properties": {}}},
}
# Numbers and spellings that a round through Python's floats and dicts would change.
ODD = (
    '"big": 123456789012345678901234567890, "precise": 0.1000000000000000055511151231257827, "whole": 1.0,'
    ' "exponent": 1E+2, "negative": -0.0, "escaped": "\\u00e9\\/\\ud83d\\ude00", "twice": [1 , 2,  3],'
    ' "vendor_extension": {"z": 1, "a": {"deep": [null, true, {"": 1e-400}]}}'
)


@pytest.fixture(scope="module")
def gateway(serve_module: Serve) -> Gateway:
    """A gateway with one candidate."""
    return serve_module("one")


def _fields(body: bytes) -> dict[str, str]:
    """The top-level fields of an object, each as it is written."""
    decoder, text = json.JSONDecoder(), body.decode()
    fields: dict[str, str] = {}
    place = text.index("{") + 1
    while True:
        while text[place] in " ,\n":
            place += 1
        if text[place] == "}":
            return fields
        name, place = decoder.raw_decode(text, place)
        while text[place] in " :":
            place += 1
        _, end = decoder.raw_decode(text, place)
        fields[name], place = text[place:end], end


def test_every_other_field_reaches_the_upstream_as_it_was_written(gateway: Gateway, llm: Upstream) -> None:
    messages = '[{"role":"user", "content": "h\\u00e9llo", "name":"x", "unknown" : 1.50}]'
    sent = f'{{"model": "auto", "messages": {messages}, {ODD}, "temperature": 0.70}}'.encode()
    assert gateway.post("/v1/chat/completions", sent).status == 200
    came = _fields(llm.last("one").body)
    assert came.pop("model") == '"upstream-one"'
    expected = _fields(sent)
    del expected["model"]
    assert came == expected


def test_every_other_field_of_an_answer_reaches_the_client_as_it_was_written(
    gateway: Gateway, llm: Upstream
) -> None:
    told = json.dumps(completion(), indent=2)[:-1].rstrip() + f",\n {ODD}}}"
    llm.behave("one", says(told.encode()))
    came = _fields(gateway.chat("Hello").body)
    assert came.pop("model") == '"one"'
    assert json.loads(came.pop("llmrouter"))["upstream_model"] == "upstream-llm"
    expected = _fields(told.encode())
    del expected["model"]
    assert came == expected


def test_events_of_a_stream_reach_the_client_as_they_were_written(gateway: Gateway, llm: Upstream) -> None:
    chunk = (
        '{"id":"c", "model": "upstream-llm", "choices": [{"index":0,"delta":{"content":"é"}}], ' + ODD + "}"
    )
    llm.behave(
        "one", streams([f"data: {chunk}\n\n".encode(), f"data:{chunk}\r\n\r\n".encode(), b"data: [DONE]\n\n"])
    )
    answer = gateway.chat("Hello", stream=True)
    first, second, done = answer.body.split(b"\n\n")[:-1]
    assert done == b"data: [DONE]"
    expected = _fields(chunk.encode())
    del expected["model"]
    for data in (first, second):
        came = _fields(data.removeprefix(b"data: "))
        assert came.pop("model") == '"one"'
        came.pop("llmrouter", None)
        assert came == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "weather"}}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}},
        {"functions": [{"name": "old"}], "function_call": "auto"},
        {"logprobs": True, "top_logprobs": 5, "seed": 2**53 + 1, "stop": ["a", "b"], "user": "someone"},
        {"reasoning_effort": "low", "modalities": ["text"], "metadata": {"k": "v"}, "store": False},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_fields_of_the_protocol_pass_through(gateway: Gateway, llm: Upstream, fields: dict[str, Any]) -> None:
    assert gateway.chat("Hello", **fields).status == 200
    came = llm.last("one").json
    assert {name: came[name] for name in fields} == fields


def test_images_and_the_turns_of_tools_pass_through(gateway: Gateway, llm: Upstream) -> None:
    image = {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}}
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "What is this?"}, image]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
    ]
    body = {"model": "auto", "messages": messages, "tools": [TOOL]}
    assert gateway.post("/v1/chat/completions", body).status == 200
    assert llm.last("one").json == {**body, "model": "upstream-one"}


def test_tool_calls_of_an_answer_pass_through(gateway: Gateway, llm: Upstream) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"a": 1}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    llm.behave("one", says(json.dumps(completion(choices=[choice])).encode()))
    assert gateway.chat("Hello", tools=[TOOL]).json["choices"] == [choice]


def test_text_completions_pass_through(gateway: Gateway, llm: Upstream) -> None:
    llm.behave("one", says(json.dumps(text_completion()).encode()))
    sent = {"model": "auto", "prompt": "Once", "suffix": "end", "echo": True}
    answer = gateway.post("/v1/completions", sent)
    assert answer.status == 200
    assert answer.json["choices"] == text_completion()["choices"]
    assert answer.json["llmrouter"]["model_name"] == "one"
    came = llm.last("one")
    assert came.path == "/v1/completions"
    assert came.json == {**sent, "model": "upstream-one"}


def test_headers_of_the_client_do_not_reach_the_upstream(gateway: Gateway, llm: Upstream) -> None:
    headers = {
        "Cookie": "session=1",
        "X-Forwarded-For": "10.0.0.1",
        "OpenAI-Organization": "org",
        "X-Own": "1",
    }
    body = {"model": "auto", "messages": [{"role": "user", "content": "Hello"}]}
    gateway.post("/v1/chat/completions", body, Authorization="Bearer sk-of-the-client", **headers)
    came = llm.last("one").headers
    assert not {"cookie", "authorization", "openai-organization", "x-own"} & set(came)
    assert "sk-of-the-client" not in json.dumps(came)


def test_the_key_of_the_service_reaches_its_own_upstream_alone(serve: Serve, llm: Upstream) -> None:
    gateway = serve(
        candidates={"mine": {"service": "acme"}, "other": {"service": "rival"}},
        environ={"API_KEYS": json.dumps({"acme": "sk-acme-1234"})},
    )
    assert gateway.chat("mine").status == 200
    assert gateway.chat("other").status == 200
    assert llm.last("mine").headers["authorization"] == "Bearer sk-acme-1234"
    assert "authorization" not in llm.last("other").headers


def test_an_answer_is_not_compressed_behind_the_clients_back(gateway: Gateway, llm: Upstream) -> None:
    llm.behave("one", says(json.dumps(completion()).encode()))
    answer = gateway.chat("Hello")
    assert "content-encoding" not in answer.headers
    assert int(answer.headers["content-length"]) == len(answer.body)


def test_parameters_of_a_candidate_are_added_where_the_client_sets_them_not(
    serve: Serve, llm: Upstream
) -> None:
    gateway = serve(candidates={"tuned": {"parameters": {"temperature": 0.5, "seed": 7}}})
    assert gateway.chat("tuned", temperature=0.9).status == 200
    came = llm.last("tuned").json
    assert (came["temperature"], came["seed"], came["model"]) == (0.9, 7, "upstream-tuned")
