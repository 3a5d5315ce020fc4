from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrouter_server.sse import EventSplitter, event_of, split_event

TEXT = b"\xef\xbb\xbf: c\n\ndata: 1\r\n\r\nid: 2\r\ndata: a\rdata: b\r\r\n\n\ndata: [DONE]\n\ndata: cut"


@given(st.lists(st.integers(0, len(TEXT)), max_size=8))
def test_events_are_the_same_however_the_bytes_are_cut(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(TEXT)]
    splitter = EventSplitter(100)
    found = []
    for start, end in pairwise(places):
        found += splitter.feed(TEXT[start:end])
    assert found == [b": c", b"data: 1", b"id: 2\ndata: a\ndata: b", b"data: [DONE]"]
    assert not splitter.too_large


@pytest.mark.parametrize("data", [b"x" * 11, b"x" * 11 + b"\n\n", b"a\n\n" + b"x" * 11 + b"\n\nb\n\n"])
def test_an_event_over_the_bound_is_noticed_and_what_came_before_is_kept(data: bytes) -> None:
    splitter = EventSplitter(10)
    assert splitter.feed(data) == ([b"a"] if data.startswith(b"a") else [])
    assert splitter.too_large


@pytest.mark.parametrize(
    ("event", "others", "data"),
    [
        (b"data: x", b"", b"x"),
        (b"data:x", b"", b"x"),
        (b": comment", b": comment\n", None),
        (b"id: 1\ndata: a\ndata: b", b"id: 1\n", b"a\nb"),
        (b"event: ping\nid: 1", b"event: ping\nid: 1\n", None),
        (b"data: ", b"", None),
        (b"data", b"", None),
    ],
)
def test_an_event_is_split_into_its_data_and_the_rest(
    event: bytes, others: bytes, data: bytes | None
) -> None:
    assert split_event(event) == (others, data)


def test_an_event_is_written_with_its_other_lines() -> None:
    assert event_of(b"x", b"id: 1\n") == b"id: 1\ndata: x\n\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"data: [DONE]", [b"data: [DONE]"]),
        (b"data: [DONE]\r", [b"data: [DONE]"]),
        (b"data: {}", []),
        (b"", []),
    ],
)
def test_only_the_end_needs_no_blank_line(text: bytes, found: list[bytes]) -> None:
    splitter = EventSplitter(100)
    assert splitter.feed(text) == []
    assert splitter.end() == found
