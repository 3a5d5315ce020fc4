"""Candidates are called within limits; whatever their service does is an answer or one clear error."""

from __future__ import annotations

import gc
import multiprocessing
import os
import re
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

pytest.importorskip("openai")

from llmrouter.completion.catalogue import Catalogue
from llmrouter.completion.client import CompletionClient
from llmrouter.completion.result import Completion, Usage
from llmrouter.errors import CompletionError, ConfigError
from llmrouter_testing.upstream import Reply, Upstream, completion
from tests.timing import allowed

QUICK = {"Retry-After": "0.02"}


@pytest.fixture
def client(upstream: Upstream) -> Iterator[Callable[..., CompletionClient]]:
    """Make a client of one candidate, `small`, at the upstream."""
    made = []

    def client(
        candidate: dict[str, Any] | None = None,
        keys: str = "",
        config: dict[str, Any] | None = None,
        **options: Any,
    ) -> CompletionClient:
        llms = {"small": {"api_endpoint": upstream.url, **(candidate or {})}}
        catalogue = Catalogue(llms, config or {}, environ={"API_KEYS": keys})
        made.append(CompletionClient(catalogue, **{"timeout": 10, **options}))
        return made[-1]

    yield client
    upstream.released.set()
    for opened in made:
        opened.close()


def failing(asked: Callable[[], Any]) -> CompletionError:
    with pytest.raises(CompletionError) as caught:
        asked()
    assert caught.value.name == "small"
    return caught.value


class TestOneCall:
    def test_gives_text_usage_cost_and_time(self, client: Any, upstream: Upstream) -> None:
        found = client({"input_price": 1e6, "output_price": 2e6}).complete("small", "one two three")
        assert (found.model_name, found.upstream_model) == ("small", "upstream-small")
        assert (found.text, found.finish_reason) == ("echo one two three", "stop")
        assert (found.usage, found.cost) == (Usage(3, 4), 11.0)
        assert 0 < found.latency_ms < 10_000
        assert upstream.requests == [
            {
                "model": "small",
                "messages": [{"role": "user", "content": "one two three"}],
                "stream": False,
            }
        ]

    def test_a_conversation_and_fields_that_only_this_service_knows(
        self, client: Any, upstream: Upstream
    ) -> None:
        messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "x": 1}]
        client().complete("small", messages, top_k=5, chat_template_kwargs={"think": False})
        (request,) = upstream.requests
        assert (request["messages"], request["top_k"]) == (messages, 5)
        assert request["chat_template_kwargs"] == {"think": False}

    def test_the_nearest_parameters_win(self, client: Any, upstream: Upstream) -> None:
        mine = client(
            {"parameters": {"temperature": 0, "seed": 1, "top_p": 0.5}},
            parameters={"temperature": 1, "seed": 2},
        )
        mine.complete("small", "hi", temperature=2)
        (request,) = upstream.requests
        assert (request["temperature"], request["seed"], request["top_p"]) == (2, 2, 0.5)

    def test_the_system_message_of_those_that_have_none(self, client: Any, upstream: Upstream) -> None:
        mine = client(system="be brief")
        mine.complete("small", "hi")
        mine.complete("small", [{"role": "user", "content": "hi"}])
        for role in ("system", "developer"):
            mine.complete("small", [{"role": role, "content": "own"}, {"role": "user", "content": "hi"}])
        heads = [request["messages"][0]["content"] for request in upstream.requests]
        assert heads == ["be brief", "be brief", "own", "own"]
        assert [len(request["messages"]) for request in upstream.requests] == [2] * 4

    def test_connections_are_used_again(self, client: Any, upstream: Upstream) -> None:
        mine = client(keys="k1,k2")
        for _ in range(5):
            mine.complete("small", "hi")
        assert upstream.connections == 1

    def test_an_unknown_candidate(self, client: Any) -> None:
        with pytest.raises(CompletionError, match="no candidate is named 'big'; there are small"):
            client().complete("big", "hi")

    def test_a_candidate_that_cannot_be_called(self, client: Any) -> None:
        with pytest.raises(ConfigError, match="needs a key"):
            client({"api_endpoint": "https://a.example/v1"}).complete("small", "hi")

    @pytest.mark.parametrize("value", [object(), {1: object()}, float("nan")])
    def test_a_field_that_has_no_form_in_json(self, client: Any, value: Any) -> None:
        failing(lambda: client().complete("small", "hi", odd=value))

    def test_nothing_is_written_to_standard_output_or_error(
        self, client: Any, capfd: pytest.CaptureFixture[str]
    ) -> None:
        client().complete("small", "hi")
        assert capfd.readouterr() == ("", "")


class TestKeys:
    def test_take_turns(self, client: Any, upstream: Upstream) -> None:
        mine = client(keys="k1,k2")
        for _ in range(3):
            mine.complete("small", "hi")
        assert upstream.keys == ["k1", "k2", "k1"]

    def test_none_is_sent_where_there_is_none(
        self, client: Any, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "of-openai")
        client().complete("small", "hi")
        assert upstream.keys == [None]
        assert "authorization" not in upstream.headers[0]

    @pytest.mark.parametrize(("service", "told"), [(None, False), ("acme", False), ("openai", True)])
    def test_the_organisation_at_openai_is_told_to_openai_alone(
        self,
        client: Any,
        upstream: Upstream,
        monkeypatch: pytest.MonkeyPatch,
        service: str | None,
        told: bool,
    ) -> None:
        monkeypatch.setenv("OPENAI_ORG_ID", "org-7")
        monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-7")
        client({"service": service} if service else {}).complete("small", "hi")
        assert ("org-7" in str(upstream.headers)) is told
        assert ("proj-7" in str(upstream.headers)) is told

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize(
        "reply",
        [
            Reply(401, {"error": {"message": "Incorrect API key provided: s3cret-key."}}),
            Reply(400, b"<p>s3cret-key</p>", {"Content-Type": "text/html"}),
            Reply(403, ["s3cret-key"]),
            Reply(200, b"s3cret-key"),
            Reply(200, {"error": "s3cret-key"}),
            Reply(307, None, {"Location": "http://127.0.0.1:1/s3cret-key"}),
        ],
        ids=["json", "html", "list", "garbage", "error in 200", "redirect"],
    )
    def test_are_not_in_the_error_nor_in_its_traceback(
        self, client: Any, upstream: Upstream, reply: Reply, stream: bool
    ) -> None:
        def script(request: dict[str, Any]) -> str:
            raise reply

        upstream.script = script
        mine = client(keys="s3cret-key")
        asked = mine.stream if stream else mine.complete
        error = failing(lambda: list(asked("small", "hi")))
        if reply.status != 200:
            assert "[key]" in str(error)
        assert "s3cret" not in "".join(traceback.format_exception(error))
        assert "s3cret" not in repr(error)


class TestFaults:
    def script(self, upstream: Upstream, *replies: Reply | str) -> None:
        left = list(replies)

        def script(request: dict[str, Any]) -> str:
            reply = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(reply, Reply):
                raise reply
            return reply

        upstream.script = script

    @pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
    def test_what_may_pass_is_asked_again(self, client: Any, upstream: Upstream, status: int) -> None:
        self.script(upstream, Reply(status, {}, QUICK), Reply(status, {}, QUICK), "at last")
        assert client().complete("small", "hi").text == "at last"
        assert len(upstream.requests) == 3

    def test_not_more_often_than_told(self, client: Any, upstream: Upstream) -> None:
        self.script(upstream, Reply(503, {"error": {"message": "overloaded"}}, QUICK))
        error = failing(lambda: client(retries=1).complete("small", "hi"))
        assert str(error) == f"small at {upstream.url} answered 503: overloaded"
        assert error.status == 503
        assert len(upstream.requests) == 2

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
    def test_what_will_not_pass_is_not(self, client: Any, upstream: Upstream, status: int) -> None:
        self.script(upstream, Reply(status, {"detail": "no such thing"}))
        error = failing(lambda: client().complete("small", "hi"))
        assert str(error).endswith(f"answered {status}: no such thing")
        assert error.status == status
        assert len(upstream.requests) == 1

    def test_a_pause_is_kept_as_the_service_says(self, client: Any, upstream: Upstream) -> None:
        self.script(upstream, Reply(429, {}, {"Retry-After": "1"}), "now")
        started = time.monotonic()
        assert client().complete("small", "hi").text == "now"
        assert 1 <= time.monotonic() - started < allowed(4)

    def test_a_pause_beyond_the_time_limit_ends_the_call(self, client: Any, upstream: Upstream) -> None:
        self.script(upstream, Reply(429, {}, {"Retry-After": "60"}))
        started = time.monotonic()
        error = failing(lambda: client(timeout=0.3).complete("small", "hi"))
        assert "did not answer within 0.3 s, repetitions included" in str(error)
        assert time.monotonic() - started < allowed(5)

    def test_an_empty_error_tells_its_reason(self, client: Any, upstream: Upstream) -> None:
        self.script(upstream, Reply(404, b""))
        assert str(failing(lambda: client().complete("small", "hi"))).endswith("answered 404: Not Found")

    def test_a_long_error_is_cut_and_stands_in_one_line(self, client: Any, upstream: Upstream) -> None:
        self.script(upstream, Reply(400, {"error": {"message": "a\n\x1b[2J" + "x" * 5000}}))
        told = str(failing(lambda: client().complete("small", "hi")))
        assert told.isprintable()
        assert len(told) < 700
        assert told.endswith("x…")

    def test_nobody_is_there(self, client: Any) -> None:
        with socket.socket() as reserved:
            reserved.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{reserved.getsockname()[1]}/v1"
            error = failing(lambda: client({"api_endpoint": url}, retries=0).complete("small", "hi"))
        assert f"small at {url} cannot be reached: " in str(error)
        assert error.status is None

    @pytest.mark.parametrize(
        ("reply", "told"),
        [
            (Reply(200, b"<html>"), "did not answer as the chat protocol has it"),
            (Reply(200, b"<html>", {"Content-Type": "text/html"}), "found '<html>', which is not JSON"),
            (Reply(200, b'{"choices": [{"mess'), "did not answer as the chat protocol has it"),
            (Reply(200, b"\xff\xfe\x00"), "did not answer as the chat protocol has it"),
            (Reply(200, b""), "did not answer as the chat protocol has it"),
            (Reply(204, b""), "did not answer as the chat protocol has it"),
            (Reply(200, {"choices": []}), "the answer has no choices"),
            (Reply(200, [1]), "Expected `object`, got `array`"),
            (Reply(200, None), "did not answer as the chat protocol has it"),
        ],
    )
    def test_garbage(self, client: Any, upstream: Upstream, reply: Reply, told: str) -> None:
        self.script(upstream, reply)
        assert told in str(failing(lambda: client().complete("small", "hi")))
        assert len(upstream.requests) == 1

    def test_null_for_content_is_an_empty_answer(self, client: Any, upstream: Upstream) -> None:
        self.script(upstream, Reply(200, completion({"model": "m", "messages": []}, "") | {"usage": None}))
        found = client().complete("small", "hi")
        assert (found.text, found.usage, found.cost) == ("", None, None)

    def test_an_answer_under_another_content_type(self, client: Any, upstream: Upstream) -> None:
        answer = completion({"model": "m", "messages": []}, "hi")
        self.script(upstream, Reply(200, answer, {"Content-Type": "text/plain"}))
        assert client().complete("small", "hi").text == "hi"

    def test_a_body_that_breaks_off(self, client: Any, upstream: Upstream) -> None:
        self.script(upstream, Reply(200, iter([b'{"choices": [']), {"Content-Length": "500"}))
        error = failing(lambda: client(retries=0).complete("small", "hi"))
        assert "cannot be reached" in str(error) or "broke off" in str(error)

    def test_a_redirect_is_not_followed(self, client: Any, upstream: Upstream) -> None:
        self.script(upstream, Reply(308, b"", {"Location": f"{upstream.url}/elsewhere"}))
        error = failing(lambda: client(keys="k").complete("small", "hi"))
        assert f"answered 308: it has moved to {upstream.url}/elsewhere" in str(error)
        assert len(upstream.requests) == 1

    @pytest.mark.parametrize("stream", [False, True])
    def test_a_service_that_hangs(self, client: Any, upstream: Upstream, stream: bool) -> None:
        upstream.script = lambda request: str(upstream.released.wait(120))
        mine = client(timeout=0.3)
        asked = mine.stream if stream else mine.complete
        started = time.monotonic()
        error = failing(lambda: list(asked("small", "hi")))
        assert "did not answer within 0.3 s" in str(error)
        assert time.monotonic() - started < allowed(5)

    @pytest.mark.parametrize("stream", [False, True])
    def test_a_body_that_comes_byte_by_byte_without_end(
        self, client: Any, upstream: Upstream, stream: bool
    ) -> None:
        def endless() -> Iterator[bytes]:
            while not upstream.released.wait(0.02):
                yield b" " if not stream else b": wait\n\n"

        kind = {"Content-Type": "text/event-stream" if stream else "application/json"}
        self.script(upstream, Reply(200, endless(), kind))
        mine = client(timeout=0.4)
        asked = mine.stream if stream else mine.complete
        started = time.monotonic()
        assert "did not answer within 0.4 s" in str(failing(lambda: list(asked("small", "hi"))))
        assert time.monotonic() - started < allowed(5)


class TestStream:
    def events(self, *data: str, **options: Any) -> Reply:
        body = "".join(f"data: {item}\n\n" for item in data).encode()
        return Reply(200, iter([body]), {"Content-Type": "text/event-stream", **options})

    def test_pieces_come_as_they_are_said_and_then_the_whole(self, client: Any, upstream: Upstream) -> None:
        parts = list(client({"input_price": 1e6, "output_price": 1e6}).stream("small", "one two"))
        assert parts[:-1] == ["echo", " one", " two"]
        whole = parts[-1]
        assert isinstance(whole, Completion)
        assert (whole.text, whole.usage, whole.cost) == ("echo one two", Usage(2, 3), 5.0)
        assert (whole.finish_reason, whole.upstream_model) == ("stop", "upstream-small")
        (request,) = upstream.requests
        assert (request["stream"], request["stream_options"]) == (True, {"include_usage": True})

    def test_one_that_is_given_up_is_closed_and_the_next_goes_on(self, client: Any) -> None:
        mine = client()
        pieces = mine.stream("small", "one two three")
        assert next(pieces) == "echo"
        pieces.close()
        assert mine.complete("small", "hi").text == "echo hi"

    PIECE = '{"choices": [{"delta": {"content": "half"}, "finish_reason": null}]}'

    @pytest.mark.parametrize(
        ("data", "told"),
        [
            ([PIECE], "the stream ended before the answer did"),
            ([PIECE, "[DONE]"], "the stream ended before the answer did"),
            ([PIECE, '{"error": {"message": "overloaded"}}'], "overloaded"),
            ([PIECE, "{garbage"], "did not answer as the chat protocol has it"),
            ([PIECE, '{"choices": 5}'], "did not answer as the chat protocol has it"),
        ],
    )
    def test_that_breaks_off_gives_what_came_and_an_error(
        self, client: Any, upstream: Upstream, data: list[str], told: str
    ) -> None:
        def script(request: dict[str, Any]) -> str:
            raise self.events(*data)

        upstream.script = script
        pieces = client().stream("small", "hi")
        assert next(pieces) == "half"
        assert told in str(failing(lambda: next(pieces)))

    def test_whose_connection_breaks(self, client: Any, upstream: Upstream) -> None:
        def script(request: dict[str, Any]) -> str:
            raise self.events(self.PIECE, **{"Content-Length": "5000"})

        upstream.script = script
        pieces = client().stream("small", "hi")
        assert next(pieces) == "half"
        error = failing(lambda: next(pieces))
        assert re.search("broke off|cannot be reached", str(error))

    def test_that_holds_nothing(self, client: Any, upstream: Upstream) -> None:
        def script(request: dict[str, Any]) -> str:
            raise self.events("[DONE]")

        upstream.script = script
        failing(lambda: list(client().stream("small", "hi")))


class TestLimits:
    def test_a_services_concurrency_is_kept(self, client: Any, upstream: Upstream) -> None:
        lock, now, most = threading.Lock(), 0, 0

        def script(request: dict[str, Any]) -> str:
            nonlocal now, most
            with lock:
                now += 1
                most = max(most, now)
            time.sleep(0.03)
            with lock:
                now -= 1
            return "hi"

        upstream.script = script
        mine = client({"service": "acme"}, config={"services": {"acme": {"concurrency": 2}}})
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: mine.complete("small", "hi"), range(8)))
        assert most == 2

    def test_without_one_calls_run_at_once(self, client: Any, upstream: Upstream) -> None:
        met = threading.Barrier(4)
        upstream.script = lambda request: str(met.wait(10))
        mine = client()
        with ThreadPoolExecutor(4) as pool:
            assert len(list(pool.map(lambda _: mine.complete("small", "hi"), range(4)))) == 4

    @pytest.mark.parametrize("per_minute", [600, 600.5])
    def test_calls_a_minute_are_spaced(self, client: Any, upstream: Upstream, per_minute: float) -> None:
        came = []

        def script(request: dict[str, Any]) -> str:
            came.append(time.monotonic())
            return "hi"

        upstream.script = script
        mine = client({"service": "acme"}, config={"services": {"acme": {"requests_per_minute": per_minute}}})
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda _: mine.complete("small", "hi"), range(6)))
        assert came[-1] - came[0] > 0.4

    def test_less_than_one_call_a_minute(self, client: Any) -> None:
        mine = client({"service": "acme"}, config={"services": {"acme": {"requests_per_minute": 0.5}}})
        assert mine.complete("small", "hi").text == "echo hi"


class TestLife:
    def test_closing_cancels_calls_under_way_and_takes_no_others(
        self, client: Any, upstream: Upstream
    ) -> None:
        begun = threading.Event()

        def script(request: dict[str, Any]) -> str:
            begun.set()
            return str(upstream.released.wait(20))

        upstream.script = script
        mine = client()
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(mine.complete, "small", "hi")
            assert begun.wait(10)
            mine.close()
            with pytest.raises(CompletionError, match="the client was closed"):
                asked.result(5)
        for ask in (mine.complete, lambda *about: list(mine.stream(*about))):
            with pytest.raises(CompletionError, match="the client was closed"):
                ask("small", "hi")
        mine.close()

    def test_closing_one_that_was_never_used(self, client: Any) -> None:
        client().close()

    def test_many_threads_that_use_it_first_share_its_connections(self, client: Any) -> None:
        mine = client()
        start = threading.Barrier(16)

        def ask() -> str:
            start.wait()
            return str(mine.complete("small", "hi").text)

        before = [thread.name for thread in threading.enumerate()].count("llmrouter-completion")
        with ThreadPoolExecutor(16) as pool:
            assert [future.result() for future in [pool.submit(ask) for _ in range(16)]] == ["echo hi"] * 16
        names = [thread.name for thread in threading.enumerate()]
        assert names.count("llmrouter-completion") == before + 1

    def test_one_that_is_thrown_away_leaves_no_thread(self, upstream: Upstream) -> None:
        def threads() -> int:
            return [thread.name for thread in threading.enumerate()].count("llmrouter-completion")

        before = threads()
        mine = CompletionClient(Catalogue({"small": {"api_endpoint": upstream.url}}, {}))
        mine.complete("small", "hi")
        assert threads() == before + 1
        del mine
        deadline = time.monotonic() + 5
        while threads() > before and time.monotonic() < deadline:
            gc.collect()
            time.sleep(0.01)
        assert threads() == before

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_a_forked_process_opens_its_own(self, client: Any) -> None:
        mine = client()
        assert mine.complete("small", "hi").text == "echo hi"
        forking = multiprocessing.get_context("fork")
        found = forking.SimpleQueue()
        child = forking.Process(target=lambda: found.put(mine.complete("small", "child").text))
        child.start()
        child.join(20)
        if child.is_alive():
            child.terminate()
        assert child.exitcode == 0
        assert found.get() == "echo child"
        assert mine.complete("small", "parent").text == "echo parent"
