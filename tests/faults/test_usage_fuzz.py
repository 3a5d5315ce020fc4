"""Fuzz the usage that upstreams report: the answer arrives, and costs what was set aside for it at most.

Only an upstream that reports more tokens than it was allowed costs more, up to the key's budget.

``corpus/usage`` keeps what is likely to fail: each file is reported as it is, and combined at random.
"""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmrouter_server.budgets import spending_path
from llmrouter_server.key_file import create_key
from tests.faults.test_gateway_fuzz import MANY, SOME, kept
from tests.server.serving import (
    EVENTS,
    RawUpstream,
    Serve,
    StartRaw,
    event,
    events_of,
    json_answer,
    most_of,
    wait_until,
)

NOTHING = b"no usage at all"
NUMBERS = (
    *(
        b"0",
        b"3",
        b"7",
        b"3.0",
        b"3.5",
        b"-0.0",
        b"-1",
        b"-1e9",
        b"1e5",
        b"1e308",
        b"1e999",
        b"1" + b"0" * 400,
    ),
    *(b"1000000000", b"1000000001", b"18446744073709551616", b"5e-324"),
    *(b"null", b"true", b'"3"', b'""', b"[]", b"[3]", b"{}", b'{"cached_tokens": 3}', b'"\\ud83d"'),
)
NAMES = ("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "input_tokens", "\\ud83d", "")
DETAILS = ("prompt_tokens_details", "completion_tokens_details")
LIMIT, BUDGET = 30, 1.0
# Beyond what sums of floats are off by.
CLOSE = 1e-12


def an_object(counts: list[tuple[str, bytes]]) -> bytes:
    """Return an object of JSON, whose names may occur twice."""
    return b"{%s}" % b", ".join(b'"%s": %s' % (name.encode(), value) for name, value in counts)


counts = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NUMBERS)), max_size=5)
objects = st.builds(
    lambda parts, details: an_object([*parts, *details]),
    counts,
    st.lists(st.tuples(st.sampled_from(DETAILS), counts.map(an_object)), max_size=2),
)
usages = st.sampled_from([*kept("usage"), NOTHING]) | objects | st.sampled_from(NUMBERS)


class Paid:
    """A gateway whose only key has a budget, before an upstream that reports what a test sets.

    Args:
        price: More of the candidate's prices.
    """

    def __init__(self, serve: Serve, raw_upstream: StartRaw, **price: float) -> None:
        self._answer = b""
        raw = raw_upstream(self._script)
        self._key = create_key("keys.json", "ann", budget_usd=BUDGET)
        prices = {"input_price": 1, "output_price": 2, **price}
        # Each byte of the request counts as a token at the highest price, of which `most_of` knows one.
        self._dearer = max(1.0, price.get("cached_input_price", 0))
        self._serving = serve({"small": {"api_endpoint": raw.url, **prices}}, keys_file="keys.json")

    def _script(self, raw: RawUpstream, connection: Any) -> None:
        connection.sendall(self._answer)

    def check(self, reported: list[bytes], stream: bool) -> float:
        """Have the upstream report usage, in a stream again and again; check and return what is charged."""
        self._answer = streamed(reported) if stream else whole(reported[-1])
        response = self._serving.chat(self._key, max_tokens=LIMIT, stream=stream)
        assert response.status_code == 200, (reported, response.text)
        if stream:
            *chunks, end = events_of(response.text)
            assert end == "[DONE]", (reported, response.text)
            said = [chunk["choices"][0]["delta"]["content"] for chunk in chunks if chunk["choices"]]
            assert "".join(said) == "It is one.", (reported, response.text)
        else:
            assert response.json()["choices"][0]["message"]["content"] == "It is one.", reported
        cost = self._charged()
        assert 0 <= cost <= BUDGET, (reported, cost)
        # What cannot be believed is not free: all that was set aside is charged.
        assert cost or any(map(is_free, reported)), reported
        if all(keeps_to_limits(usage) for usage in reported):
            assert cost <= most_of(max_tokens=LIMIT, stream=stream) * self._dearer + CLOSE, (reported, cost)
        return cost

    def _charged(self) -> float:
        """Return what the key was charged since the last time."""
        with contextlib.closing(sqlite3.connect(spending_path("keys.json"), timeout=30)) as database:
            wait_until(lambda: database.execute("SELECT count(*) FROM reserved").fetchone() == (0,))
            charged: list[tuple[float]] = database.execute("SELECT usd FROM spent").fetchall()
            database.execute("DELETE FROM spent")
            database.commit()
        return sum(usd for (usd,) in charged)

    def fuzz(self, limits: settings) -> None:
        """Check what is kept, and what is made of it."""

        @limits
        @given(st.lists(usages, min_size=1, max_size=3), st.booleans())
        def fuzz(reported: list[bytes], stream: bool) -> None:
            self.check(reported, stream)

        for usage in kept("usage"):
            for stream in (False, True):
                self.check([usage], stream)
        fuzz()


def keeps_to_limits(usage: bytes) -> bool:
    """Whether no number in reported usage is a count beyond what was asked for."""
    return all(float(number) <= LIMIT for number in re.findall(rb"[0-9.]+(?:e[0-9]+)?", usage))


def is_free(usage: bytes) -> bool:
    """Whether reported usage is that of a call without tokens."""
    found = None if usage == NOTHING else json.loads(usage)
    return isinstance(found, dict) and found.get("prompt_tokens") == found.get("completion_tokens") == 0


def whole(usage: bytes) -> bytes:
    """Return an answer that reports usage."""
    body = json.dumps(
        {"id": "c", "choices": [{"index": 0, "message": {"role": "assistant", "content": "It is one."}}]}
    ).encode()
    if usage != NOTHING:
        body = body[:-1] + b', "usage": %s}' % usage
    return json_answer(body)


def streamed(reported: list[bytes]) -> bytes:
    """Return a streamed answer that reports usage in a chunk for each, the last without choices."""
    texts = [event("It "), event("is "), event("one.")]
    *earlier, last = reported
    for number, usage in enumerate(earlier):
        if usage != NOTHING:
            texts[number] = texts[number].replace(b"}\n\n", b', "usage": %s}\n\n' % usage)
    ends = [] if last == NOTHING else [b'data: {"id": "c", "choices": [], "usage": %s}\n\n' % last]
    return b"".join([EVENTS, *texts, *ends, b"data: [DONE]\n\n"])


@pytest.fixture(params=[{}, {"cached_input_price": 0.1}, {"cached_input_price": 9}], ids=str)
def paid(request: pytest.FixtureRequest, serve: Serve, raw_upstream: StartRaw) -> Paid:
    return Paid(serve, raw_upstream, **request.param)


def test_no_usage_costs_less_than_nothing_or_more_than_was_set_aside(paid: Paid) -> None:
    paid.fuzz(SOME)


@pytest.mark.full
def test_no_usage_of_many_costs_less_than_nothing_or_more_than_was_set_aside(paid: Paid) -> None:
    paid.fuzz(MANY)


def test_a_stream_whose_last_usage_cannot_be_true_costs_what_was_set_aside(
    serve: Serve, raw_upstream: StartRaw
) -> None:
    good, bad = (
        b'{"prompt_tokens": 3, "completion_tokens": 1}',
        b'{"prompt_tokens": 3, "completion_tokens": -1}',
    )
    paid = Paid(serve, raw_upstream)
    assert paid.check([good], stream=True) == pytest.approx(5e-6)
    assert paid.check([good, bad], stream=True) == pytest.approx(most_of(max_tokens=LIMIT, stream=True))
