"""What a conversation holds: the text to route by, and what it takes to answer it."""

from __future__ import annotations

from typing import Any

import pytest

from llmrouter.completion.messages import estimate_tokens, needs, query_of, text_of

IMAGE = {"type": "image_url", "image_url": {"url": "data:,"}}
PARTS = {"role": "user", "content": [{"type": "text", "text": "one"}, IMAGE, {"type": "text", "text": "two"}]}
TALK: list[dict[str, Any]] = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "first"},
    {"role": "assistant", "content": None, "tool_calls": []},
    PARTS,
    {"role": "tool", "content": "result"},
]


def test_the_text_of_a_message() -> None:
    assert [text_of(message) for message in TALK] == ["be brief", "first", "", "one\ntwo", "result"]


@pytest.mark.parametrize("content", [None, 5, [], ["text"], [{"type": "text"}], [{"text": 5}], {}])
def test_a_message_without_text(content: Any) -> None:
    assert text_of({"role": "user", "content": content}) == ""


def test_the_query_is_the_users_last_message() -> None:
    assert query_of(TALK) == "one\ntwo"
    assert query_of([{"role": "system", "content": "only"}]) == "only"
    assert query_of([]) == ""


def test_or_the_whole_conversation() -> None:
    told = query_of(TALK, "full_context")
    assert told == "system: be brief\nuser: first\nassistant: \nuser: one\ntwo\ntool: result"


@pytest.mark.parametrize(
    ("request_", "needed"),
    [
        ({}, set()),
        ({"messages": TALK[:2]}, set()),
        ({"messages": TALK}, {"images"}),
        ({"messages": TALK[:2], "tools": [{}]}, {"tools"}),
        ({"messages": TALK[:2], "tools": []}, set()),
        ({"messages": TALK, "functions": [{}]}, {"images", "tools"}),
    ],
)
def test_what_a_request_needs(request_: dict[str, Any], needed: set[str]) -> None:
    assert needs(request_) == needed


def test_tokens_are_estimated_from_the_length_in_bytes() -> None:
    assert estimate_tokens([]) == 0
    short, long = ([{"role": "user", "content": "x" * size}] for size in (40, 4000))
    assert estimate_tokens(short) == 14
    assert estimate_tokens(long) == 1004
    assert estimate_tokens([{"role": "user", "content": "\u4f60" * 40}]) > estimate_tokens(short)
    assert estimate_tokens(short, [{"name": "x" * 400}]) > 100
