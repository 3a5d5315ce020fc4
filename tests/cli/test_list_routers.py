"""`llmrouter list-routers` shows every router and what keeps it from being used."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

KEYS = {"name", "state", "trainable", "origin", "version", "summary", "target", "reason", "from"}


@pytest.fixture
def provide(install: Callable[..., Path]) -> Callable[..., None]:
    """Install a distribution that declares routers by name."""

    def provide(distribution: str, *names: str, summary: str = "", version: str = "1.0") -> None:
        module = "fake_" + distribution.replace("-", "_")
        specs = ", ".join(f"RouterSpec({name!r}, '{module}:Some', {summary!r})" for name in names)
        source = f"""
            from llmrouter import RouterSpec, hookimpl

            @hookimpl
            def llmrouter_register_routers():
                return [{specs}]
        """
        install(distribution, {module: source}, {distribution: module}, version)

    return provide


def by_name(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in rows}


def test_an_installed_router(invoke: Callable[..., Any]) -> None:
    done = invoke("list-routers")
    assert (done.status, done.err) == (0, "")
    assert done.json == [
        {
            "name": "randomrouter",
            "state": "ready",
            "trainable": False,
            "origin": "llmrouter-random",
            "version": "0.1.0",
            "summary": "Draws an LLM at random.",
            "target": "llmrouter_random.router:RandomRouter",
            "reason": None,
            "from": "llmrouter-random 0.1.0",
        }
    ]


def test_several_are_listed_by_name(invoke: Callable[..., Any], provide: Callable[..., None]) -> None:
    provide("llmrouter-two", "zeta", "alpha", summary="Chooses well.", version="2.5")
    rows = invoke("list-routers").json
    assert [row["name"] for row in rows] == ["alpha", "randomrouter", "zeta"]
    assert (rows[0]["version"], rows[0]["summary"]) == ("2.5", "Chooses well.")
    assert all(set(row) == KEYS for row in rows)


def test_a_folder(invoke: Callable[..., Any], router: Callable[..., list[str]]) -> None:
    router(trainer="pass")
    row = by_name(invoke("list-routers").json)["mine"]
    assert (row["state"], row["trainable"], row["target"]) == ("ready", True, "MineRouter")
    assert (row["origin"], row["version"]) == (str(Path("custom_routers/mine").absolute()), None)
    assert row["from"] == "custom_routers/mine"


def test_no_code_of_a_folder_runs(
    invoke: Callable[..., Any], router: Callable[..., list[str]], write: Callable[[str, str], Path]
) -> None:
    router()
    source = Path("custom_routers/mine/router.py")
    source.write_text("open('ran', 'w').close()\n" + source.read_text())
    write("custom_routers/mine/__init__.py", "open('ran', 'w').close()\n")
    assert by_name(invoke("list-routers").json)["mine"]["state"] == "ready"
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    ("source", "told"),
    [("import (", "SyntaxError"), ("x = 1", "Router"), (b"\xff\xfe", "")],
)
def test_a_folder_that_cannot_be_used_says_why(
    invoke: Callable[..., Any], source: str | bytes, told: str
) -> None:
    Path("custom_routers/broken").mkdir(parents=True)
    raw = source if isinstance(source, bytes) else source.encode()
    Path("custom_routers/broken/router.py").write_bytes(raw)
    done = invoke("list-routers")
    assert done.status == 0
    row = by_name(done.json)["broken"]
    assert row["state"] == "failed"
    assert told in row["reason"]
    assert "\n" not in row["reason"]


def test_a_broken_distribution_says_why_and_hides_no_other(
    invoke: Callable[..., Any], install: Callable[..., Path]
) -> None:
    install("llmrouter-broken", {"fake_broken": "1 / 0"}, {"brokenrouter": "fake_broken"})
    install(
        "llmrouter-future",
        {"fake_future": ""},
        {"futurerouter": "fake_future"},
        requires=("llmrouter-core>=9",),
    )
    rows = by_name(invoke("list-routers").json)
    assert rows["randomrouter"]["state"] == "ready"
    assert rows["brokenrouter"]["state"] == "failed"
    assert "ZeroDivisionError" in rows["brokenrouter"]["reason"]
    assert rows["futurerouter"]["state"] == "incompatible"
    assert "requires llmrouter-core>=9" in rows["futurerouter"]["reason"]


def test_what_is_left_out_is_listed_as_blocked(invoke: Callable[..., Any]) -> None:
    (row,) = invoke("--no-plugin", "randomrouter", "list-routers").json
    assert (row["state"], row["reason"]) == ("blocked", "--no-plugin randomrouter")


def test_one_name_in_two_distributions_is_a_conflict(
    invoke: Callable[..., Any], provide: Callable[..., None]
) -> None:
    provide("llmrouter-one", "same")
    provide("llmrouter-two", "same")
    rows = [row for row in invoke("list-routers").json if row["name"] == "same"]
    assert [row["state"] for row in rows] == ["conflict", "conflict"]
    assert all("choose with llmrouter-" in row["reason"] for row in rows)


def test_an_installed_router_hides_a_folder_of_its_name(
    invoke: Callable[..., Any], router: Callable[..., list[str]]
) -> None:
    router(name="randomrouter")
    states = {row["state"]: row for row in invoke("list-routers").json}
    assert set(states) == {"ready", "shadowed"}
    assert states["ready"]["version"] == "0.1.0"
    assert states["shadowed"]["reason"] == ("hidden by llmrouter-random 0.1.0; dir:randomrouter chooses it")


def test_a_name_that_is_no_utf_8_breaks_nothing(
    command: Callable[..., Any], terminal: Callable[..., Any], router: Callable[..., list[str]]
) -> None:
    router(name="caf\udce9")
    done = command("list-routers")
    assert done.status == 0
    assert "caf\udce9" in by_name(done.json)
    assert "caf\\udce9" in terminal("list-routers").out


class TestOnATerminal:
    def test_it_is_a_table(self, terminal: Callable[..., Any], router: Callable[..., list[str]]) -> None:
        router()
        done = terminal("list-routers")
        assert (done.status, done.err) == (0, "")
        lines = done.out.splitlines()
        assert lines[0].split() == ["Router", "State", "Trainable", "From", "Summary"]
        assert lines[2].split() == ["mine", "ready", "no", "custom_routers/mine"]
        expected = "randomrouter ready no llmrouter-random 0.1.0 Draws an LLM at random."
        assert " ".join(lines[3].split()) == expected
        assert all(len(line) <= 80 for line in lines)

    def test_reasons_stand_below_it(
        self, terminal: Callable[..., Any], write: Callable[[str, str], Path]
    ) -> None:
        write("custom_routers/broken/router.py", "import (")
        out = terminal("list-routers").out
        assert out.splitlines()[-1].startswith("broken: SyntaxError: ")

    def test_json_on_request(self, terminal: Callable[..., Any]) -> None:
        assert json.loads(terminal("list-routers", "--json").out)[0]["name"] == "randomrouter"


def test_without_routers_there_is_an_empty_list(
    invoke: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmrouter.plugin_system.installed.entry_points", list)
    assert invoke("list-routers").json == []
