"""Keys: who may ask for what, and how much it may cost."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.gateway.client import Answer, Gateway, wait_for
from tests.gateway.conftest import COMMAND, Serve
from tests.gateway.upstream import Upstream, answers, events, streams

# A completion of the upstream has an answer of 6 tokens: 0.018 USD at this price.
PRICED = {"input_price": 0, "output_price": 3000.0}
COST = 0.018
# Two such answers fit into it, and not a third one.
BUDGET = "0.04"


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    """Where keys are kept."""
    return tmp_path / "keys.json"


def create(keys_file: Path, name: str, *arguments: str) -> str:
    """Make a key with the command that users have."""
    command = [COMMAND, "keys", "create", name, "--keys-file", str(keys_file), *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def with_key(gateway: Gateway, key: str) -> Gateway:
    """The same gateway, asked with a key."""
    other = Gateway(gateway.port, gateway.process, gateway.place)
    other.key = key
    return other


def keep(keys_file: Path) -> tuple[str, ...]:
    """Arguments that have the gateway ask for keys."""
    return ("--keys-file", str(keys_file))


def test_only_a_known_key_is_let_in(serve: Serve, keys_file: Path) -> None:
    key = create(keys_file, "mine")
    gateway = serve("one", arguments=keep(keys_file))
    assert with_key(gateway, key).chat("one").status == 200
    for header in ({}, {"Authorization": "Bearer"}, {"Authorization": f"Basic {key}"}):
        answer = gateway.post("/v1/chat/completions", b"{}", **header)
        assert answer.status == 401, header
        assert answer.error["code"] == "invalid_api_key"
    for wrong in (key[:-1], key + "x", key.upper(), "sk-other", "ä"):
        assert with_key(gateway, wrong).get("/v1/models").status == 401
    # Whoever watches it needs no key.
    assert gateway.get("/healthz").status == gateway.get("/readyz").status == 200
    assert gateway.get("/metrics").status == 401


def test_a_key_is_nowhere_to_be_read(serve: Serve, keys_file: Path) -> None:
    key = create(keys_file, "mine")
    gateway = with_key(serve("one", arguments=(*keep(keys_file), "--debug")), key)
    answer = gateway.chat("one")
    assert gateway.entries(1)[-1]["key"] == "mine"
    for text in (keys_file.read_text(), gateway.access_log(), gateway.output(), str(answer)):
        assert key not in text
    assert keys_file.stat().st_mode & 0o077 == 0
    metrics = gateway.get("/metrics").body.decode()
    assert key not in metrics


def test_the_upstream_does_not_see_the_clients_key(serve: Serve, keys_file: Path, llm: Upstream) -> None:
    key = create(keys_file, "mine")
    gateway = with_key(serve("discreet", arguments=keep(keys_file)), key)
    assert gateway.chat("discreet").status == 200
    assert key not in str(llm.last("discreet").headers)


def test_a_scope_that_a_key_lacks_is_told(serve: Serve, keys_file: Path) -> None:
    chat, read = create(keys_file, "c", "--scope", "chat"), create(keys_file, "r", "--scope", "read")
    gateway = serve("one", arguments=keep(keys_file))
    assert with_key(gateway, chat).chat("one").status == 200
    assert with_key(gateway, read).get("/v1/models").status == 200
    for answer in (with_key(gateway, chat).get("/v1/models"), with_key(gateway, read).chat("one")):
        assert answer.status == 403
        assert "scope" in answer.error["message"]


def test_a_budget_holds_and_outlives_the_gateway(serve: Serve, keys_file: Path) -> None:
    key = create(keys_file, "thrifty", "--budget", BUDGET)

    def ask(gateway: Gateway) -> Answer:
        return with_key(gateway, key).chat("x", max_tokens=6)

    first = serve(candidates={"one": PRICED}, arguments=keep(keys_file))
    assert ask(first).json["llmrouter"]["cost"] == pytest.approx(COST)
    assert ask(first).status == 200
    refused = ask(first)
    assert refused.status == 429
    assert refused.error["code"] == "insufficient_quota"
    first.process.terminate()
    assert first.process.wait(300) == 0
    second = serve(candidates={"one": PRICED}, arguments=keep(keys_file))
    assert ask(second).status == 429
    told = subprocess.run(
        [COMMAND, "keys", "list", "--keys-file", str(keys_file), "--json"], stdout=subprocess.PIPE, check=True
    )
    assert json.loads(told.stdout)[0]["spent_usd"] == pytest.approx(2 * COST)


def test_a_budget_counts_streams_whose_usage_was_not_asked_for(
    serve: Serve, keys_file: Path, llm: Upstream
) -> None:
    key = create(keys_file, "thrifty", "--budget", BUDGET)
    llm.behave("counted", answers)
    gateway = with_key(serve(candidates={"counted": PRICED}, arguments=keep(keys_file)), key)
    answer = gateway.chat("x", stream=True, max_tokens=6)
    assert answer.status == 200
    # The client sees the stream it asked for.
    assert all(not told.get("usage") for told in answer.events[:-1])
    assert llm.last("counted").json["stream_options"] == {"include_usage": True}
    assert gateway.entries(1)[0]["cost"] == pytest.approx(COST)
    assert gateway.chat("x", stream=True, max_tokens=6).status == 200
    assert gateway.chat("x", stream=True, max_tokens=6).status == 429


def test_an_answer_that_breaks_off_is_charged_for(serve: Serve, keys_file: Path, llm: Upstream) -> None:
    key = create(keys_file, "thrifty", "--budget", BUDGET)
    llm.behave("breaking", streams(events()[:4]))
    gateway = with_key(serve(candidates={"breaking": PRICED}, arguments=keep(keys_file)), key)
    assert "error" in gateway.chat("x", stream=True, max_tokens=6).events[-1]
    command = [COMMAND, "keys", "list", "--keys-file", str(keys_file), "--json"]

    def spent() -> float:
        told = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
        return float(json.loads(told)[0]["spent_usd"])

    wait_for(lambda: spent() > 0, 5)


def test_a_candidate_of_unknown_price_is_no_way_around_a_budget(serve: Serve, keys_file: Path) -> None:
    key = create(keys_file, "thrifty", "--budget", "1")
    gateway = with_key(serve(candidates={"unpriced": {}, "one": PRICED}, arguments=keep(keys_file)), key)
    assert gateway.chat("unpriced one", max_tokens=6).json["llmrouter"]["model_name"] == "one"
    refused = gateway.chat("x", model="unpriced")
    assert refused.status == 400
    assert "price" in refused.error["message"]


def test_a_revoked_key_is_refused_by_the_running_gateway(serve: Serve, keys_file: Path) -> None:
    key = create(keys_file, "mine")
    gateway = with_key(serve("one", arguments=keep(keys_file)), key)
    assert gateway.get("/v1/models").status == 200
    subprocess.run([COMMAND, "keys", "revoke", "mine", "--keys-file", str(keys_file)], check=True)
    wait_for(lambda: gateway.get("/v1/models").status == 401, 5)
    # Another key is known as soon.
    gateway.key = create(keys_file, "new")
    wait_for(lambda: gateway.get("/v1/models").status == 200, 5)


def test_a_damaged_keys_file_lets_nobody_new_in(serve: Serve, keys_file: Path) -> None:
    key = create(keys_file, "mine")
    gateway = with_key(serve("one", arguments=keep(keys_file)), key)
    keys_file.write_text("[")
    os.utime(keys_file)
    wait_for(lambda: "keys" in gateway.output(), 5)
    assert gateway.get("/v1/models").status == 200
    assert with_key(gateway, "sk-other").get("/v1/models").status == 401
    with pytest.raises(AssertionError, match="is not a keys file"):
        serve("one", arguments=keep(keys_file))
