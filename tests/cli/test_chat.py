"""`llmrouter chat` answers message by message, says who answered and why, and keeps the conversation."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llmrouter_cli.app import COMMANDS
from llmrouter_testing.upstream import Reply, Upstream

# Long queries go to "large".
BY_LENGTH = "return {'model_name': 'large' if len(text) > 20 else 'small', 'confidence': 0.75}"
LONG = "Tell me everything about Paris"
TWO_ROUNDS = """
def answer_query(self, query, return_intermediate=False):
    plan = self.complete("small", f"plan {query}")
    return self.complete("large", plan.text).text
"""


@pytest.fixture
def chat(
    upstream: Upstream, router: Callable[..., list[str]], config: Callable[..., str]
) -> Callable[..., Any]:
    """Run `llmrouter chat` with messages from a pipe."""

    def chat(
        *messages: str, options: tuple[str, ...] = (), body: str = BY_LENGTH, members: str = ""
    ) -> subprocess.CompletedProcess[str]:
        chosen = router(body, members=members)
        llm = {"api_endpoint": upstream.url}
        config({"small": {**llm, "input_price": 1, "output_price": 2}, "large": llm})
        return subprocess.run(
            [sys.executable, "-m", "llmrouter_cli", "chat", *chosen, *options],
            input="".join(f"{message}\n" for message in messages),
            capture_output=True,
            text=True,
            timeout=300,
        )

    return chat


def asked(upstream: Upstream) -> list[list[tuple[str, str]]]:
    return [[(m["role"], m["content"]) for m in request["messages"]] for request in upstream.requests]


def test_is_listed() -> None:
    assert "chat" in COMMANDS


def test_answers_go_to_standard_output_and_the_rest_does_not(chat: Callable[..., Any]) -> None:
    done = chat("Hi", LONG)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"echo Hi\necho {LONG}\n"
    lines = done.stderr.splitlines()[1:]  # the first names the folder of the router
    assert lines[0] == "small · chosen by mine · confidence 0.75"
    assert re.fullmatch(r"1 \+ 2 tokens · 5e-06 USD · \d+\.\d s", lines[1])
    assert lines[2] == "large · chosen by mine · confidence 0.75"
    assert re.fullmatch(r"8 \+ 6 tokens · cost unknown · \d+\.\d s", lines[3])


def test_llms_are_told_the_whole_conversation(chat: Callable[..., Any], upstream: Upstream) -> None:
    chat("Hi", LONG, options=("--system", "Be kind.", "--temp", "0.5", "--max-tokens", "9"))
    assert asked(upstream)[1] == [
        ("system", "Be kind."),
        ("user", "Hi"),
        ("assistant", "echo Hi"),
        ("user", LONG),
    ]
    assert {(r["model"], r["stream"]) for r in upstream.requests} == {("small", True), ("large", True)}
    assert [(r["temperature"], r["max_tokens"]) for r in upstream.requests] == [(0.5, 9)] * 2


def test_the_router_sees_the_message_alone_or_the_whole_conversation(
    chat: Callable[..., Any], upstream: Upstream
) -> None:
    chat("Hi there", "Go on", "/mode full_context", "Go on", "/mode current_only", "Go on")
    assert [request["model"] for request in upstream.requests] == ["small", "small", "large", "small"]
    upstream.requests.clear()
    chat("Hi there", "Go on", options=("--mode", "full_context"))
    assert [request["model"] for request in upstream.requests] == ["small", "large"]


def test_clear_begins_anew(chat: Callable[..., Any], upstream: Upstream) -> None:
    chat("Hi", "/clear", "Ho")
    assert asked(upstream)[1] == [("user", "Ho")]


def test_commands(chat: Callable[..., Any], upstream: Upstream) -> None:
    done = chat("/mode", "/mode both", "/dance", "", "/quit", "never sent")
    assert done.returncode == 0
    assert (done.stdout, upstream.requests) == ("", [])
    assert "The router sees: current_only\n" in done.stderr
    assert "There is no /mode both.\n" in done.stderr
    assert "There is no /dance.\n" in done.stderr
    assert "/clear" in done.stderr


@pytest.mark.parametrize("word", ["exit", "quit", "QUIT", "/exit"])
def test_who_says_so_leaves(chat: Callable[..., Any], upstream: Upstream, word: str) -> None:
    done = chat("exit strategies", word, "never sent")
    assert done.returncode == 0
    assert [talk[-1] for talk in asked(upstream)] == [("user", "exit strategies")]


def test_a_failed_message_is_told_and_forgotten(chat: Callable[..., Any], upstream: Upstream) -> None:
    def script(request: dict[str, Any]) -> str:
        if request["messages"][-1]["content"] == "Bad":
            raise Reply(400, {"error": {"message": "not that"}})
        return "fine"

    upstream.script = script
    done = chat("Bad", "Good")
    assert done.returncode == 1
    assert done.stdout == "\nfine\n"
    assert f"Error: small at {upstream.url} answered 400: not that" in done.stderr
    assert asked(upstream) == [[("user", "Bad")], [("user", "Good")]]


def test_an_answer_without_text(chat: Callable[..., Any], upstream: Upstream) -> None:
    upstream.script = lambda request: ""
    done = chat("Hi", "Ho")
    assert done.returncode == 0
    assert done.stderr.count("chosen by mine") == 2


def test_a_multi_round_router_answers_by_itself(chat: Callable[..., Any], upstream: Upstream) -> None:
    done = chat("Hi", members=TWO_ROUNDS)
    assert done.stdout == "echo echo plan Hi\n"
    assert "large · chosen by mine · asked small · asked large\n" in done.stderr
    assert [request["model"] for request in upstream.requests] == ["small", "large"]


def test_no_candidate_that_can_be_called_is_an_error_at_once(
    router: Callable[..., list[str]], invoke: Callable[..., Any]
) -> None:
    done = invoke("chat", *router())
    assert done.status == 1
    assert "no candidate can be called" in done.err


class Typist:
    """Somebody at a terminal."""

    def __init__(self, arguments: list[str]) -> None:
        self.fd, inner = os.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "llmrouter_cli", *arguments],
            stdin=inner,
            stdout=inner,
            stderr=inner,
            start_new_session=True,
            env={**os.environ, "TERM": "dumb"},
        )
        os.close(inner)
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def wait_for(self, text: str, seconds: float = 300) -> None:
        """Read until a text was shown that was not shown before."""
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen
            try:
                self.seen += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", os.read(self.fd, 65536).decode())
            except OSError:
                raise AssertionError(f"it ended: {self.seen}") from None
        self.seen = self.seen.partition(text)[2]


@pytest.fixture
def typist(
    upstream: Upstream, router: Callable[..., list[str]], config: Callable[..., str]
) -> Iterator[Typist]:
    options = router(BY_LENGTH)
    config({"small": {"api_endpoint": upstream.url}, "large": {"api_endpoint": upstream.url}})
    typist = Typist(["chat", *options])
    yield typist
    typist.process.kill()
    typist.process.wait()
    os.close(typist.fd)


def test_at_a_terminal(typist: Typist, upstream: Upstream) -> None:
    typist.wait_for("mine chooses among small, large. /help tells more.")
    typist.wait_for("> ")
    typist.type("Hi\n")
    typist.wait_for("small · chosen by mine")
    typist.wait_for("echo Hi")
    typist.wait_for("> ")
    typist.type("\x04")  # Ctrl-D
    assert typist.process.wait(300) == 0


def test_ctrl_c_stops_the_answer_and_not_the_chat(typist: Typist, upstream: Upstream) -> None:
    asked: list[str] = []

    def script(request: dict[str, Any]) -> str:
        asked.append(request["messages"][-1]["content"])
        if asked[-1] == "slow":
            upstream.released.wait(60)
        return "done"

    upstream.script = script
    typist.wait_for("> ")
    typist.type("slow\n")
    typist.wait_for("chosen by mine")
    while not asked:
        time.sleep(0.01)
    os.killpg(typist.process.pid, 2)
    typist.wait_for("stopped")
    typist.type("quick\n")
    typist.wait_for("done")
    assert asked == ["slow", "quick"]
    assert [message["content"] for message in upstream.requests[1]["messages"]] == ["quick"]
    typist.type("/quit\n")
    assert typist.process.wait(300) == 0


@pytest.mark.llm
def test_with_a_real_llm(
    local_llm: str, router: Callable[..., list[str]], config: Callable[..., str], command: Callable[..., Any]
) -> None:
    options = router(BY_LENGTH)
    config({"small": {"api_endpoint": local_llm, "parameters": {"max_tokens": 4}}, "large": {}})
    done = command("chat", *options, "--temp", "0", stdin="Say yes.\n")
    assert done.status == 0, done.err
    assert done.out.strip()
    assert re.search(r"\d+ \+ [1-4] tokens", done.err)
    assert Path("custom_routers").is_dir()
