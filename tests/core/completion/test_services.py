"""Services are built in and configured; a URL that holds a secret is refused without being shown."""

from __future__ import annotations

from typing import Any

import pytest

from llmrouter.completion.services import ENDPOINTS, check_url, is_loopback, key_variable, services_from
from llmrouter.errors import ConfigError


def test_the_built_in_ones() -> None:
    found = services_from({})
    assert set(found) == {"openai", "anthropic", "together", "gemini"} == set(ENDPOINTS)
    assert found["openai"].api_endpoint == "https://api.openai.com/v1"
    assert [service.api_key_env for service in found.values()] == [
        "ANTHROPIC_API_KEY",
        "GEMINI_API_KEY",
        "OPENAI_API_KEY",
        "TOGETHER_API_KEY",
    ]
    assert all(check_url(service.api_endpoint) is None for service in found.values())


def test_a_new_one_and_a_built_in_one_with_limits() -> None:
    found = services_from(
        {
            "services": {
                "Local": {"api_endpoint": "http://127.0.0.1:1/v1", "concurrency": 2},
                "OpenAI": {"requests_per_minute": 30.5, "api_key_env": "MY_KEY"},
                "bare": None,
            }
        }
    )
    assert (found["local"].api_endpoint, found["local"].concurrency) == ("http://127.0.0.1:1/v1", 2)
    assert found["local"].api_key_env == "LOCAL_API_KEY"
    openai = found["openai"]
    assert (openai.requests_per_minute, openai.api_key_env) == (30.5, "MY_KEY")
    assert openai.api_endpoint == ENDPOINTS["openai"]
    assert found["bare"].api_endpoint is None


@pytest.mark.parametrize(
    ("services", "key", "told"),
    [
        ([], None, ""),
        (["openai"], "services", "a section of services by name"),
        ({"x": 5}, "services.x", "expected api_endpoint, api_key_env"),
        ({"x": {"endpoint": "http://a"}}, "services.x.endpoint", "is unknown; did you mean 'api_endpoint'"),
        ({"x": {"api_endpoint": "a.example/v1"}}, "services.x.api_endpoint", "expected a URL such as"),
        ({"x": {"api_key_env": 5}}, "services.x.api_key_env", "expected the name of a variable"),
        ({"x": {"concurrency": 0}}, "services.x.concurrency", "a whole number from 1, found 0"),
        ({"x": {"concurrency": True}}, "services.x.concurrency", "a whole number from 1, found True"),
        ({"x": {"requests_per_minute": 0}}, "services.x.requests_per_minute", "a number above 0"),
        ({"x": {"requests_per_minute": "9"}}, "services.x.requests_per_minute", "a number above 0"),
    ],
)
def test_a_malformed_section_names_the_key(services: Any, key: str | None, told: str) -> None:
    if key is None:
        assert set(services_from({"services": services})) == set(ENDPOINTS)
        return
    with pytest.raises(ConfigError, match=told) as caught:
        services_from({"services": services})
    assert caught.value.key == key


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080/v1", "https://api.example.com", "http://[::1]:80/v1/", "http://localhost"]
)
def test_good_urls(url: str) -> None:
    assert check_url(url) is None


@pytest.mark.parametrize(
    "url",
    ["", "api.example.com/v1", "ftp://a/v1", "http://", "http://a:port", "http://a:99999", "http://[::1", 5],
)
def test_bad_urls_are_shown(url: Any) -> None:
    assert f"found {url!r}" in str(check_url(url))


@pytest.mark.parametrize(
    "url",
    [
        "https://user:s3cret@a.example/v1",
        "https://s3cret@a.example/v1",
        "https://a.example/v1?key=s3cret",
        "https://a.example/v1#s3cret",
        "ftp://user:s3cret@a.example",
        "user:s3cret@a.example/v1",
        "http://user:s3cret@[::1",
        "http://user:s3cret@a:port",
        "http://a:port/?key=s3cret",
    ],
)
def test_urls_that_may_hold_a_secret_are_refused_and_not_shown(url: str) -> None:
    told = check_url(url)
    assert told is not None
    assert "s3cret" not in told


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:8080/v1", True),
        ("http://127.9.9.9/v1", True),
        ("http://localhost/v1", True),
        ("http://[::1]:9/v1", True),
        ("http://127.0.0.1.example.com/v1", False),
        ("http://localhost.example.com/v1", False),
        ("http://0.0.0.0/v1", False),
        ("http://10.0.0.1/v1", False),
        ("https://api.openai.com/v1", False),
    ],
)
def test_what_is_on_this_machine(url: str, here: bool) -> None:
    assert is_loopback(url) is here


@pytest.mark.parametrize(
    ("name", "variable"), [("openai", "OPENAI_API_KEY"), ("my-own.service", "MY_OWN_SERVICE_API_KEY")]
)
def test_the_variable_of_a_service(name: str, variable: str) -> None:
    assert key_variable(name) == variable
