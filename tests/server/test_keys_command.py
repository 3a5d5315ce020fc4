from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Outcome

Invoke = Callable[..., Outcome]
FILE = ("--keys-file", "keys.json")


def test_a_key_is_printed_once_and_kept_as_its_digest(invoke: Invoke) -> None:
    outcome = invoke("keys", "create", "ann", *FILE)
    key = outcome.out.strip()
    assert key.startswith("sk-llmrouter-")
    assert len(key) > 50
    text = Path("keys.json").read_text()
    assert key not in text
    assert json.loads(text) == [
        {
            "name": "ann",
            "sha256": hashlib.sha256(key.encode()).hexdigest(),
            "org": "default",
            "scopes": ["chat", "read", "write"],
            "budget_usd": None,
        }
    ]
    assert stat.S_IMODE(Path("keys.json").stat().st_mode) == 0o600


def test_a_key_has_the_scopes_organisation_and_budget_that_are_asked_for(invoke: Invoke) -> None:
    options = ["--scope", "read", "--scope", "write", "--org", "acme", "--budget", "2.5"]
    assert invoke("keys", "create", "ann", *FILE, *options).status == 0
    (kept,) = json.loads(Path("keys.json").read_text())
    assert (kept["scopes"], kept["org"], kept["budget_usd"]) == (["read", "write"], "acme", 2.5)


def test_keys_are_listed_without_their_digests(invoke: Invoke) -> None:
    invoke("keys", "create", "ann", *FILE)
    invoke("keys", "create", "bob", *FILE, "--budget", "1")
    outcome = invoke("keys", "list", *FILE)
    assert [(row["name"], row["budget_usd"], row["spent_usd"]) for row in outcome.json] == [
        ("ann", None, 0.0),
        ("bob", 1.0, 0.0),
    ]
    assert "sha256" not in outcome.out


def test_a_revoked_key_is_gone(invoke: Invoke) -> None:
    invoke("keys", "create", "ann", *FILE)
    assert invoke("keys", "revoke", "ann", *FILE).status == 0
    assert json.loads(Path("keys.json").read_text()) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("create", "ann"), "has a key named 'ann' already"),
        (("create", "no name"), "cannot be the name of a key"),
        (("create", "bob", "--org", "a/b"), "cannot be the organisation of a key"),
        (("revoke", "nobody"), "has no key named 'nobody'; there are: ann"),
    ],
)
def test_a_mistake_is_told_and_changes_nothing(invoke: Invoke, arguments: tuple[str, ...], told: str) -> None:
    invoke("keys", "create", "ann", *FILE)
    before = Path("keys.json").read_bytes()
    outcome = invoke("keys", *arguments, *FILE)
    assert outcome.status == 1
    assert told in outcome.err
    assert Path("keys.json").read_bytes() == before


@pytest.mark.parametrize("command", [("list",), ("revoke", "ann")])
def test_a_missing_file_is_told(invoke: Invoke, command: tuple[str, ...]) -> None:
    outcome = invoke("keys", *command, *FILE)
    assert outcome.status == 1
    assert "keys.json: there is no such file" in outcome.err


@pytest.mark.parametrize("text", ["", "{}", '[{"name": "a"}]', '[{"name": "a", "sha256": "x"}]', "[1]"])
def test_a_malformed_file_is_told_and_kept(invoke: Invoke, text: str) -> None:
    Path("keys.json").write_text(text)
    outcome = invoke("keys", "create", "ann", *FILE)
    assert outcome.status == 1
    assert "is not a keys file" in outcome.err
    assert Path("keys.json").read_text() == text


def test_an_unknown_field_names_what_was_meant(invoke: Invoke) -> None:
    invoke("keys", "create", "ann", *FILE)
    (kept,) = json.loads(Path("keys.json").read_text())
    Path("keys.json").write_text(json.dumps([{**kept, "budget_us": 3}]))
    assert "'budget_us' is unknown; did you mean 'budget_usd'?" in invoke("keys", "list", *FILE).err


def test_two_keys_of_one_digest_are_refused(invoke: Invoke) -> None:
    invoke("keys", "create", "ann", *FILE)
    (kept,) = json.loads(Path("keys.json").read_text())
    Path("keys.json").write_text(json.dumps([kept, {**kept, "name": "bob"}]))
    assert "two keys of one sha256" in invoke("keys", "list", *FILE).err


def test_a_folder_that_is_missing_is_told(invoke: Invoke) -> None:
    outcome = invoke("keys", "create", "ann", "--keys-file", "nowhere/keys.json")
    assert outcome.status == 1
    assert outcome.err.startswith("Error: nowhere")
