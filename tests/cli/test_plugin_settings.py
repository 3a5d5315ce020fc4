"""`llmrouter plugins show`, `disable`, `enable`, `export` and `restore`, without an installer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmrouter.errors import LLMRouterError
from llmrouter_cli.installer import requirement_of

Invoke = Callable[..., Any]
USER = Path("~/.llmrouter/llmrouter.toml")


def test_show_tells_all_of_one_plugin(invoke: Invoke) -> None:
    for name in ("random", "llmrouter-random", "randomrouter"):
        (row,) = invoke("plugins", "show", name, "--json").json
        assert (row["state"], row["declares"]) == ("ready", ["router randomrouter"])
    outcome = invoke("plugins", "show", "nope")
    assert outcome.status == 2
    assert "no plugin is named 'nope'; there are" in outcome.err


def test_list_is_plugins(invoke: Invoke) -> None:
    def without_times(rows: Any) -> Any:
        return [{key: value for key, value in row.items() if key != "load_ms"} for row in rows]

    assert without_times(invoke("plugins", "list", "--json").json) == without_times(
        invoke("plugins", "--json").json
    )


def test_a_plugin_is_left_out_and_let_in_again(invoke: Invoke) -> None:
    file = USER.expanduser()
    outcome = invoke("plugins", "disable", "random")
    assert (outcome.status, outcome.err) == (0, f"llmrouter-random is left out, by {file}\n")
    assert invoke("list-routers", "--json").json[0]["state"] == "blocked"
    assert "was left out already" in invoke("plugins", "disable", "llmrouter_random").err
    assert invoke("plugins", "enable", "random").status == 0
    assert invoke("list-routers", "--json").json[0]["state"] == "ready"
    outcome = invoke("plugins", "enable", "random")
    assert (outcome.status, outcome.err) == (1, f"Error: {file} does not leave out 'random'\n")


def test_the_rest_of_the_file_stays_as_it_was(invoke: Invoke) -> None:
    text = '# mine\n[routers]\nx = "dir"  # why\n\n[plugins]\nrequired = [ "llmrouter-random" ]\n'
    Path("llmrouter.toml").write_text(text)
    assert invoke("plugins", "disable", "randomrouter", "--project").status == 0
    changed = Path("llmrouter.toml").read_text()
    assert changed == text + 'block = ["randomrouter"]\n'
    assert not USER.expanduser().exists()
    assert invoke("plugins", "enable", "randomrouter", "--project").status == 0
    assert Path("llmrouter.toml").read_text() == text + "block = []\n"


def test_what_is_not_there_or_malformed_is_told_and_nothing_written(invoke: Invoke) -> None:
    assert "no plugin is named 'nope'" in invoke("plugins", "disable", "nope").err
    assert not USER.expanduser().exists()
    Path("llmrouter.toml").write_text("[plugins")
    outcome = invoke("plugins", "disable", "random", "--project")
    assert outcome.status == 1
    assert "is malformed" in outcome.err
    assert Path("llmrouter.toml").read_text() == "[plugins"


def test_export_writes_requirements_and_restore_finds_them_met(
    invoke: Invoke, install: Callable[..., Path]
) -> None:
    install("llmrouter-foo", {"fake_foo": "import nothing_like_this"}, {"foo": "fake_foo"}, version="2.1")
    told = invoke("plugins", "export").out
    assert "llmrouter-foo==2.1\n" in told
    assert "llmrouter-random==" in told
    assert invoke("plugins", "export", "plugins.txt").status == 0
    assert Path("plugins.txt").read_text() == told
    outcome = invoke("plugins", "restore", "plugins.txt")
    assert (outcome.status, outcome.err.splitlines()[-1]) == (0, "Nothing is missing.")
    assert invoke("plugins", "restore", "none.txt").status == 2


@pytest.mark.parametrize(
    "line",
    [
        "--index-url https://example.org/simple",
        "-r other.txt",
        "-e .",
        "--",
        "llmrouter-foo==1 --index-url https://example.org/simple",
        "llmrouter-foo @ https://example.org/foo.whl",
        "https://example.org/foo.whl",
        "./foo.whl",
        "llmrouter-foo==",
        "llmrouter-foo\0==1",
        "llmrouter-foo==1 \\",
    ],
)
def test_restore_takes_requirements_and_nothing_else(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    from llmrouter_cli import installer

    monkeypatch.setattr(installer, "_run", lambda arguments: pytest.fail(f"the installer got {arguments}"))
    Path("plugins.txt").write_text(f"# mine\nllmrouter-knn==0.0.1\n{line}\n")
    outcome = invoke("plugins", "restore", "plugins.txt")
    assert outcome.status == 1
    assert outcome.err.startswith("Error: plugins.txt:3: expected a requirement such as llmrouter-knn==0.1.0")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_restore_asks_for_what_the_lines_say(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    from llmrouter_cli import installer

    asked: list[Any] = []
    monkeypatch.setattr(installer, "_run", asked.append)
    text = "LLMRouter-knn[faiss] == 9.9 # nearest\r\n\nllmrouter-nope==9; python_version > '3'\n"
    Path("plugins.txt").write_text(text, encoding=encoding, newline="")
    outcome = invoke("plugins", "restore", "plugins.txt")
    assert outcome.status == 0, outcome.err
    wanted = ["LLMRouter-knn[faiss]==9.9", 'llmrouter-nope==9; python_version > "3"']
    assert asked == [["install", "--", *wanted]]


def test_a_file_to_restore_that_is_no_text_is_one_sentence(invoke: Invoke) -> None:
    Path("plugins.txt").write_text("llmrouter-knn==1\n", encoding="utf-16")
    outcome = invoke("plugins", "restore", "plugins.txt")
    assert (outcome.status, outcome.err) == (
        1,
        "Error: plugins.txt: is not UTF-8 text: invalid start byte at byte 0\n",
    )


def test_what_follows_install_is_no_option_of_the_installer(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    from llmrouter_cli import installer

    asked: list[Any] = []
    monkeypatch.setattr(installer, "_run", asked.append)
    invoke("install", "--", "--index-url=https://example.org/simple")
    assert asked == [["install", "--", "--index-url=https://example.org/simple"]]


@pytest.mark.parametrize(
    ("told", "requirement"),
    [
        ("knn", "llmrouter-knn"),
        ("knn>=0.1,<1", "llmrouter-knn>=0.1,<1"),
        ("knn[faiss]", "llmrouter-knn[faiss]"),
        ("llmrouter-knn", "llmrouter-knn"),
        ("LLMRouter_knn", "LLMRouter_knn"),
        ("./knn", "./knn"),
        ("dist/knn-1.whl", "dist/knn-1.whl"),
        ("https://example.org/knn.whl", "https://example.org/knn.whl"),
        ("knn @ https://example.org/knn.whl", "knn @ https://example.org/knn.whl"),
        ("here.whl", "here.whl"),
    ],
)
def test_what_the_installer_is_asked_for(told: str, requirement: str) -> None:
    Path("here.whl").touch()
    assert requirement_of(told) == requirement


def test_where_nothing_can_install_the_way_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from llmrouter_cli import installer

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(LLMRouterError, match="-m ensurepip"):
        installer.install(["llmrouter-knn"])


def test_uninstall_knows_plugins_only(invoke: Invoke) -> None:
    outcome = invoke("uninstall", "click", "--yes")
    assert outcome.status == 2
    assert "no plugin is named 'click'; there are llmrouter-" in outcome.err
