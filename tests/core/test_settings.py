"""``llmrouter.toml``: what users settle once, for a project or for themselves."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from llmrouter.errors import ConfigError, PluginError, UnknownRouterError
from llmrouter.plugin_system import PluginRegistry
from llmrouter.plugin_system.settings import USER_FILE, read_settings

Install = Callable[..., Path]
PLUGIN = """
    from llmrouter import RouterSpec, hookimpl

    @hookimpl
    def llmrouter_register_routers():
        return [RouterSpec("twin", "fake_code:Router")]

    @hookimpl
    def llmrouter_after_route(decision):
        pass
"""


@pytest.fixture
def user() -> Path:
    """The user's file, to be written."""
    path = USER_FILE.expanduser()
    path.parent.mkdir(parents=True)
    return path


@pytest.fixture
def twins(install: Install) -> None:
    """Two distributions with a router of one name."""
    for name in ("one", "two"):
        install(f"llmrouter-{name}", {f"fake_{name}": PLUGIN}, {name: f"fake_{name}"})


def states() -> dict[str, str]:
    return {entry.origin: entry.state for entry in PluginRegistry().routers if entry.name == "twin"}


def test_without_files_nothing_is_settled() -> None:
    assert read_settings() == ((None), {}, {}, {}, None)


def test_the_projects_file_goes_before_the_users(user: Path, tmp_path: Path) -> None:
    user.write_text(
        '[plugins]\nallow = ["a"]\nblock = ["B_b"]\ndirectories = false\n[routers]\nx = "u"\ny = "u"\n'
    )
    project = tmp_path / "work" / "llmrouter.toml"
    project.write_text('[plugins]\nallow = ["c"]\nblock = ["d"]\ndirectories = true\n[routers]\nX = "p"\n')
    settings = read_settings()
    assert settings.allow == (frozenset({"c"}), str(project))
    assert settings.block == {"b-b": f"{user} blocks 'B_b'", "d": f"{project} blocks 'd'"}
    assert settings.pins == {"x": ("p", str(project)), "y": ("u", str(user))}
    assert settings.no_directories is None


def test_the_file_is_looked_for_above_this_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("llmrouter.toml").write_text("[plugins]\ndirectories = false\n")
    Path("deep/er").mkdir(parents=True)
    monkeypatch.chdir("deep/er")
    assert read_settings().no_directories == str(Path("../../llmrouter.toml").resolve())


@pytest.mark.usefixtures("twins")
def test_allowed_and_blocked_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("llmrouter.toml").write_text('[plugins]\nallow = ["llmrouter-one"]\n')
    assert states() == {"llmrouter-one": "ready"}
    registry = PluginRegistry()
    (two,) = (plugin for plugin in registry.plugins if plugin.name == "two")
    assert two.state == "blocked"
    assert str(two.reason).endswith("llmrouter.toml does not name it")
    # The environment goes before.
    monkeypatch.setenv("LLMROUTER_LOAD_PLUGINS", "two")
    assert states() == {"llmrouter-two": "ready"}
    monkeypatch.delenv("LLMROUTER_LOAD_PLUGINS")
    Path("llmrouter.toml").write_text('[plugins]\nblock = ["two"]\n')
    assert states() == {"llmrouter-one": "ready"}


@pytest.mark.usefixtures("twins")
def test_a_pin_settles_which_of_two_is_used() -> None:
    assert states() == {"llmrouter-one": "conflict", "llmrouter-two": "conflict"}
    Path("llmrouter.toml").write_text('[routers]\nTwin = "LLMRouter_Two"\n')
    assert states() == {"llmrouter-one": "shadowed", "llmrouter-two": "ready"}
    registry = PluginRegistry()
    assert registry.find("twin").origin == "llmrouter-two"
    assert registry.find("llmrouter-one:twin").origin == "llmrouter-one"
    assert [plugin.state for plugin in registry.plugins if plugin.name in ("one", "two")] == [
        "ready",
        "ready",
    ]


@pytest.mark.usefixtures("twins")
def test_a_pin_may_name_a_folder_or_what_is_not_there() -> None:
    folder = Path("custom_routers/twin")
    folder.mkdir(parents=True)
    (folder / "router.py").write_text(
        "from llmrouter.models.router import Router\nclass TwinRouter(Router):\n pass\n"
    )
    Path("llmrouter.toml").write_text('[routers]\ntwin = "dir"\n')
    assert PluginRegistry().find("twin").directory is not None
    Path("llmrouter.toml").write_text('[routers]\ntwin = "llmrouter-three"\n')
    with pytest.raises(UnknownRouterError, match="there is llmrouter-one:twin or llmrouter-two:twin"):
        PluginRegistry().find("twin")


def test_directories_are_turned_off_and_told_of() -> None:
    folder = Path("custom_routers/mine")
    folder.mkdir(parents=True)
    (folder / "router.py").write_text(
        "from llmrouter.models.router import Router\nclass MineRouter(Router):\n pass\n"
    )
    assert "mine" in PluginRegistry().get_router_names()
    Path("llmrouter.toml").write_text("[plugins]\ndirectories = false\n")
    with pytest.raises(UnknownRouterError, match=r"llmrouter\.toml turns plugin directories off"):
        PluginRegistry().find("mine")
    # Whoever names directories means them.
    assert "mine" in PluginRegistry(["custom_routers"]).get_router_names()


@pytest.mark.parametrize(
    ("required", "problem"),
    [
        ("llmrouter-none", r"it is not installed; run: llmrouter install 'llmrouter-none'"),
        ("llmrouter-one>=2", r"llmrouter-one 1\.0 is installed; run"),
        ("llmrouter one", "it is not installed"),
    ],
)
@pytest.mark.usefixtures("twins")
def test_without_a_required_plugin_no_router_is_used(required: str, problem: str) -> None:
    Path("llmrouter.toml").write_text(f'[plugins]\nrequired = ["{required}"]\n')
    registry = PluginRegistry()
    with pytest.raises(PluginError, match=problem):
        registry.find("randomrouter")
    assert any("requires the plugin" in problem for problem in registry.problems())


@pytest.mark.usefixtures("twins")
def test_a_required_plugin_that_is_left_out_is_missing_too() -> None:
    Path("llmrouter.toml").write_text('[plugins]\nrequired = ["llmrouter-one==1.0"]\n')
    assert PluginRegistry().find("randomrouter").state == "ready"
    with pytest.raises(PluginError, match="which is blocked: --no-plugin one"):
        PluginRegistry(block=["one"]).find("randomrouter")


@pytest.mark.parametrize(
    ("text", "key", "problem"),
    [
        ("[plugins", None, "is malformed"),
        ("[plugin]", "plugin", "is unknown; did you mean 'plugins'?"),
        ("[tools]", "tools", "is unknown; there are plugins, routers"),
        ("[plugins]\nalow = []", "plugins.alow", "is unknown; did you mean 'allow'?"),
        ("[plugins]\nrequire = []", "plugins.require", "is unknown; did you mean 'required'?"),
        ("plugins = 3", "plugins", "expected a section"),
        ("[plugins]\nban = []", "plugins.ban", "there are allow, block, required, directories"),
        ('[plugins]\nblock = "a"', "plugins.block", "expected a list of names, found 'a'"),
        ("[plugins]\nallow = [3]", "plugins.allow", "expected a list of names"),
        ("[plugins]\ndirectories = 0", "plugins.directories", "expected true or false"),
        ("[routers]\nx = 3", "routers.x", "expected the name of a distribution, or dir"),
        (b"\xff", None, "is malformed"),
    ],
)
def test_a_malformed_file_is_told(text: str | bytes, key: str | None, problem: str) -> None:
    Path("llmrouter.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError, match=problem) as caught:
        PluginRegistry()
    assert caught.value.key == key
    assert "llmrouter.toml" in str(caught.value)


@pytest.mark.usefixtures("twins")
def test_calls_of_hooks_are_traced_where_asked(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        PluginRegistry()
        assert "llmrouter_register_routers" not in caplog.text
        monkeypatch.setenv("LLMROUTER_TRACE_PLUGINS", "1")
        registry = PluginRegistry()
        registry.observers[0]({"query": {}, "decision": None})
    assert "llmrouter_register_routers of llmrouter-one:one: " in caplog.text
    assert "llmrouter_after_route of llmrouter-one:one: " in caplog.text
    assert caplog.messages[-1].endswith(" ms")
