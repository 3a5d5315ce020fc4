"""A judge that somebody else wrote ends no worker, holds up no other job, and changes no request."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llmrouter.plugin_system.time_limit import PATIENCE
from llmrouter_lifecycle import Client
from llmrouter_lifecycle.client.backends import Embedded
from llmrouter_lifecycle.client.judges import JudgesClient
from llmrouter_lifecycle.client.routers import RoutersClient
from llmrouter_lifecycle.errors import InvalidParameterError, JudgementError
from llmrouter_lifecycle.home import Caller
from llmrouter_testing.upstream import Upstream
from tests.lifecycle.conftest import home_of, requests
from tests.timing import allowed

LLMS = ["local/cheap", "local/dear"]
REQUEST = {"messages": [{"role": "user", "content": "Which continent?"}]}
HELD = threading.Event()

SOURCE = """
    import asyncio, os, sys, time
    from llmrouter.models import Judgement
    from tests.lifecycle.test_foreign_judges import HELD

    def exits(request, response):
        raise SystemExit(0)

    def interrupts(request, response):
        raise KeyboardInterrupt

    def cancels(request, response):
        raise asyncio.CancelledError

    def hangs(request, response):
        HELD.wait()

    class Wordless(BaseException):
        def __str__(self):
            raise SystemExit

    def wordless(request, response):
        raise Wordless

    def unreadable(request, response):
        raise ValueError("half \\ud83d \\0 " + "x" * 10**6)

    def edits(request, response):
        request["messages"][0]["content"] = "edited"
        request["messages"].append("edited")
        response["content"] = "edited"
        return 1

    class Odd:
        def __float__(self):
            raise SystemExit

    RESULTS = {
        "nothing": None, "text": "0.5", "nan": float("nan"), "infinity": float("inf"), "large": 10**400,
        "odd": Odd(), "list": [1], "complex": 1j, "type": float, "judgement": Judgement(Odd()),
    }

    def returns(request, response):
        return RESULTS[response["content"]]

    async def later(request, response):
        return 1

    def true(request, response):
        return True

    def half(request, response):
        import numpy
        return Judgement(numpy.float32(0.5), "half \\ud83d \\0", cost=float("nan"))
"""


@pytest.fixture(autouse=True)
def fake_judges(install: Any) -> Iterator[None]:
    """Install functions that misbehave."""
    install("fake-judges", {"fake_judges": SOURCE}, {})
    HELD.clear()
    yield
    HELD.set()


@pytest.fixture
def where(tmp_path: Path) -> str:
    """What a judge does is the same on either database."""
    return str(tmp_path / "lifecycle.sqlite")


def evaluate(client: Client, function: str, answer: str = "x", **spec: Any) -> Any:
    told = {"model_type": f"python:fake_judges:{function}", **spec}
    return client.judges.evaluate_using_judge_spec(told, REQUEST, answer)


@pytest.mark.parametrize("function", ["exits", "interrupts", "cancels", "wordless", "unreadable"])
def test_whatever_a_judge_raises_is_no_judgement(client: Client, function: str) -> None:
    with pytest.raises(JudgementError, match=f"the judge python:fake_judges:{function} failed: ") as caught:
        evaluate(client, function)
    assert len(json.dumps(str(caught.value))) < 4000
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "answer",
    ["nothing", "text", "nan", "infinity", "large", "odd", "list", "complex", "type", "judgement"],
)
def test_what_is_no_score_is_no_judgement(client: Client, answer: str) -> None:
    with pytest.raises(JudgementError):
        evaluate(client, "returns", answer)


def test_a_coroutine_is_no_judgement(client: Client) -> None:
    with pytest.raises(JudgementError, match="write it without async"):
        evaluate(client, "later")


def test_truth_and_numpys_numbers_are_scores(client: Client) -> None:
    assert evaluate(client, "true").score == 1
    found = evaluate(client, "half")
    assert (found.score, found.reason, found.cost) == (0.5, "half \\ud83d \N{REPLACEMENT CHARACTER}", None)


def test_a_judge_that_hangs_is_left_to_itself(client: Client) -> None:
    started = time.monotonic()
    with pytest.raises(JudgementError, match=r"took longer than 0\.05 s"):
        evaluate(client, "hangs", timeout_seconds=0.05)
    assert time.monotonic() - started < allowed(10)


@pytest.mark.parametrize("seconds", [0, -1, "soon", True, 1e9, float("nan")])
def test_a_time_limit_that_is_none_is_refused(client: Client, seconds: Any) -> None:
    with pytest.raises(InvalidParameterError, match="timeout_seconds: expected seconds"):
        evaluate(client, "true", timeout_seconds=seconds)


@pytest.mark.parametrize(("lowest", "highest"), [(1, 1), (2, 1), ("a", 1), (float("nan"), 1)])
def test_scores_that_are_no_range_are_refused(client: Client, lowest: Any, highest: Any) -> None:
    with pytest.raises(InvalidParameterError, match="expected two numbers, the lower one first"):
        evaluate(client, "true", min_score=lowest, max_score=highest)


PLUGIN = """
    from llmrouter import JudgeSpec, hookimpl

    @hookimpl
    def llmrouter_register_judges():
        return [JudgeSpec("bad", "fake_bad_judge:Bad")]
"""


@pytest.mark.parametrize(
    ("statement", "where"),
    [("raise KeyboardInterrupt", "made"), ("raise SystemExit", "made"), ("raise SystemExit", "asked")],
)
def test_a_plugins_judge_is_kept_apart_too(client: Client, install: Any, statement: str, where: str) -> None:
    from llmrouter.errors import PluginError

    source = f"""
        from llmrouter.models import Judge

        class Bad(Judge):
            def __init__(self, spec):
                super().__init__(spec)
                if {where == "made"}:
                    {statement}

            def score(self, request, response):
                {statement}
    """
    install("llmrouter-bad", {"fake_bad": PLUGIN, "fake_bad_judge": source}, {"bad": "fake_bad"})
    expected = PluginError if where == "made" else JudgementError
    with pytest.raises(expected, match=r"(?i)the judge bad failed|Judge 'bad' failed"):
        client.judges.evaluate_using_judge_spec("bad", REQUEST, "x")


def other_organisation(where: str, catalogue: dict[str, Any]) -> Client:
    client = Client(where, config=catalogue, worker=False)
    client._backend = Embedded(home_of(client), Caller("other", "other"), worker=False)
    client.judges, client.routers = JudgesClient(client._backend), RoutersClient(client._backend)
    return client


@pytest.mark.parametrize("function", ["exits", "interrupts", "cancels", "hangs"])
def test_a_job_with_a_bad_judge_ends_and_so_does_that_of_others(
    client: Client, where: str, catalogue: dict[str, Any], work: Callable[..., None], function: str
) -> None:
    spec = {"model_type": f"python:fake_judges:{function}", "timeout_seconds": 0.1}
    with other_organisation(where, catalogue) as other:
        jobs = []
        for who, judge in ((client, spec), (other, "numeric")):
            who.judges.create_judge("j", judge)
            who.routers.create_router("r", "local/dear")
            jobs.append(who.routers.run_training_job("r", "j", LLMS, requests(20)))
        work(client)
        bad, good = client.routers.poll_training_job(jobs[0]), other.routers.poll_training_job(jobs[1])
    assert (bad.status, good.status) == ("FAILURE", "SUCCESS")
    if function == "hangs":
        # Others may have been under way already.
        counted = re.search(r"took longer than 0.1 s (\d+) times", str(bad.error_message))
        assert counted, bad.error_message
        assert int(counted[1]) >= PATIENCE
    else:
        assert "no LLM is left to train on" in str(bad.error_message)


def test_a_judge_that_edits_the_request_changes_no_call(
    client: Client, work: Callable[..., None], upstream: Upstream
) -> None:
    client.judges.create_judge("j", "python:fake_judges:edits")
    client.routers.create_router("r", "local/dear")
    client.routers.run_training_job("r", "j", LLMS, requests(10))
    work(client)
    sent = [body["messages"] for body in upstream.requests]
    assert len(sent) == 20
    assert all(messages in [one["messages"] for one in requests(10)] for messages in sent)
