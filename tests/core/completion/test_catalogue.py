"""The catalogue knows where each candidate is called, under which name, and with whose keys."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from llmrouter.completion.catalogue import Catalogue, Endpoint
from llmrouter.completion.keys import KeyRing
from llmrouter.completion.prices import Price
from llmrouter.errors import ConfigError, LLMRouterError
from llmrouter.models.router import Router

HERE = "http://127.0.0.1:8000/v1"
KEYS = {
    "API_KEYS": '{"openai": "key-of-openai", "acme": "key-of-acme"}',
    "TOGETHER_API_KEY": "key-of-together",
}


def endpoint(name: str, candidate: dict[str, Any], environ: Any = KEYS, **config: Any) -> Endpoint:
    return Catalogue({name: candidate}, config, environ=environ).endpoint(name)


@pytest.mark.parametrize(
    ("name", "candidate", "config", "url"),
    [
        ("a", {"api_endpoint": HERE}, {}, HERE),
        ("a", {"api_endpoint": f"{HERE}/"}, {"api_endpoint": "http://127.0.0.1:9/v1"}, HERE),
        ("a", {"api_endpoint": HERE, "service": "openai"}, {}, HERE),
        ("a", {"service": "openai"}, {"api_endpoint": HERE}, "https://api.openai.com/v1"),
        ("a", {"service": "OpenAI"}, {}, "https://api.openai.com/v1"),
        ("a", {}, {"api_endpoint": HERE}, HERE),
        ("a", {"service": "acme"}, {"api_endpoint": HERE}, HERE),
        ("a", {"service": "acme"}, {"services": {"ACME": {"api_endpoint": HERE}}}, HERE),
        ("a", {"service": "openai"}, {"services": {"openai": {"api_endpoint": HERE}}}, HERE),
        ("openai/gpt", {}, {"api_endpoint": HERE}, "https://api.openai.com/v1"),
        ("together/vendor/llm", {}, {}, "https://api.together.xyz/v1"),
    ],
)
def test_where_a_candidate_is_called(
    name: str, candidate: dict[str, Any], config: dict[str, Any], url: str
) -> None:
    assert endpoint(name, candidate, **config).url == url


@pytest.mark.parametrize(
    ("name", "candidate", "model"),
    [
        ("a", {"service": "openai"}, "a"),
        ("a", {"service": "openai", "model": "gpt-4o"}, "gpt-4o"),
        ("openai/gpt-4o", {}, "gpt-4o"),
        ("openai/openai/gpt-4o", {}, "gpt-4o"),
        ("OpenAI/gpt-4o", {}, "gpt-4o"),
        ("together/vendor/llm", {}, "vendor/llm"),
        ("vendor/llm", {"service": "together"}, "vendor/llm"),
        ("openai/gpt-oss-20b", {"api_endpoint": HERE}, "openai/gpt-oss-20b"),
        ("openai/gpt-oss-20b", {"service": "together"}, "openai/gpt-oss-20b"),
    ],
)
def test_what_its_service_calls_it(name: str, candidate: dict[str, Any], model: str) -> None:
    assert endpoint(name, candidate).model == model


@pytest.mark.parametrize(
    ("name", "candidate", "key"),
    [
        ("a", {"service": "openai"}, "key-of-openai"),
        ("openai/a", {}, "key-of-openai"),
        ("openai/a", {"api_endpoint": "https://api.openai.com/v1/"}, "key-of-openai"),
        ("a", {"service": "acme", "api_endpoint": "https://acme.example/v1"}, "key-of-acme"),
        ("a", {"service": "together"}, "key-of-together"),
        ("a", {"api_endpoint": HERE}, None),
        # Somebody else's endpoint gets no key because of what the LLM is called.
        ("openai/gpt-oss-20b", {"api_endpoint": HERE}, None),
    ],
)
def test_whose_key_is_sent(name: str, candidate: dict[str, Any], key: str | None) -> None:
    assert endpoint(name, candidate).keys.next() == key


@pytest.mark.parametrize(
    ("name", "candidate", "told"),
    [
        ("a", {}, "it is not known where 'a' is called; give the candidate an 'api_endpoint'"),
        ("a", {"service": "acme"}, "no service is named 'acme'; there are"),
        ("a", {"service": "gemini"}, "'a' needs a key; set API_KEYS or GEMINI_API_KEY"),
        (
            "a",
            {"api_endpoint": "https://a.example/v1"},
            "'a' needs a key; set API_KEYS .* give it a 'service'",
        ),
        ("openai/a", {"api_endpoint": "https://a.example/v1"}, "'openai/a' needs a key"),
        ("a", {"api_endpoint": "a.example"}, "a.api_endpoint: expected a URL such as"),
        ("a", {"api_endpoint": "https://user:s3cret@a.example"}, "a.api_endpoint: holds a name, password"),
    ],
)
def test_what_cannot_be_called(name: str, candidate: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        endpoint(name, candidate)
    for secret in ("s3cret", "key-of"):
        assert secret not in str(caught.value)


def test_an_endpoint_of_the_configuration_that_is_none_names_its_line(config: Callable[..., str]) -> None:
    path = config(api_endpoint="nowhere")
    with pytest.raises(ConfigError, match=r"config.yaml:1: api_endpoint: expected a URL"):
        Catalogue({}, {"api_endpoint": "nowhere"}, path)


def test_malformed_keys_are_told() -> None:
    with pytest.raises(LLMRouterError, match="API_KEYS begins like JSON"):
        endpoint("a", {"api_endpoint": HERE}, {"API_KEYS": "{"})


def test_candidates_of_one_service_take_turns_with_its_keys() -> None:
    llms = {name: {"service": "openai"} for name in "ab"}
    catalogue = Catalogue(llms, {}, environ={"API_KEYS": "k1,k2"})
    found = [catalogue.endpoint(name).keys.next() for name in "abab"]
    assert found == ["k1", "k2", "k1", "k2"]


def test_what_is_known_of_it() -> None:
    found = endpoint(
        "a",
        {
            "api_endpoint": HERE,
            "input_price": 1,
            "output_price": 2,
            "context_window": 4096,
            "supports": ["tools"],
            "parameters": {"temperature": 0},
        },
    )
    assert (found.price, found.context_window, found.parameters) == (Price(1, 2), 4096, {"temperature": 0})
    assert (found.supports("tools"), found.supports("images")) == (True, False)
    assert found.cost(1_000_000, 500_000) == 2
    assert found.cost(None, 5) is None


def test_what_is_unknown_stays_so() -> None:
    found = endpoint("a", {"api_endpoint": HERE, "cost": 1})
    assert (found.price, found.cost(5, 5), found.context_window) == (None, None, None)
    assert found.supports("images")


def test_it_lists_its_candidates() -> None:
    catalogue = Catalogue({"a": {}, "b": {}}, {})
    assert (list(catalogue), len(catalogue)) == (["a", "b"], 2)
    with pytest.raises(KeyError):
        catalogue.endpoint("c")


def test_no_key_is_in_a_repr_or_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "s3cret")
    catalogue = Catalogue({"a": {"service": "openai"}}, {})
    assert catalogue.endpoint("a").keys.next() == "s3cret"
    pickled = pickle.dumps(catalogue)
    for text in (repr(catalogue), repr(catalogue.endpoint("a")), repr(vars(catalogue)), str(pickled)):
        assert "s3cret" not in text
    # A copy reads them anew.
    for copied in (pickle.loads(pickled), copy.deepcopy(catalogue)):
        assert copied.endpoint("a").keys.next() == "s3cret"
    monkeypatch.setenv("OPENAI_API_KEY", "other")
    assert pickle.loads(pickled).endpoint("a").keys.next() == "other"


def test_a_router_that_asked_may_be_copied_and_pickled_without_keys(
    config: Callable[..., str], upstream: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEYS", "s3cret")
    router = Asks(config({"a": {}}, api_endpoint=upstream.url))
    assert router.complete("a", "hi").text == "echo hi"
    pickled = pickle.dumps(router)
    assert b"s3cret" not in pickled
    for copied in (pickle.loads(pickled), copy.deepcopy(router)):
        assert copied.complete("a", "again").text == "echo again"
        copied.completions.close()
    router.completions.close()
    assert upstream.keys == ["s3cret"] * 3


class Asks(Router):
    def route_single(self, query_input: dict[str, Any]) -> dict[str, Any]:
        return {"model_name": "a"}


def test_a_ring_is_told_from_no_ring() -> None:
    assert not KeyRing()
    assert KeyRing(["a"])
