"""An upstream that sends nonsense is answered for by the next choice, else with 502; a 500 is a bug."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable

import pytest

from tests.server.serving import EVENTS, RawUpstream, Serve, Serving, StartRaw, event, events_of, json_answer
from tests.timing import allowed

GOOD = (
    b'{"id":"c","object":"chat.completion","model":"m","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"x"}}],"usage":{"prompt_tokens":3,"completion_tokens":4}}'
)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
DONE = b"data: [DONE]\n\n"
Script = Callable[[RawUpstream, socket.socket], None]


class Bad:
    """An upstream whose next answer is set, and a gateway that goes to a good one after it."""

    def __init__(self, serve: Serve, raw_upstream: StartRaw) -> None:
        self.answer = b""
        raw = raw_upstream(lambda raw, connection: connection.sendall(self.answer))
        good = raw_upstream(self._good)
        self.serving: Serving = serve(
            {"bad": {"api_endpoint": raw.url}, "good": {"api_endpoint": good.url}}, first_byte_seconds=2
        )

    @staticmethod
    def _good(raw: RawUpstream, connection: socket.socket) -> None:
        stream = b'"stream":true' in raw.requests[-1]
        connection.sendall(EVENTS + event("good") + DONE if stream else json_answer(GOOD))

    def ask(
        self, answer: bytes, what: object, *, alone: bool = False, stream: bool = False
    ) -> tuple[int, str]:
        """Answer a request so; returns what the client gets, in less time than it may take."""
        self.answer = answer
        for candidate in self.serving.gateway.candidates.values():
            candidate.cooldown.success()
        started = time.monotonic()
        response = self.serving.chat(stream=stream, **({"model": "bad"} if alone else {}))
        assert time.monotonic() - started < allowed(1.5), what
        assert response.status_code != 500, what
        if response.status_code >= 400:
            error = response.json()["error"]
            assert isinstance(error["message"], str), what
        return response.status_code, response.text


@pytest.fixture
def bad(serve: Serve, raw_upstream: StartRaw) -> Bad:
    return Bad(serve, raw_upstream)


STATUSES = [
    *("101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x", "100 x", "102 x", "103 x", "199 x"),
    *(
        "201 x",
        "202 x",
        "204 x",
        "205 x",
        "206 x",
        "299 x",
        "300 x",
        "301 x\r\nLocation: /",
        "304 x",
        "307 x",
    ),
    *("401 x", "402 x", "403 x", "500 x", "599 x", "600 x", "999 x", "99 x", "0 x", "000 x"),
    *("1000 x", "-1 x", "abc", "\xb2\xb2\xb2 x", "", " 200 OK"),
]


def test_a_status_that_makes_no_sense_leads_to_the_next_choice(bad: Bad) -> None:
    for status in STATUSES:
        for body in (GOOD, b""):
            for stream in (False, True):
                answer = json_answer(body, status)
                assert bad.ask(answer, status, stream=stream)[0] == 200, status
                assert bad.ask(answer, status, stream=stream, alone=True)[0] == 502, status


def test_a_status_without_a_reason_is_a_status(bad: Bad) -> None:
    assert bad.ask(json_answer(GOOD, "200"), "200", alone=True)[0] == 200
    assert bad.ask(json_answer(b"{}", "422"), "422", alone=True)[0] == 422


WAITS = [
    *(
        "1e999",
        "-1e999",
        "1e308",
        "1" * 5000,
        "-1",
        "nan",
        "inf",
        "0",
        "",
        "  5  ",
        "5s",
        "1,2",
        "0x10",
        "\xff",
    ),
    *("Fri, 31 Dec 9999 23:59:59 GMT", "Fri, 31 Dec 99999 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 GMT"),
    *("Wed, 21 Oct 2099 07:28:00 +999999999999", "31 Feb 2020 00:00:00", "x" * 5000),
]


def test_a_retry_after_that_makes_no_sense_is_bounded(bad: Bad) -> None:
    for wait in WAITS:
        for status in ("429 x", "503 x", "500 x"):
            answer = json_answer(b"{}", status, f"Retry-After: {wait}")
            assert bad.ask(answer, wait)[0] == 200
            left = bad.serving.gateway.candidates["bad"].cooldown.until - time.monotonic()
            assert left <= bad.serving.gateway.settings.max_cooldown_seconds
            response_status, _ = bad.ask(answer, wait, alone=True)
            assert response_status == {"429 x": 429, "503 x": 503, "500 x": 502}[status]
            again = bad.serving.chat(model="bad")
            assert again.status_code in (429, 502, 503)
            assert 1 <= int(again.headers.get("retry-after", 1)) <= 86_400


FRAMING = {
    "nothing": b"",
    "bytes": b"\x00\x01\x02\r\n\r\n",
    "no head": GOOD,
    "HTTP/2": b"HTTP/2 200 OK\r\n\r\n",
    "another protocol": b"ICY 200 OK\r\n\r\n" + GOOD,
    "a head that is cut": HEAD,
    "many headers": HEAD + b"X: y\r\n" * 100_000 + b"\r\n",
    "a long header": HEAD + b"X: " + b"y" * (1 << 20) + b"\r\n\r\n",
    "a header without a colon": HEAD + b"abc\r\n\r\n" + GOOD,
    "NUL in a header": HEAD + b"a: \x00\r\n\r\n" + GOOD,
    "a folded header": HEAD + b"a: b\r\n c\r\n\r\n" + GOOD,
    "LF as the end of lines": HEAD.replace(b"\r\n", b"\n") + b"\n" + GOOD,
    "CR as the end of lines": HEAD.replace(b"\r\n", b"\r") + b"\r" + GOOD,
    "many interim answers": b"HTTP/1.1 100 Continue\r\n\r\n" * 100_000,
    "a length that is too short": HEAD + b"Content-Length: 5\r\n\r\n" + GOOD,
    "a length that is too long": HEAD + b"Content-Length: 9999\r\n\r\n" + GOOD,
    "a negative length": HEAD + b"Content-Length: -5\r\n\r\n" + GOOD,
    "a length beyond 64 bits": HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n" + GOOD,
    "a length that is no number": HEAD + b"Content-Length: abc\r\n\r\n" + GOOD,
    "two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n" + GOOD,
    "a length and chunks": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk of no size": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a chunk of a negative size": HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n",
    "a chunk of too large a size": HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    "a chunk that is cut": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
    "no chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "compression": json_answer(GOOD, "200 OK", "Content-Encoding: gzip"),
    "a coding of bytes": json_answer(GOOD, "200 OK", "Content-Encoding: \xff"),
    "a page": HEAD.replace(b"application/json", b"text/html") + b"\r\n" + GOOD,
    "bytes as its kind": HEAD.replace(b"application/json", b"\xff\xfe") + b"\r\n" + GOOD,
}
BODIES = [
    *(b"", b" ", b"null", b"[]", b"1", b'"x"', b"{}", b"<html>", b"\xff\xfe", b"[" * 1_000_000),
    *(b'{"choices":1}', b'{"choices":null}', b'{"choices":"x"}', b'{"choices":[1]}', b'{"choices":[null]}'),
    *(b'{"choices":[', b'{"choices":' + b"[" * 100_000, b'{"choices":[NaN]}', b'{"choices":[{"x":NaN}]}'),
    *(b'{"error":"x"}', b'{"error":{"message":"secret"},"choices":[]}', b'{"error":[1],"choices":[{}]}'),
    *(GOOD + b"x", b"\xef\xbb\xbf" + GOOD, GOOD[:-1] + b',"choices":1}', GOOD.decode().encode("utf-16")),
]


def test_what_is_no_http_or_no_completion_leads_to_the_next_choice(bad: Bad) -> None:
    answers = {**FRAMING, **{f"the body {body[:40]!r}": json_answer(body) for body in BODIES}}
    for what, answer in answers.items():
        status, text = bad.ask(answer, what)
        assert (status, json.loads(text)["llmrouter"]["attempts"]) == (200, 2), what
        status, text = bad.ask(answer, what, alone=True)
        assert (status, "secret" in text) == (502, False), what


def test_odd_answers_that_make_sense_are_answers(bad: Bad) -> None:
    for body in (
        GOOD.replace(b'"m"', b"1"),
        GOOD.replace(b'"m"', b'"a\\r\\n\\u0000b"'),
        GOOD.replace(b'"x"', b'"x \\ud83d"'),
        GOOD.replace(b'"x"', b'"x \xff"'),
        GOOD.replace(b'"x"', b'"\\\\ud83d \\ud83d\\ude00"'),
        GOOD[:-1] + b',"error":null}',
        b"\n" + GOOD + b"\n",
    ):
        status, text = bad.ask(json_answer(body, "200 OK", "content-encoding: Identity"), body, alone=True)
        assert status == 200
        # What is no text is replaced.
        expected = body.replace(b'\\ud83d"', b'\\ufffd"').decode("utf-8", "replace")
        assert json.loads(text)["choices"] == json.loads(expected)["choices"]
        json.dumps(json.loads(text), ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error":{"message":"told","type":"t","param":null,"code":7,"more":[1]}}', "told"),
        (b'{"error":{"message":"told","type":5,"param":[],"code":{}}}', "told"),
        (b'{"error":{"message":"half \\ud83d"}}', "half \ufffd"),
        (b'{"message":"half \\ud83d"}', "half \ufffd"),
        (b'{"message":"bytes \xff"}', "bytes \ufffd"),
        (b'{"error":"told"}', "told"),
        (b'{"detail":"told","error":[1]}', "told"),
        *(
            (body, "bad: the upstream refused the request with status 422.")
            for body in (
                *(b"", b"null", b"[1]", b'"x"', b"<html>", b"\xff\xfe", b"[" * 60_000, b"x" * 1_000_000),
                *(
                    b'{"error":{"message":1}}',
                    b'{"error":{"message":null}}',
                    b'{"error":{}}',
                    b'{"error":[1]}',
                ),
                *(b'{"error":{"message":"m"},"x":NaN}', b'{"message":{"a":1}}', b'{"detail":[{"loc":1}]}'),
            )
        ),
    ],
)
def test_a_refusal_in_any_shape_is_passed_on_in_the_protocols(bad: Bad, body: bytes, message: str) -> None:
    status, text = bad.ask(json_answer(body, "422 x"), body, alone=True)
    error = json.loads(text)["error"]
    assert (status, error["message"]) == (422, message)
    assert isinstance(error.get("type"), str | None)
    assert isinstance(error.get("code"), str | int | None)


def of(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"


CHUNK = event("one")
NOT_BEGUN = {
    "nothing": b"",
    "comments alone": b": x\n\n" * 100,
    "the end first": DONE,
    "a number": of(b"1"),
    "a list": of(b"[]"),
    "null": of(b"null"),
    "no choices": of(b'{"message":"secret","code":500}'),
    "an error as text": of(b'{"error":"secret"}'),
    "an error as a list": of(b'{"error":["secret"],"choices":[]}'),
    "an event of an error": b"event: error\n" + of(b'{"message":"secret","choices":[]}'),
    "NaN": of(b'{"choices":[NaN]}'),
    "a cut object": of(b'{"choices":[') + DONE,
    "deep nesting": of(b'{"choices":' + b"[" * 100_000),
    "a huge event": b"data: " + b"x" * (9 << 20),
    "many huge lines": (b"data: " + b"x" * 1000 + b"\n") * 9000,
}


def test_a_stream_that_makes_no_sense_leads_to_the_next_choice(bad: Bad) -> None:
    for what, data in NOT_BEGUN.items():
        status, text = bad.ask(EVENTS + data, what, stream=True)
        assert (status, events_of(text)[0]["llmrouter"]["attempts"]) == (200, 2), what
        status, text = bad.ask(EVENTS + data, what, stream=True, alone=True)
        assert (status, "secret" in text) == (502, False), what


STREAMS = {
    "CR LF": (CHUNK + DONE).replace(b"\n", b"\r\n"),
    "CR alone": (CHUNK + DONE).replace(b"\n", b"\r"),
    "mixed ends of lines": CHUNK[:-2] + b"\r\n\n" + DONE,
    "a byte-order mark": b"\xef\xbb\xbf" + CHUNK + DONE,
    "no space": CHUNK.replace(b"data: ", b"data:") + b"data:[DONE]\n\n",
    "no blank line at the end": CHUNK + b"data: [DONE]",
    "the end twice": CHUNK + DONE + DONE + CHUNK,
    "data in two lines": CHUNK.replace(b", ", b",\ndata: ", 1) + DONE,
    "empty data": b"data:\n\ndata\n\n" + CHUNK + b"data: \n\n" + DONE,
    "a million empty lines": b"\n" * 1_000_000 + CHUNK + DONE,
    "other fields": b"id: 1\nretry: 5\nfoo: bar\nevent: message\n" + CHUNK + DONE,
    "an error that is null": CHUNK.replace(b'{"id"', b'{"error": null, "id"') + DONE,
    "NUL": b"\x00\n\n" + CHUNK + DONE,
    "half a surrogate pair": CHUNK.replace(b'"one"', b'"one\\ud83d"') + DONE,
    "bytes that are not UTF-8": CHUNK.replace(b'"one"', b'"one\xff"') + DONE,
    "a model that is no name": CHUNK.replace(b'"upstream"', b'{"a":[]}') + DONE,
}


@pytest.mark.parametrize("size", [None, 1])
def test_odd_streams_that_make_sense_are_relayed(bad: Bad, size: int | None) -> None:
    for what, data in STREAMS.items():
        if size is not None and len(data) > 10_000:
            continue
        answer = EVENTS.replace(b"Connection: close", b"Transfer-Encoding: chunked")
        for place in range(0, len(data), size or len(data)):
            part = data[place : place + (size or len(data))]
            answer += b"%x\r\n%b\r\n" % (len(part), part)
        status, text = bad.ask(answer + b"0\r\n\r\n", what, stream=True, alone=True)
        assert status == 200, (what, text)
        chunks = events_of(text)
        assert chunks[-1] == "[DONE]", what
        said = chunks[0]["choices"][0]["delta"]["content"]
        assert said.replace("\ufffd", "") == "one", what
        assert len(chunks) == 2
        json.dumps(chunks, ensure_ascii=False).encode()


def test_a_call_whose_answer_began_is_not_repeated_on_another_connection(
    serve: Serve, raw_upstream: StartRaw
) -> None:
    second: list[bytes] = []

    def script(raw: RawUpstream, connection: socket.socket) -> None:
        connection.sendall(json_answer(GOOD))
        if not second:
            second.append(connection.recv(65536))
            connection.sendall(b"HTTP/1.1 199 x\r\nContent-Length: 2\r\n\r\n{}")

    raw = raw_upstream(script)
    serving = serve({"one": {"api_endpoint": raw.url}})
    assert serving.chat().status_code == 200
    assert serving.chat().status_code == 502
    assert second[0].startswith(b"POST ")
    assert len(raw.requests) == 1
