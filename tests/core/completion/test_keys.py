"""Keys come from the environment, are used in turn, and are shown nowhere."""

from __future__ import annotations

import copy
import pickle

import pytest

from llmrouter.completion.keys import KeyRing, check_keys, keys_for
from llmrouter.completion.services import Service
from llmrouter.errors import LLMRouterError

SERVICE = Service("acme", api_key_env="ACME_API_KEY")


def all_of(ring: KeyRing) -> list[str | None]:
    return [ring.next() for _ in range(len(ring))]


@pytest.mark.parametrize(
    ("environ", "keys"),
    [
        ({}, []),
        ({"API_KEYS": "k1"}, ["k1"]),
        ({"API_KEYS": " k1 , k2,, "}, ["k1", "k2"]),
        ({"API_KEYS": '["k1", "k2"]'}, ["k1", "k2"]),
        ({"API_KEYS": '{"acme": "k1"}'}, ["k1"]),
        ({"API_KEYS": '{"ACME": "k1,k2", "other": "k3"}'}, ["k1", "k2"]),
        ({"API_KEYS": '{"acme": ["k1", "k2"]}'}, ["k1", "k2"]),
        ({"API_KEYS": '{"other": "k1"}'}, []),
        ({"API_KEYS": '{"other": "k1"}', "ACME_API_KEY": "k2"}, ["k2"]),
        ({"API_KEYS": "  ", "ACME_API_KEY": "k2,k3"}, ["k2", "k3"]),
        ({"API_KEYS": "k1", "ACME_API_KEY": "k2"}, ["k1"]),
        ({"API_KEYS": "\n[]\n", "ACME_API_KEY": "k2\n"}, ["k2"]),
    ],
)
def test_where_the_keys_of_a_service_are(environ: dict[str, str], keys: list[str]) -> None:
    assert all_of(keys_for(SERVICE, environ)) == keys


@pytest.mark.parametrize(
    ("told", "keys"), [("k1,k2", ["k1", "k2"]), ('["k1"]', ["k1"]), ('{"acme": "k1"}', [])]
)
def test_an_endpoint_without_service_gets_keys_that_are_for_all(told: str, keys: list[str]) -> None:
    assert all_of(keys_for(None, {"API_KEYS": told, "OPENAI_API_KEY": "k9"})) == keys


MALFORMED = [
    ('{"acme": "s3cret"', "not valid JSON at character 18"),
    ('["s3cret",]', "not valid JSON"),
    ('{"acme": {"key": "s3cret"}}', "something other than keys"),
    ('{"acme": [["s3cret"]]}', "something other than keys"),
    ('{"acme": ["s3cret", 5]}', "something other than keys"),
    ('{"acme": null, "other": "s3cret"}', "something other than keys"),
    ('["s3cret", null]', "something other than keys"),
    ("s3cret two", "blanks"),
    ("s3cret\nX-Header: y", "blanks, line breaks"),
    ('["s3cret\\u0000"]', "blanks"),
    ("s3cr\u00e9t", "outside ASCII"),
]


@pytest.mark.parametrize(("text", "told"), MALFORMED)
def test_what_is_malformed_is_told_and_not_shown(text: str, told: str) -> None:
    with pytest.raises(LLMRouterError, match=f"^API_KEYS .*{told}") as caught:
        keys_for(SERVICE, {"API_KEYS": text})
    assert "s3cr" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_services_own_variable_is_named() -> None:
    with pytest.raises(LLMRouterError, match=r"^ACME_API_KEY holds a key with blanks"):
        keys_for(SERVICE, {"ACME_API_KEY": "a b"})


def test_check_keys_tells_of_every_variable_that_is_malformed() -> None:
    environ = {"API_KEYS": "[", "A_API_KEY": "x y", "B_API_KEY": "good", "NO_KEYS": "x y", "C_API_KEY": ""}
    first, second = check_keys(environ)
    assert first.startswith("API_KEYS begins like JSON")
    assert second.startswith("A_API_KEY holds a key with blanks")
    assert check_keys({"API_KEYS": "a,b"}) == []


def test_they_take_turns() -> None:
    ring = KeyRing(["a", "b"])
    assert [ring.next() for _ in range(5)] == ["a", "b", "a", "b", "a"]
    assert KeyRing().next() is None


def test_a_text_that_quotes_them_is_redacted() -> None:
    ring = KeyRing(["secret", "secret-long"])
    assert ring.redact("bad keys secret-long and secret") == "bad keys [key] and [key]"


def test_they_are_not_in_a_repr_nor_in_a_pickle() -> None:
    ring = KeyRing(["s3cret"])
    assert repr(ring) == "<KeyRing: 1 keys>"
    for copying in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="keys are not pickled"):
            copying(ring)
