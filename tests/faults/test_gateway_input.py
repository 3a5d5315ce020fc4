"""What clients send that cannot be right is refused with a 4xx that names the field, and never a 500."""

from __future__ import annotations

import contextlib
import json
import socket
from typing import Any

import pytest

from llmrouter_testing.upstream import Upstream
from tests.server.serving import MESSAGES, Serve, Serving

CHAT, TEXT, ROUTE = "/v1/chat/completions", "/v1/completions", "/v1/route"
ASKED = b'"messages":' + json.dumps(MESSAGES).encode()


def ask(serving: Serving, body: bytes, path: str = CHAT) -> tuple[int, str | None, str | None]:
    """Return the status, the code and the field that an error names."""
    response = serving.client.post(path, content=body, headers={"content-type": "application/json"})
    error = response.json().get("error") or {}
    assert {"message", "type", "param", "code"} == set(error) or response.status_code == 200
    return response.status_code, error.get("code"), error.get("param")


NO_JSON = {
    "nothing": b"",
    "spaces": b" \n",
    "a byte-order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"messages": []}'.encode("utf-16"),
    "Latin-1 in what is read": b'{"messages":[{"role":"user","content":"\xe9"}]}',
    "Latin-1 in what is passed on": b'{%b,"user":"\xe9"}' % ASKED,
    "NaN": b'{%b,"temperature":NaN}' % ASKED,
    "Infinity": b'{%b,"max_tokens":-Infinity}' % ASKED,
    "half a surrogate pair": b'{"messages":[{"role":"user","content":"\\ud83d"}]}',
    "half a pair in what is passed on": b'{%b,"user":"\\udc00"}' % ASKED,
    "half a pair in a name": b'{%b,"\\udc00":1}' % ASKED,
    "10 MB of objects": b'{"a":' * (2 << 20),
    "deep nesting in what is passed on": b'{%b,"x":%b%b}' % (ASKED, b"[" * 100_000, b"]" * 100_000),
    "an open end": b'{"messages":[',
    "more behind it": b"{%b}{}" % ASKED,
}


def test_a_body_that_is_no_json_is_refused(serve: Serve, upstream: Upstream) -> None:
    serving = serve()
    for what, body in NO_JSON.items():
        assert ask(serving, body)[:2] == (400, "invalid_json"), what
        # There a field may be found missing first.
        assert ask(serving, body, TEXT)[0] == ask(serving, body, ROUTE)[0] == 400, what
    for body in (b"null", b"1", b'"x"', b"[]", b"[" * (10 << 20)):
        assert ask(serving, body) == (400, "invalid_value", None)
    assert upstream.requests == []


HUGE = "1" + "0" * 400
# Values that a field cannot have, with the field that is named where it is not that one.
VALUES: dict[str, list[Any]] = {
    "messages": ["1", "null", "{}", '"x"', "[]"],
    "messages[0]": ["1", "null", "[]", '"x"'],
    "messages[0].role": ["1", "null", "[]", "{}"],
    "messages[0].content": ["1", "true", "{}", "[1]", '["x"]', "[null]"],
    "messages[0].content[0].type": ["1", "[]", "{}"],
    "messages[0].content[0].text": ["1", "[]", "{}"],
    "max_tokens": [
        "0",
        "-1",
        "-0",
        "0.5",
        "1.5",
        "1e-400",
        "1e308",
        "1e400",
        HUGE,
        "-" + HUGE,
        "true",
        '"5"',
        "[]",
    ],
    "max_completion_tokens": ["0", "-1", "1.5", "1e308", "1e400", HUGE, '"1"', "false"],
    "n": ["0", "-1", "1.5", "129", "1e308", HUGE, '"1"', "true"],
    "best_of": ["0", "-1", "1.5", "129", "1e308", HUGE, '"1"', "true"],
    "stream": ["1", '"true"', "[]"],
    "stream_options": ["1", "[]", '"x"'],
    "stream_options.include_usage": ["1", '"yes"', "[]"],
    "model": ["1", "[]", "true", f'"{"x" * 1025}"'],
    "tools": ["1", "{}", '"x"'],
    "tools[0]": ["1", "[]", "null"],
    "functions": ["1", "{}"],
    "functions[0]": ["1", "[]"],
}
SHAPES = {
    "messages": "{%s}",
    "messages[0]": '{"messages":[%s]}',
    "messages[0].role": '{"messages":[{"role":%s}]}',
    "messages[0].content": '{"messages":[{"role":"user","content":%s}]}',
    "messages[0].content[0].type": '{"messages":[{"role":"user","content":[{"type":%s}]}]}',
    "messages[0].content[0].text": '{"messages":[{"role":"user","content":[{"type":"text","text":%s}]}]}',
    "stream_options.include_usage": '{"stream_options":{"include_usage":%s},' + ASKED.decode() + "}",
    "tools[0]": '{"tools":[%s],' + ASKED.decode() + "}",
    "functions[0]": '{"functions":[%s],' + ASKED.decode() + "}",
}


def test_a_value_that_cannot_be_right_is_refused_and_its_field_named(
    serve: Serve, upstream: Upstream
) -> None:
    serving = serve()
    for field, values in VALUES.items():
        for value in values:
            if field == "messages":
                body = f'{{"messages":{value}}}'
            else:
                body = SHAPES.get(field, f'{{"{field}":%s,{ASKED.decode()}}}') % value
            assert ask(serving, body.encode()) == (400, "invalid_value", field), body[:200]
    assert upstream.requests == []


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ("1", "prompt"),
        ("null", "prompt"),
        ("[]", "prompt"),
        ("[[]]", "prompt[0]"),
        ("[null]", "prompt[0]"),
        ("[1.5]", "prompt[0]"),
        ("[-1]", "prompt[0]"),
        (f"[{2**63}]", "prompt[0]"),
        (f"[{HUGE}]", "prompt[0]"),
        ('[["a"]]', "prompt[0][0]"),
        ("[[-1]]", "prompt[0][0]"),
    ],
)
def test_a_prompt_that_cannot_be_right_is_refused(serve: Serve, value: str, field: str) -> None:
    assert ask(serve(), f'{{"prompt":{value}}}'.encode(), TEXT) == (400, "invalid_value", field)


@pytest.mark.parametrize("space", ["", " "])
def test_a_field_that_is_there_twice_is_refused(serve: Serve, upstream: Upstream, space: str) -> None:
    serving = serve()
    for twice in ('"max_tokens":1,"max_tokens":99', '"user":"a","us\\u0065r":"b"', '"n":1,"n":1'):
        field = "user" if "user" in twice else twice[1:].partition('"')[0]
        body = f"{{{space}{ASKED.decode()},{space}{twice}}}".encode()
        assert ask(serving, body) == (400, "invalid_value", field)
    assert upstream.requests == []


def test_what_is_right_in_an_unusual_form_is_passed_on_as_it_came(serve: Serve, upstream: Upstream) -> None:
    serving = serve()
    for fields in (
        '"max_tokens": 5.0, "n": 1e0',
        '"max_tokens": null, "stream": null, "stream_options": null, "tools": null, "best_of": null',
        f'"temperature": 1e-400, "seed": {2**70}, "top_p": -1, "x": {{"y": [NULL]}}'.replace("NULL", "null"),
        '"user": "\\ud83d\\ude00 \\u0000 \\\\ud83d é"',
    ):
        body = f"{{{fields}, {ASKED.decode()}}}"
        assert ask(serving, body.encode())[0] == 200, fields
        sent = upstream.requests[-1]
        assert {name: sent[name] for name in json.loads(body)} == json.loads(body)


HOST = b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
POST = b"POST /v1/chat/completions" + HOST + b"Content-Type: application/json\r\n"
# What goes over the wire, and the status that answers it.
HEADS = {
    "the start of TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "no version that there is": (b"GET /healthz HTTP/9.9\r\n\r\n", 400),
    "a method that there is not": (b"FOO / HTTP/1.1\r\n\r\n", 400),
    "a tunnel": (b"CONNECT localhost:1" + HOST + b"\r\n", 400),
    "a path that is none": (b"OPTIONS *" + HOST + b"\r\n", 404),
    "no path": (b"GET http://localhost" + HOST + b"\r\n", 400),
    "bytes in a path": (b"GET /v1/\xff\xfe" + HOST + b"\r\n", 400),
    "NUL in a path": (b"GET /v1/models/\x00" + HOST + b"\r\n", 400),
    "an escaped NUL in a path": (b"GET /v1/models/%00x%0a" + HOST + b"\r\n", 404),
    "a path with broken escapes": (b"GET /v1/models/%zz%%%" + HOST + b"\r\n", 404),
    "an escaped half of a pair in a path": (b"GET /v1/models/%ed%a0%80" + HOST + b"\r\n", 404),
    "escapes that are not UTF-8": (b"GET /v1/models/%ff" + HOST + b"\r\n", 404),
    "a query with broken escapes": (b"GET /healthz?%zz=%ff&%00=%00&&=" + HOST + b"\r\n", 200),
    "bytes in a query": (b"GET /healthz?\xff" + HOST + b"\r\n", 400),
    "a long path": (b"GET /" + b"x" * 60_000 + HOST + b"\r\n", 404),
    "bytes in a host": (b"GET /healthz HTTP/1.1\r\nHost: \xff\r\nConnection: close\r\n\r\n", 403),
    "bytes in a key": (b"GET /healthz" + HOST + b"Authorization: Bearer \xff\xfe\r\n\r\n", 200),
    "control characters in a key": (b"GET /healthz" + HOST + b"Authorization: \x01\r\n\r\n", 400),
    "bytes in a trace": (b"GET /healthz" + HOST + b"traceparent: \xff\r\ntracestate: \xff\r\n\r\n", 200),
    "a folded header": (b"GET /healthz" + HOST + b"X: a\r\n b\r\n\r\n", 400),
    "a header with a space in its name": (b"GET /healthz" + HOST + b"X Y: a\r\n\r\n", 400),
    "an upgrade": (
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        200,
    ),
    "two lengths": (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}", 400),
    "a negative length": (POST + b"Content-Length: -1\r\n\r\n", 400),
    "a length beyond 64 bits": (POST + b"Content-Length: 99999999999999999999999\r\n\r\n", 400),
    "a length of 64 bits": (POST + b"Content-Length: 18446744073709551615\r\n\r\n", 413),
    "a length and chunks": (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "a coding that is not known": (POST + b"Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n", 400),
    "a chunk of no size": (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n", 400),
    "a chunk of a negative size": (POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n", 400),
    "no body": (POST + b"\r\n", 400),
    "bytes as the kind of content": (
        b"POST /v1/route" + HOST + b"Content-Type: \xff\r\nContent-Length: 2\r\n\r\n{}",
        415,
    ),
    "bytes as the coding": (POST + b"Content-Encoding: \xff\r\nContent-Length: 2\r\n\r\n{}", 415),
}


def test_what_is_no_http_is_refused_in_the_protocols_form(serve: Serve) -> None:
    serving = serve()
    for what, (data, status) in HEADS.items():
        with socket.create_connection(("127.0.0.1", serving.port), timeout=5) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while part := connection.recv(65536):
                answer += part
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d " % status), (what, answer[:200])
        if status >= 400:
            assert b"content-type: application/json" in head, what
            assert json.loads(body)["error"]["code"], what


def test_garbage_behind_a_request_is_no_answer_to_it(serve: Serve, upstream: Upstream) -> None:
    def script(request: dict[str, Any]) -> str:
        upstream.released.wait(0.3)
        return "fine"

    upstream.script = script
    body = b"{%b}" % ASKED
    with socket.create_connection(("127.0.0.1", serve().port), timeout=5) as connection:
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        connection.sendall(head + b"Content-Length: %d\r\n\r\n%b\x00garbage\r\n\r\n" % (len(body), body))
        answer = b""
        with contextlib.suppress(ConnectionError):
            answer = connection.recv(100)
    assert answer == b""


def test_a_page_of_another_site_changes_nothing_without_keys(serve: Serve, upstream: Upstream) -> None:
    serving = serve()
    body = {"messages": MESSAGES}
    for origin, status in (
        ("https://evil.example", 403),
        ("null", 403),
        ("http://localhost.evil.example", 403),
        ("http://evil.example/localhost", 403),
        ("localhost", 403),
        ("file://localhost", 403),
        ("http://localhost:3000", 200),
        ("https://127.0.0.1", 200),
        ("http://[::1]:8000", 200),
    ):
        response = serving.client.post(CHAT, json=body, headers={"Origin": origin})
        assert response.status_code == status, origin
        # Without a body, which the kind of content does not protect.
        bare = serving.client.post(ROUTE, headers={"Origin": origin})
        assert bare.status_code == (403 if status == 403 else 415), origin
        assert serving.client.get("/v1/models", headers={"Origin": origin}).status_code == 200
    assert len(upstream.requests) == 3
