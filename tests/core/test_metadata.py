"""Entry points are read from whatever installed metadata looks like, and bounds on core are respected."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import importlib_metadata
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import llmrouter
from llmrouter.plugin_system import PluginRegistry
from llmrouter.plugin_system.metadata import (
    Distribution,
    EntryPoint,
    entry_points,
    incompatibility,
    installed_version,
    missing_extras,
    normalize,
)

PLUGIN = "from llmrouter import RouterSpec, hookimpl\n"


def router(name: str) -> str:
    """Return the source of a plugin that declares one router."""
    return (
        f"{PLUGIN}@hookimpl\ndef llmrouter_register_routers():\n"
        f"    return [RouterSpec({name!r}, 'fake_code:Router')]\n"
    )


def made_up() -> list[EntryPoint]:
    """Return the entry points of what tests installed."""
    return [point for point in entry_points() if point.distribution.name != "llmrouter-random"]


def info(site: Path) -> Path:
    """Return the folder of metadata of an installed distribution."""
    (found,) = site.glob("*.dist-info")
    return found


@pytest.fixture
def broken(install: Callable[..., Path]) -> Path:
    """Install two sound plugins and, between them, one to be broken; return its metadata."""
    install("llmrouter-after", {"fake_after": router("after")}, {"after": "fake_after"})
    site = install("llmrouter-broken", {"fake_broken": router("broken")}, {"broken": "fake_broken"})
    install("llmrouter-before", {"fake_before": router("before")}, {"before": "fake_before"})
    return info(site)


def others_are_ready() -> bool:
    """Whether the plugins around the broken one, and the one of this repository, work."""
    return {"before", "after", "randomrouter"} <= set(PluginRegistry().get_router_names())


@pytest.mark.parametrize(
    ("name", "normalized"),
    [
        ("llmrouter-random", "llmrouter-random"),
        ("LLMRouter_Random", "llmrouter-random"),
        ("llmrouter.random", "llmrouter-random"),
        ("llmrouter-._random", "llmrouter-random"),
    ],
)
def test_names_are_compared_in_one_form(name: str, normalized: str) -> None:
    assert normalize(name) == normalized


def test_an_entry_point_tells_its_distribution(install: Callable[..., Path]) -> None:
    install("llmrouter-foo", {"fake_foo": ""}, {"foo": "fake_foo"}, "1.2", ("click>=8", "llmrouter-core"))
    (point,) = made_up()
    assert point == EntryPoint(
        "foo", "fake_foo", Distribution("llmrouter-foo", "1.2", ("click>=8", "llmrouter-core"))
    )
    assert str(point.distribution) == "llmrouter-foo 1.2"


def test_entry_points_of_other_groups_are_none_of_ours(install: Callable[..., Path]) -> None:
    site = install("llmrouter-foo", {}, {})
    (info(site) / "entry_points.txt").write_text(
        "[console_scripts]\nllmrouter = fake_foo:main\n[llmrouter.other]\nfoo = fake_foo\n"
    )
    assert made_up() == []


def test_a_distribution_without_entry_points(broken: Path) -> None:
    (broken / "entry_points.txt").unlink()
    assert [point.name for point in made_up()] == ["after", "before"]


def test_entry_points_come_in_the_order_of_their_distributions_names(install: Callable[..., Path]) -> None:
    for name in ("llmrouter-b", "LLMRouter_C", "llmrouter-a"):
        install(name, {}, {f"{name}-2": "fake_b", f"{name}-1": "fake_a"})
    names = [point.name for point in made_up()]
    assert names == [
        *["llmrouter-a-2", "llmrouter-a-1", "llmrouter-b-2", "llmrouter-b-1"],
        *["LLMRouter_C-2", "LLMRouter_C-1"],
    ]


def test_the_first_of_two_versions_on_the_path_is_used(install: Callable[..., Path]) -> None:
    install("llmrouter-foo", {"fake_foo": ""}, {"foo": "fake_foo", "gone": "fake_gone"}, "1.0")
    install("LLMRouter_Foo", {"fake_foo": ""}, {"foo": "fake_foo"}, "2.0")
    assert [(point.name, point.distribution.version) for point in made_up()] == [("foo", "2.0")]


def test_the_current_folder_may_be_on_the_path(
    install: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = install("llmrouter-foo", {"fake_foo": ""}, {"foo": "fake_foo"})
    monkeypatch.chdir(site)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "path", ["", *(place for place in sys.path if place != str(site))])
        assert [point.name for point in made_up()] == ["foo"]


def test_what_is_on_the_path_may_be_missing(
    install: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path / "nowhere"))
    monkeypatch.syspath_prepend(str(tmp_path / "nowhere.zip"))
    install("llmrouter-foo", {"fake_foo": ""}, {"foo": "fake_foo"})
    assert [point.name for point in made_up()] == ["foo"]


@pytest.mark.parametrize(
    "text",
    [
        b"[llmrouter]\nbroken\n",
        b"[llmrouter]\nbroken = fake_broken\nanother\n",
        b"[llmrouter]\nbroken fake_broken\n",
        b"[llmrouter]\nbroken = caf\xe9\n",
        b"[llmrouter]\nbroken = \xff\xfe\n",
    ],
)
def test_a_malformed_file_of_entry_points_is_told(broken: Path, text: bytes) -> None:
    (broken / "entry_points.txt").write_bytes(text)
    (plugin,) = [plugin for plugin in PluginRegistry().plugins if plugin.state != "ready"]
    assert (plugin.state, plugin.distribution.name) == ("failed", "llmrouter-broken")
    assert (plugin.reason or "").startswith("its entry_points.txt cannot be read: ")
    assert others_are_ready()


@pytest.mark.parametrize(
    "target", ["fake_broken:missing", "fake_nowhere", "not a module!", ".", ":x", "fake broken"]
)
def test_an_entry_point_that_names_nothing_is_told(broken: Path, target: str) -> None:
    (broken / "entry_points.txt").write_text(f"[llmrouter]\nbroken = {target}\n")
    (plugin,) = [plugin for plugin in PluginRegistry().plugins if plugin.state != "ready"]
    assert (plugin.state, plugin.distribution.name) == ("failed", "llmrouter-broken")
    assert plugin.reason
    assert others_are_ready()


@pytest.mark.parametrize(
    "text",
    [
        *[b"", b"\n\n", b"[llmrouter]\n", b"[llmrouter]\n# broken = fake_broken\n"],
        *[b"[console_scripts]\nmalformed\n", b"[console_scripts]\nmalformed = caf\xe9\n"],
    ],
)
def test_a_file_of_entry_points_that_declares_nothing(broken: Path, text: bytes) -> None:
    (broken / "entry_points.txt").write_bytes(text)
    assert {plugin.state for plugin in PluginRegistry().plugins} == {"ready"}
    assert others_are_ready()


def test_a_folder_in_place_of_the_file_declares_nothing(broken: Path) -> None:
    (broken / "entry_points.txt").unlink()
    (broken / "entry_points.txt").mkdir()
    assert others_are_ready()


def test_without_its_metadata_a_plugin_works(broken: Path) -> None:
    (broken / "METADATA").unlink()
    entry = PluginRegistry().find("broken")
    assert (entry.state, entry.origin, entry.version) == ("ready", "llmrouter-broken", "1.0")
    assert others_are_ready()


def test_two_plugins_without_metadata_do_not_hide_each_other(install: Callable[..., Path]) -> None:
    for name in ("one", "two"):
        site = install(f"llmrouter-{name}", {f"fake_{name}": router(name)}, {name: f"fake_{name}"})
        (info(site) / "METADATA").unlink()
    assert {"one", "two"} <= set(PluginRegistry().get_router_names())


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_metadata_that_is_not_utf8_is_read_all_the_same(broken: Path, line_end: bytes) -> None:
    headers, _, body = (broken / "METADATA").read_bytes().partition(b"\n\n")
    headers += b"\nAuthor: Jos\xe9\nRequires-Dist: llmrouter-core>=0.1"
    text = headers + b"\n\nRequires-Dist: llmrouter-core>=9\n" + body
    (broken / "METADATA").write_bytes(text.replace(b"\n", line_end))
    (point,) = [point for point in made_up() if point.name == "broken"]
    assert point.distribution == Distribution("llmrouter-broken", "1.0", ("llmrouter-core>=0.1",))
    assert others_are_ready()


def test_metadata_with_the_line_ends_of_windows(broken: Path) -> None:
    text = (
        "Metadata-Version: 2.1\nname: LLMRouter.Broken\nVERSION: 3.0\n"
        "Requires-Dist: llmrouter-core>=0.1\nRequires-Dist: click\n\nRequires-Dist: llmrouter-core>=9\n"
    )
    (broken / "METADATA").write_bytes(text.replace("\n", "\r\n").encode())
    (point,) = [point for point in made_up() if point.name == "broken"]
    assert point.distribution == Distribution("LLMRouter.Broken", "3.0", ("llmrouter-core>=0.1", "click"))


def test_an_egg_is_read_too(broken: Path) -> None:
    (broken / "METADATA").rename(broken / "PKG-INFO")
    os.rename(broken, broken.with_name("llmrouter_broken.egg-info"))
    (point,) = [point for point in made_up() if point.name == "broken"]
    assert str(point.distribution) == "llmrouter-broken 1.0"


EXTRAS = ["fake_foo [fast]", "fake_foo[fast,small]", "fake_foo:plugin [fast]", "fake_foo : plugin"]


@pytest.mark.parametrize("value", EXTRAS)
def test_an_entry_point_may_name_extras(install: Callable[..., Path], value: str) -> None:
    source = router("foo") + "import sys\nplugin = sys.modules[__name__]\n"
    site = install("llmrouter-foo", {"fake_foo": source}, {"foo": "fake_foo"})
    (info(site) / "entry_points.txt").write_text(f"[llmrouter]\nfoo = {value}\n")
    assert "foo" in PluginRegistry().get_router_names()


@pytest.mark.parametrize("value", ["fake_foo # mine", "fake foo", "fake_foo:", ":plugin"])
def test_an_entry_point_that_cannot_be_read_is_named(install: Callable[..., Path], value: str) -> None:
    site = install("llmrouter-foo", {"fake_foo": router("foo")}, {"foo": "fake_foo"})
    (info(site) / "entry_points.txt").write_text(f"[llmrouter]\nfoo = {value}\n")
    (plugin,) = [plugin for plugin in PluginRegistry().plugins if plugin.distribution.name == "llmrouter-foo"]
    assert plugin.state == "failed"
    # Some versions of importlib-metadata refuse the whole file for it.
    assert value in str(plugin.reason)


def test_a_byte_order_mark_does_not_make_a_plugin_vanish(broken: Path) -> None:
    (broken / "entry_points.txt").write_text("[llmrouter]\nbroken = fake_broken\n", encoding="utf-8-sig")
    (plugin,) = [one for one in PluginRegistry().plugins if one.distribution.name == "llmrouter-broken"]
    assert plugin.state == "failed"
    assert plugin.reason is not None
    assert "byte-order mark; save it as UTF-8 without one" in plugin.reason
    assert others_are_ready()


def test_one_that_hides_another_need_not_declare_anything(install: Callable[..., Path]) -> None:
    install("llmrouter-foo", {"fake_old": router("old")}, {"old": "fake_old"}, "1.0")
    newer = install("llmrouter-foo", {"fake_new": ""}, {}, "2.0")
    assert sys.path.index(str(newer)) == 0
    assert made_up() == []


def test_what_an_interrupted_pip_leaves_behind_does_not_count(broken: Path) -> None:
    copy = broken.with_name("~lmrouter_broken-0.9.dist-info")
    shutil.copytree(broken, copy)
    assert [str(point.distribution) for point in made_up() if point.name == "broken"] == [
        "llmrouter-broken 1.0"
    ]


def test_of_two_distributions_with_one_module_the_second_says_so(install: Callable[..., Path]) -> None:
    install("llmrouter-foo", {"fake_foo": router("foo")}, {"foo": "fake_foo"})
    install("llmrouter-fork", {"fake_other": ""}, {"fork": "fake_foo"})
    first, second = (plugin for plugin in PluginRegistry().plugins if plugin.module == "fake_foo")
    assert (first.distribution.name, first.state) == ("llmrouter-foo", "ready")
    assert (second.distribution.name, second.state) == ("llmrouter-fork", "shadowed")
    assert second.reason == "llmrouter-foo 1.0 names the module fake_foo too, and is loaded"
    # Blocking one does not block the other.
    (other,) = (
        plugin
        for plugin in PluginRegistry(block=["llmrouter-foo"]).plugins
        if plugin.distribution.name == "llmrouter-fork"
    )
    assert other.state == "ready"


LAYOUTS = st.lists(
    st.tuples(
        st.sampled_from(["first", "second"]),
        st.sampled_from(["llmrouter_foo", "llmrouter.foo", "LLMRouter_Foo", "llmrouter_bar", "other"]),
        st.sampled_from(["1.0.dist-info", "2.0.dist-info", "1.0-py3.11.egg-info", "3.egg-info"]),
        st.sampled_from(
            [
                "[llmrouter]\nfoo = fake_foo\n",
                "[llmrouter]\nfoo = fake_foo [extra]\nbar=fake_bar:plugin\n",
                "[console_scripts]\nllmrouter = fake:main\n[llmrouter]\n# none\n",
                "[other]\nfoo = fake_foo\n",
                "\r\n[llmrouter]\r\nfoo = fake_foo\r\n",
                "",
            ]
        ),
    ),
    max_size=6,
    unique_by=lambda one: one[:3],
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LAYOUTS)
def test_it_finds_what_importlib_metadata_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: list[tuple[str, str, str, str]]
) -> None:
    root = Path(tempfile.mkdtemp(dir=tmp_path))
    for place, name, ending, text in layout:
        folder = root / place / f"{name}-{ending}"
        folder.mkdir(parents=True)
        file = "METADATA" if ending.endswith("dist-info") else "PKG-INFO"
        (folder / file).write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {ending[0]}\n")
        (folder / "entry_points.txt").write_text(text, newline="")
    path = [str(root / place) for place in ("first", "second")]
    with monkeypatch.context() as patch:
        patch.setattr(sys, "path", path)
        ours = [(point.name, point.module, str(point.distribution)) for point in entry_points()]
        theirs = [
            (point.name, ":".join(filter(None, (point.module, point.attr))), f"{dist.name} {dist.version}")
            for point in importlib_metadata.entry_points(group="llmrouter")
            if (dist := point.dist)
        ]
    assert sorted(ours) == sorted(theirs)


SATISFIED = [
    "llmrouter-core",
    "llmrouter-core ",
    "llmrouter-core>=0.1",
    "llmrouter-core >=0.1,<0.2",
    "llmrouter-core (>=0.1,<0.2)",
    "llmrouter-core(>=0.1)",
    "llmrouter-core>=0.1,",
    "LLMRouter_Core < 1",
    "llmrouter-core[torch]>=0.1",
    "llmrouter-core [torch, numpy] <=0.1.0",
    "llmrouter-core~=0.1",
    "llmrouter-core~=0.1.0",
    "llmrouter-core==0.1.*",
    "llmrouter-core==0.*",
    "llmrouter-core==0.1",
    "llmrouter-core!=0.2",
    "llmrouter-core>=0.1.0.dev1",
    "llmrouter-core>=9; python_version < '3'",
    "llmrouter-core>=9 ; extra == 'future'",
    "llmrouter-core[torch] (>=9) ; sys_platform == 'amiga'",
    "llmrouter-core>=0.1; python_version >= '3'",
    "llmrouter-core @ file:///somewhere/llmrouter-core",
    "llmrouter-random>=9",
    "llmrouter-core-extras>=9",
    "llmrouter>=9",
]
REFUSED = [
    "llmrouter-core<0.1",
    "llmrouter-core>0.1",
    "llmrouter-core >=0.2,<0.3",
    "LLMRouter.Core (>=5)",
    "LLMROUTER__CORE(<0.1)",
    "llmrouter-core[torch]>=9",
    "llmrouter-core[torch,numpy] (>=9)",
    "llmrouter-core~=0.2",
    "llmrouter-core~=0.0.1",
    "llmrouter-core==0.2.*",
    "llmrouter-core!=0.1",
    "llmrouter-core!=0.1.*",
    "llmrouter-core>=0.1,!=0.1.0",
    "llmrouter-core===9",
    "llmrouter-core>=9; python_version >= '3'",
    "llmrouter-core>=9 ; extra != 'future'",
]


@pytest.mark.parametrize("requirement", SATISFIED)
def test_bounds_that_core_keeps(requirement: str) -> None:
    assert incompatibility(Distribution("foo", "1.0", ("click>=99", requirement)), "0.1.0") is None


@pytest.mark.parametrize("requirement", REFUSED)
def test_bounds_that_core_breaks(requirement: str) -> None:
    told = incompatibility(Distribution("foo", "1.0", ("click", requirement)), "0.1.0")
    assert told is not None
    assert told.startswith("requires llmrouter-core")
    assert "and 0.1.0 is installed; upgrade foo or install a llmrouter-core that it accepts" in told


@pytest.mark.parametrize(
    "requirement",
    [
        "llmrouter-core>=abc",
        "llmrouter-core=>1",
        "llmrouter-core ???",
        "llmrouter-core>=0.1 nonsense",
        "llmrouter-core==",
        "llmrouter-core>=0.1; nonsense",
        "llmrouter-core>=0.1; python_version >=",
        "llmrouter-core>=0.1; colour == 'blue'",
    ],
)
def test_bounds_that_cannot_be_read(requirement: str) -> None:
    told = incompatibility(Distribution("foo", "1.0", (requirement,)), "0.1.0")
    assert (told or "").startswith("its metadata cannot be read: ")


@pytest.mark.parametrize("version", ["0.2.dev3", "0.2rc1", "0.2.0a1", "0.2.0.post1", "0.2+local.1"])
def test_a_version_of_core_counts_as_its_release(version: str) -> None:
    def told(bound: str) -> str | None:
        return incompatibility(Distribution("foo", "1.0", (f"llmrouter-core{bound}",)), version)

    assert told(">=0.2,<0.3") is None
    assert told("~=0.2") is None
    assert told("==0.2.*") is None
    refused = told(">=0.1,<0.2")
    assert refused is not None
    assert f"{version} is installed" in refused


@pytest.mark.parametrize("requirement", [*REFUSED[:4], "llmrouter-core>=0.1; nonsense", "llmrouter-core=>1"])
def test_an_incompatible_plugin_is_not_imported(install: Callable[..., Path], requirement: str) -> None:
    source = f"from pathlib import Path\nPath('imported').touch()\n{router('foo')}"
    install("llmrouter-foo", {"fake_foo": source}, {"foo": "fake_foo"}, requires=(requirement,))
    install("llmrouter-bar", {"fake_bar": router("bar")}, {"bar": "fake_bar"})
    registry = PluginRegistry()
    assert not Path("imported").exists()
    (entry,) = [entry for entry in registry.routers if entry.name == "foo"]
    assert entry.state == "incompatible"
    assert "bar" in registry.get_router_names()


@pytest.mark.parametrize("requirement", [*SATISFIED[:4], "click>=99"])
def test_a_compatible_plugin_is_imported(install: Callable[..., Path], requirement: str) -> None:
    source = f"from pathlib import Path\nPath('imported').touch()\n{router('foo')}"
    install("llmrouter-foo", {"fake_foo": source}, {"foo": "fake_foo"}, requires=(requirement,))
    assert PluginRegistry().find("foo").state == "ready"
    assert Path("imported").exists()


def test_the_version_of_what_is_installed() -> None:
    assert installed_version("LLMRouter_Core") == llmrouter.__version__
    assert installed_version("llmrouter-that-nobody-wrote") is None


def test_extras_that_miss_a_distribution(install: Callable[..., Path]) -> None:
    requires = (
        "no-such-thing",
        "no-such-thing>=1; extra == 'none'",
        "click; extra == 'none'",
        "pluggy>=99; extra == 'old'",
        "pluggy; extra == 'there'",
        "no-such-thing; python_version < '3' and extra == 'there'",
    )
    site = install("llmrouter-core", {}, {}, requires=requires)
    metadata = info(site) / "METADATA"
    extras = "".join(f"Provides-Extra: {extra}\n" for extra in ("none", "old", "there"))
    metadata.write_text(extras + metadata.read_text())
    assert missing_extras() == {"none": ["no-such-thing>=1"], "old": ["pluggy>=99"], "there": []}
