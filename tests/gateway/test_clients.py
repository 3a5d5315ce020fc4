"""The gateway as clients of the OpenAI protocol see it: with a scripted LLM, and with a real one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.gateway.client import Gateway
from tests.gateway.conftest import Serve
from tests.gateway.upstream import WORDS, Upstream, events, fails, streams

MESSAGES: list[Any] = [{"role": "user", "content": "one two"}]
TEXT = "".join(WORDS)


@pytest.fixture(scope="module")
def gateway(serve_module: Serve) -> Gateway:
    """A gateway with two candidates."""
    return serve_module("one", "two", "failing")


@pytest.fixture(scope="module")
def client(gateway: Gateway) -> Iterator[openai.OpenAI]:
    """The official client."""
    with openai.OpenAI(base_url=gateway.url, api_key="unused", max_retries=0, timeout=300) as client:
        yield client


def test_the_official_client_reads_answer_and_decision(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="auto", messages=MESSAGES)
    assert answer.choices[0].message.content == TEXT
    assert answer.model == "one"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 18
    assert answer.model_extra is not None
    assert answer.model_extra["llmrouter"]["model_name"] == "one"


def test_the_official_client_reads_a_stream(client: openai.OpenAI) -> None:
    with client.chat.completions.create(
        model="auto", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == TEXT
    assert (chunks[0].model_extra or {})["llmrouter"]["model_name"] == "one"
    assert chunks[-1].usage is not None


def test_the_official_client_lists_models_and_completes_texts(client: openai.OpenAI) -> None:
    assert {model.id for model in client.models.list()} == {"auto", "said", "one", "two", "failing"}
    assert client.models.retrieve("one").id == "one"
    assert client.completions.create(model="auto", prompt="one").choices[0].text == TEXT


def test_the_official_client_understands_errors(client: openai.OpenAI, llm: Upstream) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="nobody", messages=MESSAGES)
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="auto", messages=[])
    llm.behave("failing", fails(422, "no such thing"))
    with pytest.raises(openai.UnprocessableEntityError, match="no such thing"):
        client.chat.completions.create(model="failing", messages=MESSAGES)
    llm.behave("failing", streams(events()[:3]))
    with (
        pytest.raises(openai.APIError, match="broke off"),
        client.chat.completions.create(model="failing", messages=MESSAGES, stream=True) as stream,
    ):
        list(stream)


def test_the_official_asynchronous_client_asks_several_at_once(gateway: Gateway) -> None:
    async def ask() -> list[str]:
        async with openai.AsyncOpenAI(base_url=gateway.url, api_key="unused", max_retries=0) as client:
            plain = [client.chat.completions.create(model="auto", messages=MESSAGES) for _ in range(8)]
            texts = [answer.choices[0].message.content or "" for answer in await asyncio.gather(*plain)]
            stream = await client.chat.completions.create(model="two", messages=MESSAGES, stream=True)
            parts = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
            return [*texts, "".join(parts)]

    assert asyncio.run(ask()) == [TEXT] * 9


@pytest.mark.extras
def test_langchain_asks_and_streams(gateway: Gateway) -> None:
    from langchain_openai import ChatOpenAI

    chat = ChatOpenAI(
        model="auto", base_url=gateway.url, api_key=lambda: "unused", max_retries=0, timeout=300
    )
    answer = chat.invoke("one two")
    assert answer.content == TEXT
    assert answer.response_metadata["model_name"] == "one"
    assert "".join(str(chunk.content) for chunk in chat.stream("two one")) == TEXT


@pytest.fixture(scope="module")
def real(serve_module: Serve, local_llm: str) -> Gateway:
    """A gateway in front of a real LLM."""
    at = {"api_endpoint": local_llm}
    return serve_module(candidates={"smollm": at, "smollm-too": at}, gateway={"total_seconds": 120})


@pytest.mark.llm
def test_a_real_llm_answers_the_official_client(real: Gateway) -> None:
    with openai.OpenAI(base_url=real.url, api_key="unused", max_retries=0, timeout=300) as client:
        asked: list[Any] = [{"role": "user", "content": "smollm-too: What is the capital of France?"}]
        options: dict[str, Any] = {"temperature": 0, "seed": 1, "max_tokens": 8}
        answer = client.chat.completions.create(model="auto", messages=asked, **options)
        assert answer.choices[0].message.content
        assert answer.usage is not None
        assert answer.usage.prompt_tokens > 0
        assert 0 < answer.usage.completion_tokens <= 8
        with client.chat.completions.create(model="auto", messages=asked, stream=True, **options) as stream:
            chunks = [chunk for chunk in stream if chunk.choices]
        streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        # Nothing is drawn at random, so both say the same.
        assert streamed == answer.choices[0].message.content
        assert len(chunks) > 2
        told = (chunks[0].model_extra or {})["llmrouter"]
        assert told["router"] == "said"
        assert answer.model in ("smollm", "smollm-too")


@pytest.mark.llm
@pytest.mark.extras
def test_a_real_llm_answers_langchain(real: Gateway) -> None:
    from langchain_openai import ChatOpenAI

    chat = ChatOpenAI(
        model="auto", base_url=real.url, api_key=lambda: "unused", max_retries=0, timeout=300, temperature=0
    )
    answer = chat.invoke("Say hello.", max_tokens=8)
    assert answer.content
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] > 0
    assert "".join(str(chunk.content) for chunk in chat.stream("Say hello.", max_tokens=8)) == answer.content
