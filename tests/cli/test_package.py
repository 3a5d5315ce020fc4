"""`llmrouter plugins package` makes a distribution of a router folder, with all that it imports."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROUTER = """
    \"\"\"Routes by length.\"\"\"
    {imports}
    from llmrouter.models.router import Router

    class MyRouter(Router):
        \"\"\"Sends "long" queries to $large.\"\"\"

        def route_single(self, query_input):
            {inside}
            return {{"model_name": list(self.llm_data)[len(query_input["query"]) > {limit}]}}
"""
PACKAGE = ("plugins", "package", "custom_routers/my_router")
SOURCE = Path("llmrouter-my-router/src/llmrouter_my_router")


@pytest.fixture
def folder(write: Callable[[str, str], Path]) -> Callable[..., None]:
    """Write a router folder and what lies beside it."""

    def folder(imports: str = "", limit: str = "5", inside: str = "pass") -> None:
        router = ROUTER.format(imports=imports, limit=limit, inside=inside)
        write("custom_routers/my_router/router.py", router)
        write("custom_routers/my_router/helper.py", "from shared_utils import LIMIT\n")
        write("custom_routers/my_router/config.yaml", "hparam: {}\n")
        write("custom_routers/shared_utils.py", "from custom_routers.deep.limits import LIMIT\n")
        write("custom_routers/deep/limits.py", "LIMIT = 5\n")
        write("custom_routers/unrelated.py", "import fake_missing\n")

    return folder


def routed(config: str) -> list[str]:
    """Let another process, which knows no directory, route a short and a long query by the distribution."""
    program = (
        "from llmrouter_my_router.plugin import *\n"
        "from llmrouter.plugin_system.installed import load_target\n"
        "(spec,) = llmrouter_register_routers()\n"
        f"router = load_target(spec.target)({config!r})\n"
        "print(spec.name, *(router.route_single({'query': text})['model_name'] for text in ('a', 'a' * 9)))"
    )
    environ = {**os.environ, "PYTHONPATH": str(SOURCE.parent)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environ, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("imports", "limit"),
    [
        ("from .helper import LIMIT", "LIMIT"),
        ("from ..shared_utils import LIMIT", "LIMIT"),
        ("from .. import shared_utils", "shared_utils.LIMIT"),
        ("from shared_utils import LIMIT  # the limit", "LIMIT"),
        ("from my_router.helper import LIMIT", "LIMIT"),
        ("from custom_routers.shared_utils import (\n        LIMIT as MOST,\n    )", "MOST"),
        ("from custom_routers import shared_utils", "shared_utils.LIMIT"),
        ("import os, shared_utils as shared", "shared.LIMIT"),
        ("import shared_utils", "shared_utils.LIMIT"),
        ("import my_router.helper", "my_router.helper.LIMIT"),
        ("import custom_routers.deep.limits", "custom_routers.deep.limits.LIMIT"),
        ("x = 'ä'; from shared_utils import LIMIT; y = 1", "LIMIT"),
    ],
)
def test_every_style_of_import_works_in_the_distribution(
    invoke: Callable[..., Any], folder: Callable[..., None], config: Any, imports: str, limit: str
) -> None:
    folder(imports, limit)
    before = {path: path.read_bytes() for path in Path("custom_routers").rglob("*.py")}
    done = invoke(*PACKAGE)
    assert (done.status, done.out) == (0, "")
    assert {path: path.read_bytes() for path in before} == before
    assert routed(config()) == ["my_router", "small", "large"]


def test_an_import_in_a_function_works_too(
    invoke: Callable[..., Any], folder: Callable[..., None], config: Any
) -> None:
    folder(inside="from shared_utils import LIMIT", limit="LIMIT")
    invoke(*PACKAGE)
    assert routed(config()) == ["my_router", "small", "large"]


def test_only_what_is_needed_is_taken_over(invoke: Callable[..., Any], folder: Callable[..., None]) -> None:
    folder("from .helper import LIMIT")
    done = invoke(*PACKAGE)
    assert "written  llmrouter-my-router\n" in done.err
    assert {path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*") if path.is_file()} == {
        "__init__.py",
        "plugin.py",
        "py.typed",
        "shared_utils.py",
        "deep/limits.py",
        "my_router/router.py",
        "my_router/helper.py",
        "my_router/config.yaml",
    }
    assert (SOURCE.parents[1] / "tests" / "test_router.py").is_file()


def test_a_trainer_is_declared_with_it(invoke: Callable[..., Any]) -> None:
    invoke("init")
    assert invoke(*PACKAGE).status == 0
    assert '"llmrouter_my_router.my_router.trainer:MyRouterTrainer"' in (SOURCE / "plugin.py").read_text()


def test_what_provides_an_import_is_asked_for(
    invoke: Callable[..., Any], folder: Callable[..., None], install: Any
) -> None:
    install("fake", {"fake_lib": "X = 1"}, {})
    folder("import fake_lib")
    done = invoke(*PACKAGE)
    assert "It imports fake_lib: add what provides that to the dependencies in " in done.err


class TestRefused:
    def test_what_is_no_router_folder(self, invoke: Callable[..., Any], write: Any) -> None:
        write("elsewhere/readme.txt", "nothing\n")
        done = invoke("plugins", "package", "elsewhere")
        assert done.status == 1
        assert "elsewhere: is no router folder; name one such as custom_routers/my_router" in done.err

    def test_a_router_that_fails(self, invoke: Callable[..., Any], write: Any) -> None:
        write("custom_routers/my_router/router.py", "import (\n")
        done = invoke(*PACKAGE)
        assert done.status == 1
        assert "is no router that can be used: SyntaxError" in done.err

    def test_an_existing_target(self, invoke: Callable[..., Any], folder: Callable[..., None]) -> None:
        folder()
        Path("llmrouter-my-router").mkdir()
        done = invoke(*PACKAGE)
        assert done.status == 1
        assert "llmrouter-my-router: exists already; nothing was written" in done.err
        assert os.listdir("llmrouter-my-router") == []

    def test_a_name_that_is_taken(self, invoke: Callable[..., Any], write: Any) -> None:
        source = ROUTER.format(imports="", inside="pass", limit="1")
        write("custom_routers/randomrouter/router.py", source.replace("MyRouter", "RandomRouter"))
        done = invoke("plugins", "package", "custom_routers/randomrouter")
        assert done.status == 1
        assert "a router named 'randomrouter' is installed" in done.err

    def test_a_module_that_bears_our_name(
        self, invoke: Callable[..., Any], folder: Callable[..., None], write: Any
    ) -> None:
        folder("from ..plugin import X")
        write("custom_routers/plugin.py", "X = 1\n")
        done = invoke(*PACKAGE)
        assert done.status == 1
        assert "plugin.py: bears the name of the plugin module; rename it" in done.err
        assert not Path("llmrouter-my-router").exists()
