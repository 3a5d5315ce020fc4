"""Which class of a folder's code is the router, and what it must be able to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from llmrouter.errors import PluginError, RouterValidationError
from llmrouter.models.router import Router
from llmrouter.plugin_system import PluginRegistry
from llmrouter.plugin_system.classes import class_in_folder
from llmrouter.plugin_system.contract import validated

Write = Callable[[str, str], Path]

HEAD = "from llmrouter.models.router import Router\n"
TRAINER_HEAD = "from llmrouter.models.base_trainer import BaseTrainer\n"
MINE = "class MyRouter(Router):\n    def route_single(self, query_input): ...\n"
OTHER = MINE.replace("My", "Other")
MY_TRAINER = "class MyTrainer(BaseTrainer):\n    def train(self): ...\n"
ROUTER_FILES = ("router.py", "model.py")
LAZY = """
def __getattr__(name):
    from importlib import import_module
    return getattr(import_module(".router", __name__), name)
"""


def router_in(folder: str = "my_router") -> type:
    return class_in_folder(Path("custom_routers", folder).absolute(), Router, ROUTER_FILES)


def loaded(name: str = "my_router") -> type:
    registry = PluginRegistry()
    return registry.load_router(registry.find(name))


def trainer(name: str = "my_router") -> type:
    registry = PluginRegistry()
    return registry.load_trainer(registry.find(name))


def refusal(load: Callable[[], object]) -> str:
    with pytest.raises(RouterValidationError) as caught:
        load()
    return str(caught.value)


class TestExportedByInit:
    @pytest.mark.parametrize(
        "init",
        [
            "from .router import MyRouter",
            "from .router import *",
            "from . import router\nMyRouter = router.MyRouter",
            "from .router import MyRouter, OtherRouter\n__all__ = ['MyRouter']",
            "from .router import MyRouter, OtherRouter",
            "from .router import MyRouter, OtherRouter\n__all__ = ('MyRouter', 'OtherRouter')",
            "from .router import MyRouter\nfrom .router import MyRouter as FirstRouter",
            "from .router import MyRouter as ThatRouter",
            "from .router import MyRouter\nfrom llmrouter.models.router import Router",
            "from .router import MyRouter\nfrom llmrouter_random.router import RandomRouter",
            LAZY,
            (LAZY + "def __dir__():\n    return ['MyRouter']"),
            ("__all__ = ['MyRouter']\n" + LAZY),
        ],
    )
    def test_is_the_one(self, init: str, write: Write) -> None:
        write("custom_routers/my_router/router.py", HEAD + OTHER + MINE)
        write("custom_routers/my_router/__init__.py", init)
        assert loaded().__name__ == "MyRouter"

    @pytest.mark.parametrize(
        "init",
        [
            "from .router import OtherRouter",
            "from .router import MyRouter, OtherRouter\n__all__ = ['OtherRouter']",
            LAZY + "def __dir__():\n    return ['OtherRouter']",
        ],
    )
    def test_wins_over_the_folders_name(self, init: str, write: Write) -> None:
        write("custom_routers/my_router/router.py", HEAD + OTHER + MINE)
        write("custom_routers/my_router/__init__.py", init)
        assert loaded().__name__ == "OtherRouter"

    @pytest.mark.parametrize("folder", ["my_router", "my-router", "my"])
    def test_is_asked_for_by_the_folders_name_where_nothing_lists_it(self, folder: str, write: Write) -> None:
        write(f"custom_routers/{folder}/impl.py", HEAD + MINE)
        write(
            f"custom_routers/{folder}/__init__.py",
            "def __getattr__(name):\n    if name == 'MyRouter':\n        from .impl import MyRouter\n"
            "        return MyRouter\n    raise AttributeError(name)",
        )
        assert loaded(folder).__module__.endswith(".impl")

    def test_may_come_from_anywhere(self, write: Write) -> None:
        write("custom_routers/my_router/__init__.py", "from llmrouter_random.router import RandomRouter")
        assert loaded().__module__ == "llmrouter_random.router"

    def test_may_be_alone_in_it(self, write: Write) -> None:
        write("custom_routers/my_router/__init__.py", HEAD + MINE)
        assert loaded().__module__.endswith(".my_router")

    @pytest.mark.parametrize(
        "init", ["", "x = 1", "from llmrouter.models.router import Router", "__all__ = []"]
    )
    def test_if_there_is_none_the_module_decides(self, init: str, write: Write) -> None:
        write("custom_routers/my_router/router.py", HEAD + MINE)
        write("custom_routers/my_router/__init__.py", init)
        assert loaded().__name__ == "MyRouter"

    def test_one_of_several_that_nothing_singles_out_is_refused(self, write: Write) -> None:
        write("custom_routers/third/router.py", HEAD + OTHER + MINE)
        write("custom_routers/third/__init__.py", "from .router import *")
        told = refusal(lambda: loaded("third"))
        assert told == (
            f"Router class validation failed: {Path.cwd()}/custom_routers/third/__init__.py: several "
            "classes, MyRouter, OtherRouter; import the right one in third/__init__.py or give it the "
            "folder's name"
        )

    def test_of_another_kind_is_refused(self, write: Write) -> None:
        write("custom_routers/my_router/__init__.py", "class MyRouter: ...")
        assert "no class whose name ends in 'Router' and that inherits from" in refusal(loaded)

    def test_listed_but_missing_is_a_failure(self, write: Write) -> None:
        write("custom_routers/my_router/__init__.py", "__all__ = ['MyRouter']")
        with pytest.raises(PluginError, match=r"AttributeError: .*has no attribute 'MyRouter'"):
            loaded()


class TestDefinedInTheModule:
    @pytest.mark.parametrize("file", ROUTER_FILES)
    def test_is_the_one(self, file: str, write: Write) -> None:
        write(f"custom_routers/my_router/{file}", HEAD + MINE)
        found = loaded()
        assert (found.__name__, found.__module__.rpartition(".")[2]) == ("MyRouter", file.removesuffix(".py"))

    @pytest.mark.parametrize(
        "imports",
        [
            "from llmrouter_random.router import RandomRouter",
            "from llmrouter_random.router import RandomRouter as MyRouterRouter",
            "from llmrouter.models import BaseTrainer",
            "from .helper import OtherRouter",
            "from .helper import *",
        ],
    )
    def test_is_not_one_that_is_only_imported(self, imports: str, write: Write) -> None:
        write("custom_routers/third/helper.py", HEAD + OTHER)
        write("custom_routers/third/router.py", f"{imports}\n{HEAD}{MINE}")
        assert loaded("third").__name__ == "MyRouter"

    @pytest.mark.parametrize(
        "source",
        [
            "from llmrouter_random.router import RandomRouter",
            "from llmrouter_random.router import *",
            "from llmrouter_random.router import RandomRouter\nMyRouter = RandomRouter",
            "MyRouter = 'no class'",
            "MyRouter = dict",
        ],
    )
    def test_is_missing_where_all_are_imported_or_none_is_a_router(self, source: str, write: Write) -> None:
        write("custom_routers/my_router/router.py", source)
        assert refusal(loaded) == (
            f"Router class validation failed: {Path.cwd()}/custom_routers/my_router/router.py: "
            "no class whose name ends in 'Router' and that inherits from llmrouter.models.router.Router; "
            "one of another file is exported in __init__.py"
        )

    @pytest.mark.parametrize(
        "source",
        [
            MINE + "Default = MyRouter\nBestRouter = MyRouter",
            "def make():\n    class Made(Router):\n        def route_single(self, query_input): ...\n"
            "    return Made\nMyRouter = make()",
            "class Chooser(Router):\n    def route_single(self, query_input): ...\nMyRouter = Chooser",
            "try:\n    import no_such_package\nexcept ImportError:\n    class MyRouter(Router):\n"
            "        def route_single(self, query_input): ...",
            "class Shared(Router):\n    def route_single(self, query): ...\nclass MyRouter(Shared): ...",
            "import json\nclass TokenRouter: ...\n" + MINE,
            "class BaseRouter(Router): ...\n" + MINE.replace("(Router)", "(BaseRouter)"),
        ],
        ids=["aliases", "made", "assigned", "fallback", "base", "not a router", "abstract base"],
    )
    def test_however_it_is_made(self, source: str, write: Write) -> None:
        write("custom_routers/my_router/router.py", HEAD + source)
        found = loaded()
        assert issubclass(found, Router)
        assert "route_single" not in found.__abstractmethods__

    @pytest.mark.parametrize("folder", ["my_router", "my-router", "MyRouter", "my"])
    def test_is_of_several_the_one_of_the_folders_name(self, folder: str, write: Write) -> None:
        write(f"custom_routers/{folder}/router.py", HEAD + OTHER + MINE)
        assert loaded(folder.lower()).__name__ == "MyRouter"

    def test_is_of_several_not_chosen_blindly(self, write: Write) -> None:
        write(
            "custom_routers/third/router.py",
            HEAD + "from .helper import Base\n" + (MINE + OTHER).replace("(Router)", "(Base)"),
        )
        write("custom_routers/third/helper.py", HEAD + "class Base(Router): ...")
        told = refusal(lambda: loaded("third"))
        assert "router.py: several classes, MyRouter, OtherRouter; import the right one" in told

    def test_is_looked_for_in_router_py_alone_where_there_is_one(self, write: Write) -> None:
        write("custom_routers/my_router/router.py", "from .helper import MyRouter")
        write("custom_routers/my_router/helper.py", HEAD + MINE)
        write("custom_routers/my_router/model.py", HEAD + MINE)
        assert "custom_routers/my_router/router.py: no class" in refusal(loaded)

    def test_is_missing_in_a_folder_without_a_module(self, write: Write) -> None:
        write("custom_routers/my_router/__init__.py", "")
        assert "__init__.py: no class whose name ends in 'Router'" in refusal(router_in)


ABSTRACT = "class MyRouter(Router): ...\n"


class TestContract:
    @pytest.mark.parametrize(
        ("body", "told"),
        [
            ("    pass", "MyRouter in FILE does not implement route_single"),
            (
                "    def route_batch(self, batch): ...",
                "MyRouter in FILE does not implement route_single",
            ),
            (
                "    def route_single(self): ...",
                "route_single(self) cannot be called as route_single(self, query_input): ",
            ),
            (
                "    def route_single(self, query_input, model): ...",
                "missing a required argument: 'model'",
            ),
            (
                "    def route_single(self, *, query_input): ...",
                "route_single(self, *, query_input) cannot be called as",
            ),
            (
                "    def route_single(self, q): ...\n    def route_batch(self): ...",
                "route_batch(self) cannot be called as route_batch(self, batch): ",
            ),
            (
                "    def route_single(self, q): ...\n    def __init__(self, config): ...",
                "__init__(self, config) cannot be called as __init__(self, yaml_path=None, resources=None): ",
            ),
            (
                "    def route_single(self, q): ...\n    def __init__(self): ...",
                "got an unexpected keyword argument 'yaml_path'",
            ),
            (
                "    def route_single(self, q): ...\n    def __init__(self, yaml_path, model): ...",
                "missing a required argument: 'model'",
            ),
        ],
    )
    def test_a_class_that_breaks_it_is_refused_and_says_where(
        self, body: str, told: str, write: Write
    ) -> None:
        write("custom_routers/my_router/router.py", f"{HEAD}class MyRouter(Router):\n{body}\n")
        file = f"{Path.cwd()}/custom_routers/my_router/router.py"
        message = refusal(loaded)
        assert message.startswith("Router class validation failed: ")
        assert f"MyRouter in {file}" in message
        assert told.replace("FILE", file) in message

    @pytest.mark.parametrize(
        "body",
        [
            "def route_single(self, query_input: dict) -> dict: ...",
            "def route_single(self, q, top_k=3, *, seed=None, **options): ...",
            "def route_single(self, *arguments): ...",
            "def route_single(self, q): ...\n    def __init__(self, yaml_path: str): ...",
            "def route_single(self, q): ...\n    def __init__(self, yaml_path=None, resources=None): ...",
            "def route_single(self, q): ...\n    def __init__(self, **options): ...",
            "def route_single(self, q): ...\n    def route_batch(self, batch, size=8): ...",
            "def route_single(self, q): ...\n    def answer_query(self, q, return_intermediate=False): ...",
        ],
    )
    def test_a_class_that_keeps_it_in_its_own_way_is_taken(self, body: str, write: Write) -> None:
        write("custom_routers/my_router/router.py", f"{HEAD}class MyRouter(Router):\n    {body}\n")
        assert loaded().__name__ == "MyRouter"

    @pytest.mark.parametrize("thing", [3, "MyRouter", dict, lambda: None, object()])
    def test_only_a_class_of_the_kind_can_keep_it(self, thing: object) -> None:
        told = refusal(lambda: validated(thing, Router, "here"))
        assert told.startswith("Router class validation failed: here: ")
        assert told.endswith("is not a subclass of llmrouter.models.router.Router")

    def test_torchs_module_before_the_router_is_refused(self, write: Write) -> None:
        # A stand-in with the name by which it is recognised, so that torch is not needed.
        write(
            "custom_routers/my_router/router.py",
            HEAD
            + "class Module: ...\nModule.__module__ = 'torch.nn.modules.module'\n"
            + "class MyRouter(Module, Router):\n    def route_single(self, query_input): ...\n",
        )
        with pytest.raises(
            PluginError, match=r"failed: TypeError: class MyRouter: name the router before torch's Module"
        ):
            loaded()


class TestTrainers:
    @pytest.mark.parametrize(
        "files",
        [
            {"trainer": TRAINER_HEAD + MY_TRAINER},
            {"trainer": TRAINER_HEAD + MY_TRAINER.replace("My", "MyRouter")},
            {"trainer": TRAINER_HEAD + MY_TRAINER.replace("My", "Some")},
            {"trainer": TRAINER_HEAD + MY_TRAINER + MY_TRAINER.replace("My", "Other")},
            {
                "trainer": TRAINER_HEAD
                + "class Base(BaseTrainer): ...\n"
                + MY_TRAINER.replace("(BaseTrainer)", "(Base)")
            },
            {
                "inner": TRAINER_HEAD + MY_TRAINER,
                "__init__": "from .inner import MyTrainer\nfrom .router import MyRouter",
            },
            {"router": HEAD + MINE + TRAINER_HEAD + MY_TRAINER},
        ],
        ids=["own name", "router's name", "other name", "several", "base", "exported", "beside the router"],
    )
    def test_are_found_likewise(self, files: dict[str, str], write: Write) -> None:
        for file, source in {"router": HEAD + MINE, **files}.items():
            write(f"custom_routers/my_router/{file}.py", source)
        assert trainer().__name__.endswith("Trainer")
        assert trainer().__name__ != "OtherTrainer"
        assert loaded().__name__ == "MyRouter"

    @pytest.mark.parametrize(
        ("source", "told"),
        [
            ("class MyTrainer(BaseTrainer): ...", "does not implement train"),
            (
                "class MyTrainer(BaseTrainer):\n    def train(self, epochs): ...",
                "train(self, epochs) cannot be called as train(self): missing a required argument: 'epochs'",
            ),
            (
                MY_TRAINER + "    def __init__(self, router): ...",
                "__init__(self, router) cannot be called as __init__(self, router, config, device='cpu'): ",
            ),
            (
                MY_TRAINER.replace("My", "A") + MY_TRAINER.replace("My", "B"),
                "several classes, ATrainer, BTrainer; import the right one in my_router/__init__.py",
            ),
            (
                "MyTrainer = 3",
                "no class whose name ends in 'Trainer' and that inherits from llmrouter.models",
            ),
        ],
    )
    def test_that_break_the_contract_are_refused(self, source: str, told: str, write: Write) -> None:
        write("custom_routers/my_router/router.py", HEAD + MINE)
        write("custom_routers/my_router/trainer.py", TRAINER_HEAD + source)
        message = refusal(trainer)
        assert message.startswith("Trainer class validation failed: ")
        assert told in message
        assert f"{Path.cwd()}/custom_routers/my_router/trainer.py" in message
        assert loaded().__name__ == "MyRouter"

    def test_that_fail_leave_the_router_usable(self, write: Write) -> None:
        write("custom_routers/my_router/router.py", HEAD + MINE)
        write("custom_routers/my_router/trainer.py", TRAINER_HEAD + MY_TRAINER + "import no_such_package")
        with pytest.raises(
            PluginError, match=r"'no_such_package' \(trainer.py, line 4\); install what provides"
        ):
            trainer()
        assert loaded().__name__ == "MyRouter"


@pytest.mark.processes
def test_a_check_of_all_plugins_reports_what_shows_only_when_it_runs(
    write: Write, invoke: Callable[..., object]
) -> None:
    write("custom_routers/my_router/router.py", HEAD + ABSTRACT)
    outcome = invoke("plugins", "check")
    (row,) = [row for row in outcome.json if row["name"] == "my_router"]  # type: ignore[attr-defined]
    assert outcome.status == 1  # type: ignore[attr-defined]
    assert row["reason"].startswith("Router class validation failed: MyRouter in ")


@pytest.mark.torch
class TestWithTorch:
    HEAD = "from llmrouter.models.meta_router import MetaRouter\nimport torch.nn as nn\n"

    def test_the_base_that_is_imported_is_not_the_router(self, write: Write) -> None:
        write("custom_routers/third/router.py", self.HEAD + MINE.replace("(Router)", "(MetaRouter)"))
        write("custom_routers/third/__init__.py", "from .router import *")
        assert loaded("third").__name__ == "MyRouter"

    def test_the_base_alone_is_none(self, write: Write) -> None:
        write("custom_routers/my_router/__init__.py", "from llmrouter.models.meta_router import *")
        assert "no class whose name ends in 'Router'" in refusal(loaded)

    def test_torchs_module_before_the_router_is_refused(self, write: Write) -> None:
        write(
            "custom_routers/my_router/router.py",
            HEAD + self.HEAD + MINE.replace("(Router)", "(nn.Module, Router)"),
        )
        with pytest.raises(PluginError, match="name the router before torch's Module among the bases"):
            loaded()
