"""Code in plugin directories imports what lies beside it, and nothing outside changes for that."""

from __future__ import annotations

import copy
import importlib
import os
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmrouter.errors import PluginError
from llmrouter.plugin_dirs import package_name
from llmrouter.plugin_system import PluginRegistry

Write = Callable[[str, str], Path]

HEAD = "from llmrouter.models.router import Router\n"
CLASS = """
class MyRouter(Router):
    def route_single(self, query_input):
        return {"model_name": next(iter(self.llm_data))}
"""

# Ways to import `Thing`, the expression that names it then, and the relative way, which is the yardstick.
BESIDE = "from .helper import Thing"
ABOVE = "from ..shared_utils import Thing"
WAYS = [
    (BESIDE, "Thing", BESIDE),
    ("from . import helper", "helper.Thing", BESIDE),
    ("from .helper import *", "Thing", BESIDE),
    ("from my_router.helper import Thing", "Thing", BESIDE),
    ("from my_router import helper", "helper.Thing", BESIDE),
    ("import my_router.helper", "my_router.helper.Thing", BESIDE),
    ("import my_router.helper as h", "h.Thing", BESIDE),
    ("from custom_routers.my_router.helper import Thing", "Thing", BESIDE),
    ("import custom_routers.my_router.helper", "custom_routers.my_router.helper.Thing", BESIDE),
    (ABOVE, "Thing", ABOVE),
    ("from .. import shared_utils", "shared_utils.Thing", ABOVE),
    ("from shared_utils import Thing", "Thing", ABOVE),
    ("import shared_utils", "shared_utils.Thing", ABOVE),
    ("import shared_utils as s", "s.Thing", ABOVE),
    ("from custom_routers.shared_utils import Thing", "Thing", ABOVE),
    ("from custom_routers import shared_utils", "shared_utils.Thing", ABOVE),
    ("import custom_routers.shared_utils", "custom_routers.shared_utils.Thing", ABOVE),
    ("import custom_routers.shared_utils as s", "s.Thing", ABOVE),
    ("from lib.text import Thing", "Thing", "from ..lib.text import Thing"),
    ("import lib.text", "lib.text.Thing", "from ..lib.text import Thing"),
    ("from lib.inner.deep import Thing", "Thing", "from ..lib.inner.deep import Thing"),
    ("thing = __import__('shared_utils')", "thing.Thing", ABOVE),
]
IDS = [way for way, _, _ in WAYS]


def probes(statement: str, expression: str, yardstick: str) -> str:
    """A router whose functions say what a statement gives, at import and when they are called."""
    called = "from .helper import Thing" if "*" in statement else statement
    return (
        f"{yardstick} as expected\n{statement}\nat_import = {expression}\n"
        f"def at_call():\n    {called}\n    return {expression}\n" + HEAD + CLASS
    )


@pytest.fixture
def things(write: Write) -> None:
    for module in ("my_router/helper", "shared_utils", "lib/text", "lib/inner/deep"):
        write(f"custom_routers/{module}.py", "class Thing: ...")


def loaded(name: str = "my_router", *plugin_dirs: str) -> Any:
    """Load a router's class from the directories given, by default those of the search path."""
    registry = PluginRegistry(plugin_dirs or None)
    return registry.load_router(registry.find(name))


def module_of(name: str = "my_router", *plugin_dirs: str) -> Any:
    return sys.modules[loaded(name, *plugin_dirs).__module__]


def python(code: str, importable: str | None = None) -> str:
    """Run code in another process, in this folder; what it prints.

    What lies in the folder `importable` can be imported there by anybody.
    """
    path = os.pathsep.join(filter(None, [importable, os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.usefixtures("things")
@pytest.mark.parametrize(("statement", "expression", "yardstick"), WAYS, ids=IDS)
def test_every_way_to_import_gives_the_same_thing(
    statement: str, expression: str, yardstick: str, write: Write
) -> None:
    write("custom_routers/my_router/router.py", probes(statement, expression, yardstick))
    module = module_of()
    assert module.at_import is module.expected
    assert module.at_call() is module.expected
    assert module.expected.__module__.startswith(package_name("custom_routers"))


@pytest.mark.usefixtures("things")
@pytest.mark.parametrize(
    "imported_before", ["", "import custom_routers.shared_utils, custom_routers.my_router"]
)
@pytest.mark.parametrize("marker", [True, False])
def test_so_it_does_where_the_directory_is_importable_otherwise_too(
    imported_before: str, marker: bool, write: Write
) -> None:
    if marker:
        write("custom_routers/__init__.py", "")
        write("custom_routers/my_router/__init__.py", "")
    for number, way in enumerate(WAYS):
        write(f"custom_routers/my_router/way_{number}.py", probes(*way))
    write("custom_routers/my_router/router.py", HEAD + CLASS)
    told = python(
        f"""
        {imported_before}
        import importlib, sys
        from llmrouter.plugin_system import get_plugin_registry
        registry = get_plugin_registry()
        router = registry.load_router(registry.find("my_router"))
        for number in range({len(WAYS)}):
            way = importlib.import_module(f"{{router.__module__.rpartition('.')[0]}}.way_{{number}}")
            if not (way.at_import is way.at_call() is way.expected):
                print(number, way.at_import, way.at_call(), way.expected)
        """,
        importable=".",
    )
    assert told == ""


@pytest.mark.usefixtures("things")
def test_modules_beside_the_folders_import_each_other_likewise(write: Write) -> None:
    write("custom_routers/more.py", "import shared_utils\nfrom custom_routers.lib.text import Thing")
    write(
        "custom_routers/my_router/router.py", "import more\nfrom shared_utils import Thing\n" + HEAD + CLASS
    )
    module = module_of()
    assert module.more.shared_utils.Thing is module.Thing
    assert module.more.Thing.__module__.endswith(".lib.text")


def test_one_router_imports_another(write: Write) -> None:
    write("custom_routers/base/router.py", HEAD + CLASS.replace("MyRouter", "BaseRouter"))
    write(
        "custom_routers/my_router/router.py",
        "from base.router import BaseRouter\nclass MyRouter(BaseRouter): ...",
    )
    assert loaded("my_router").__bases__ == (loaded("base"),)


def test_two_directories_each_have_their_own_modules(write: Write) -> None:
    for place in ("one", "two"):
        write(f"{place}/shared_utils.py", f"place = {place!r}")
        write(
            f"{place}/{place}_router/router.py",
            "from shared_utils import place\nfrom shared_utils import place as imported\n"
            "def at_call():\n    import shared_utils\n    return shared_utils.place\n" + HEAD + CLASS,
        )
    modules = [module_of(f"{place}_router", "one", "two") for place in ("one", "two")]
    assert [(module.place, module.at_call()) for module in modules] == [("one", "one"), ("two", "two")]


def test_routers_of_one_name_in_two_directories_are_two_modules(write: Write) -> None:
    for place in ("one", "two"):
        write(f"{place}/my_router/router.py", f"place = {place!r}\n" + HEAD + CLASS)
    assert [module_of("my_router", place).place for place in ("one", "two")] == ["one", "two"]


@pytest.mark.parametrize("kind", ["{name}.py", "{name}/__init__.py", "{name}/router.py"])
@pytest.mark.parametrize(
    "name", ["json", "queue", "string", "click", "yaml", "msgspec", "llmrouter", "pluggy"]
)
def test_nothing_in_a_directory_hides_what_is_installed(kind: str, name: str, write: Write) -> None:
    write(f"custom_routers/{kind.format(name=name)}", "hidden = True")
    write(
        "custom_routers/my_router/router.py",
        f"import {name}\nimport importlib\ndef at_call():\n    import {name}\n    return {name}\n"
        + HEAD
        + CLASS,
    )
    module = module_of()
    assert getattr(module, name) is module.at_call() is importlib.import_module(name)
    assert not hasattr(getattr(module, name), "hidden")


def test_a_directory_that_is_importable_hides_nothing_for_its_routers(write: Write) -> None:
    write("custom_routers/wave.py", "")
    write("custom_routers/shared_utils.py", "")
    write("custom_routers/my_router/router.py", "import wave, shared_utils\n" + HEAD + CLASS)
    told = python(
        """
        import sys
        from llmrouter.plugin_system import get_plugin_registry
        registry = get_plugin_registry()
        module = sys.modules[registry.load_router(registry.find("my_router")).__module__]
        print(module.wave.__name__, module.shared_utils.__name__.startswith("llmrouter.plugin_dirs."))
        """,
        importable="custom_routers",
    )
    assert told == "wave True"


def test_a_module_of_the_standard_library_that_this_system_lacks_stays_missing(write: Write) -> None:
    missing = "msvcrt" if os.name == "posix" else "fcntl"
    write(f"custom_routers/{missing}.py", "")
    write("custom_routers/my_router/router.py", f"import {missing}\n" + HEAD + CLASS)
    with pytest.raises(PluginError, match=f"No module named {missing!r}"):
        loaded()


@pytest.mark.parametrize("name", ["json", "click"])
def test_a_router_may_bear_the_name_of_what_is_installed(name: str, write: Write) -> None:
    write(f"{name}/{name}/router.py", f"import {name}\nfrom .helper import here\n" + HEAD + CLASS)
    write(f"{name}/{name}/helper.py", "here = True")
    module = module_of(name, name)
    assert module.here
    assert getattr(module, name) is importlib.import_module(name)


def test_nothing_outside_sees_the_directory(write: Write) -> None:
    write("custom_routers/shared_utils.py", "")
    write(
        "custom_routers/my_router/router.py",
        "import shared_utils, custom_routers, my_router\n" + HEAD + CLASS,
    )
    path, modules, builtin = list(sys.path), set(sys.modules), __import__
    loaded()
    assert sys.path == path
    new = set(sys.modules) - modules
    assert new
    assert all(name.startswith("llmrouter.") for name in new)
    assert __import__ is builtin
    for name in ("shared_utils", "custom_routers", "my_router"):
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(name)


def test_what_is_in_no_directory_is_missing_as_ever(write: Write) -> None:
    write("custom_routers/my_router/router.py", HEAD + CLASS + "def at_call():\n    import nowhere_at_all\n")
    with pytest.raises(ModuleNotFoundError, match="nowhere_at_all"):
        module_of().at_call()


def test_other_imports_are_what_they_are_everywhere(write: Write) -> None:
    write(
        "custom_routers/my_router/router.py",
        "import os.path\nimport os.path as p\nfrom os import path\nfrom collections import abc, OrderedDict\n"
        "import xml.dom.minidom\n" + HEAD + CLASS,
    )
    module = module_of()
    assert module.os is os
    assert module.p is module.path is os.path
    assert module.abc.Mapping
    assert module.xml.dom.minidom.parseString


@pytest.mark.parametrize(
    "place",
    ["with space/custom_routers", "Gerät/プラグイン", "a.b/c-d", "a_b", "a_2fb/routers", "click", "x'y\"z"],
)
def test_the_directory_may_have_any_path(place: str, write: Write, config: Callable[..., str]) -> None:
    write(f"{place}/shared_utils.py", "mark = 1")
    write(f"{place}/my_router/router.py", "from shared_utils import mark\n" + HEAD + CLASS)
    router = loaded("my_router", place)
    assert router(yaml_path=config()).route_single({})["model_name"] == "small"
    assert pickle.loads(pickle.dumps(router)) is router


def test_paths_that_look_alike_are_told_apart() -> None:
    names = {
        package_name(path) for path in ("/a/b", "/a_b", "/a_2fb", "/a.b", "/a-b", "/a/b/c", "/ä", "/a\u0308")
    }
    assert len(names) == 8
    assert all(name.rpartition(".")[2].isidentifier() for name in names)


@pytest.mark.parametrize("folder", ["my_router", "my-router", "My Router", "класс_router", "2nd"])
def test_the_folder_may_have_any_name_without_a_dot(folder: str, write: Write) -> None:
    write(f"custom_routers/{folder}/router.py", "from .helper import x\n" + HEAD + CLASS)
    write(f"custom_routers/{folder}/helper.py", "x = 1")
    router = loaded(folder.lower())
    assert pickle.loads(pickle.dumps(router)) is router


def test_a_directory_may_be_reached_through_a_link(write: Write) -> None:
    write("real/shared_utils.py", "class Thing: ...")
    write(
        "real/my_router/router.py",
        "from ..shared_utils import Thing as expected\nimport real_link.shared_utils\n"
        "from shared_utils import Thing\n" + HEAD + CLASS,
    )
    Path("real_link").symlink_to("real")
    module = module_of("my_router", "real_link")
    assert module.Thing is module.expected is module.real_link.shared_utils.Thing


def test_a_link_to_a_directory_that_is_importable_otherwise_too_gives_one_module(write: Write) -> None:
    write("importable/custom_routers/shared_utils.py", "class Thing: ...")
    write(
        "importable/custom_routers/my_router/router.py",
        "from ..shared_utils import Thing as expected\nfrom custom_routers.shared_utils import Thing\n"
        + HEAD
        + CLASS,
    )
    Path("linked").mkdir()
    Path("linked/custom_routers").symlink_to("../importable/custom_routers")
    told = python(
        """
        import sys
        from llmrouter.plugin_system import PluginRegistry
        registry = PluginRegistry(["linked/custom_routers"])
        module = sys.modules[registry.load_router(registry.find("my_router")).__module__]
        print(module.Thing is module.expected)
        """,
        importable="importable",
    )
    assert told == "True"


STATEFUL = (
    HEAD
    + """
from shared_utils import Thing

class MyRouter(Router):
    def __init__(self, yaml_path):
        super().__init__(yaml_path)
        self.thing = Thing()
        self.seen = []

    def route_single(self, query_input):
        from shared_utils import Thing
        self.seen.append(query_input["query"])
        assert type(self.thing) is Thing
        return {"model_name": next(iter(self.llm_data))}

def double(number):
    from my_router.helper import factor
    return number * factor
"""
)


@pytest.fixture
def stateful(write: Write, config: Callable[..., str]) -> Any:
    """A router that holds an object of a class from beside its folder."""
    write("custom_routers/shared_utils.py", "class Thing: ...")
    write("custom_routers/my_router/helper.py", "factor = 2")
    write("custom_routers/my_router/router.py", STATEFUL)
    return loaded()(yaml_path=config())


def test_a_router_is_pickled_into_a_process_that_knows_nothing_of_it(stateful: Any) -> None:
    stateful.route_single({"query": "before"})
    Path("router.pickle").write_bytes(pickle.dumps(stateful))
    told = python(
        """
        import pickle
        router = pickle.load(open("router.pickle", "rb"))
        print(router.route_single({"query": "after"})["model_name"], router.seen)
        """
    )
    assert told == "small ['before', 'after']"


def test_a_router_is_pickled_whatever_folder_the_other_process_is_in(
    stateful: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(tmp_path / "router.pickle").write_bytes(pickle.dumps(stateful.thing))
    monkeypatch.chdir(tmp_path)
    told = python("import pickle; print(type(pickle.load(open('router.pickle', 'rb'))).__name__)")
    assert told == "Thing"


def test_a_router_is_copied(stateful: Any) -> None:
    stateful.route_single({"query": "once"})
    twin = copy.deepcopy(stateful)
    twin.route_single({"query": "twice"})
    assert type(twin) is type(stateful)
    assert (stateful.seen, twin.seen) == (["once"], ["once", "twice"])
    assert type(pickle.loads(pickle.dumps(stateful))) is type(stateful)


@pytest.mark.usefixtures("stateful")
def test_its_functions_run_in_processes_started_anew(write: Write) -> None:
    write(
        "main.py",
        """
        import multiprocessing, sys
        from llmrouter.plugin_system import get_plugin_registry

        if __name__ == "__main__":
            registry = get_plugin_registry()
            router = registry.load_router(registry.find("my_router"))
            double = sys.modules[router.__module__].double
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                print(pool.map(double, [1, 2, 3]))
        """,
    )
    assert python("import runpy; runpy.run_path('main.py', run_name='__main__')") == "[2, 4, 6]"


@pytest.mark.parametrize("file", ["custom_routers/__init__.py", "custom_routers/my_router/__init__.py"])
def test_a_package_marker_is_optional_and_is_run_once(file: str, write: Write) -> None:
    write("custom_routers/my_router/router.py", HEAD + CLASS)
    write(file, "with open('it_ran', 'a') as trace:\n    trace.write('x')\n")
    assert loaded() is loaded()
    assert Path("it_ran").read_text() == "x"


@pytest.mark.parametrize(
    "file",
    [
        "custom_routers/__init__.py",
        "custom_routers/my_router/__init__.py",
        "custom_routers/my_router/router.py",
    ],
)
@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("\nraise RuntimeError('not today')", "RuntimeError: not today (FILE, line 2)"),
        ("import sys\nsys.exit('leaving')", "SystemExit: leaving (FILE, line 2)"),
        ("import os\nraise os.error(2, 'gone')", "FileNotFoundError: [Errno 2] gone (FILE, line 2)"),
        ("raise BaseException", "BaseException (FILE, line 1)"),
        (
            "import no_such_package.inner",
            "ModuleNotFoundError: No module named 'no_such_package' (FILE, line 1); "
            "install what provides 'no_such_package', or mend the import",
        ),
        ("from json import no_such_name", "ImportError: cannot import name 'no_such_name' from 'json'"),
    ],
    ids=["raises", "exits", "system", "base", "dependency", "name"],
)
def test_code_that_fails_is_reported_as_the_routers(file: str, source: str, told: str, write: Write) -> None:
    write("custom_routers/my_router/router.py", HEAD + CLASS)
    path = Path(file)
    path.write_text(source + "\n" + (path.read_text() if path.exists() else ""))
    for _ in range(2):
        with pytest.raises(PluginError) as caught:
            loaded()
        place = Path.cwd() / "custom_routers/my_router"
        assert str(caught.value).startswith(
            f"Router 'my_router' from {place} failed: {told.replace('FILE', path.name)}"
        )
        assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    "source",
    ["from .missing import x", "import my_router.missing", "from custom_routers.my_router.missing import x"],
)
def test_a_module_that_is_not_there_is_named_as_its_author_knows_it(source: str, write: Write) -> None:
    write("custom_routers/my_router/router.py", f"{source}\n{HEAD}{CLASS}")
    with pytest.raises(PluginError) as caught:
        loaded()
    assert str(caught.value).endswith(
        "(router.py, line 1); there is no 'my_router/missing' in the plugin directory, "
        "add it or mend the import"
    )


def test_a_marker_that_python_cannot_read_is_reported_when_the_router_is_named(write: Write) -> None:
    write("custom_routers/my_router/router.py", HEAD + CLASS)
    write("custom_routers/__init__.py", "def (")
    with pytest.raises(PluginError, match=r"failed: SyntaxError: invalid syntax \(__init__.py, line 1\)$"):
        loaded()


def test_an_interruption_is_no_failure(write: Write) -> None:
    write("custom_routers/my_router/router.py", HEAD + CLASS + "__import__('signal').raise_signal(2)")
    with pytest.raises(KeyboardInterrupt):
        loaded()


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (
            "import no_such_package",
            "ModuleNotFoundError: No module named 'no_such_package' (router.py, line 1)",
        ),
        ("import sys; sys.exit(3)", "SystemExit: 3 (router.py, line 1)"),
    ],
)
def test_the_command_line_tells_it_in_one_line(
    source: str, told: str, write: Write, config: Callable[..., str], invoke: Callable[..., Any]
) -> None:
    write("custom_routers/my_router/router.py", f"{source}\n{HEAD}{CLASS}")
    outcome = invoke("infer", "--router", "my_router", "--config", config(), "--query", "Hi", "--route-only")
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err.startswith(
        f"Error: Router 'my_router' from {Path.cwd()}/custom_routers/my_router failed: "
    )
    assert told in outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_an_interruption_ends_the_command_line(
    write: Write, config: Callable[..., str], invoke: Callable[..., Any]
) -> None:
    write("custom_routers/my_router/router.py", HEAD + CLASS + "__import__('signal').raise_signal(2)")
    outcome = invoke("infer", "--router", "my_router", "--config", config(), "--query", "Hi", "--route-only")
    assert outcome.status == 130


def test_what_is_mended_works_at_the_next_try(write: Write) -> None:
    write("custom_routers/my_router/router.py", "import shared_utils\n" + HEAD + CLASS)
    write("custom_routers/shared_utils.py", "raise RuntimeError('no')")
    with pytest.raises(PluginError, match="RuntimeError"):
        loaded()
    write("custom_routers/shared_utils.py", "mended = True")
    assert module_of().shared_utils.mended
