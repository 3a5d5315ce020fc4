"""What the packages have in common, and which way they may depend on each other."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

import llmrouter

ROOT = Path(__file__).parents[2]
PACKAGES = {folder.name: folder for folder in sorted((ROOT / "packages").iterdir())}
PYTHONS = ["3.10", "3.11", "3.12", "3.13", "3.14"]
# Where a distribution does not bear the name of what it is imported as.
DISTRIBUTIONS = {
    "importlib_metadata": "importlib-metadata",
    "llmrouter": "llmrouter-core",
    "llmrouter_lifecycle": "llmrouter-lifecycle",
    "llmrouter_pareto": "llmrouter-pareto",
    "faiss": "faiss-cpu",
    "opentelemetry": "opentelemetry-sdk",
    "prometheus_client": "prometheus-client",
    "sentence_transformers": "sentence-transformers",
    "yaml": "pyyaml",
}
# Those who call to_pandas have pandas; transformers brings huggingface_hub, and core's extra numpy and torch.
NOT_REQUIRED = {"pandas", "huggingface_hub"}
COME_WITH_CORE = {
    "llmrouter-knn": {"numpy"},
    "llmrouter-lifecycle": {"openai", "yaml"},
    "llmrouter-pareto": {"numpy", "torch"},
    # With llmrouter-lifecycle, without which the module that imports it is not imported.
    "llmrouter-server": {"sqlalchemy"},
    "llmrouter-threshold": {"numpy", "torch"},
}
# tomli is imported by name, where Python has no tomllib. Of wordllama only files are read; uvicorn imports
# httptools, SQLAlchemy psycopg; the exporter is a part of opentelemetry.
NOT_IMPORTED = {"tomli", "wordllama", "httptools", "psycopg", "opentelemetry-exporter-otlp-proto-http"}
# Packages that build on others beside core.
BUILD_ON = {"llmrouter-lifecycle": {"llmrouter_pareto"}, "llmrouter-server": {"llmrouter_lifecycle"}}
NEED_TORCH = {f"llmrouter/models/{module}.py" for module in ("checkpoint", "features", "meta_router")}

each_package = pytest.mark.parametrize("name", PACKAGES)


def toml(path: Path) -> Any:
    reader = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    return reader.loads(path.read_text("utf-8"))


def metadata(name: str) -> Any:
    return toml(PACKAGES[name] / "pyproject.toml")["project"]


def package_folder(name: str) -> Path:
    (folder,) = (folder for folder in (PACKAGES[name] / "src").iterdir() if (folder / "__init__.py").exists())
    return folder


def sources(name: str) -> Iterator[tuple[str, ast.Module]]:
    """The modules of a package, path and syntax tree; what init writes belongs to none."""
    folder = package_folder(name)
    for path in sorted(folder.rglob("*.py")):
        relative = path.relative_to(folder.parent).as_posix()
        if not relative.startswith("llmrouter_cli/project/"):
            yield relative, ast.parse(path.read_bytes())


def imported(nodes: Iterator[ast.AST]) -> set[str]:
    """Dotted names of what the statements among these nodes import."""
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def roots(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def run_at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """Nodes that run when a module is imported: not those in functions, nor those for type checkers alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        yield from run_at_import(node)


def required(name: str) -> set[str]:
    """Names of the distributions that a package requires, its extras included."""
    found = metadata(name)
    asked = [found["dependencies"], *found.get("optional-dependencies", {}).values()]
    return {re.split(r"[\[<>=; ]", text)[0] for text in chain.from_iterable(asked)}


@each_package
def test_all_packages_are_of_one_version(name: str) -> None:
    version = llmrouter.__version__ if name == "llmrouter-core" else metadata(name)["version"]
    assert version == llmrouter.__version__


@each_package
def test_packages_accept_each_other_within_a_minor_version(name: str) -> None:
    major, minor = map(int, llmrouter.__version__.split(".")[:2])
    ours = [text for text in metadata(name)["dependencies"] if text.startswith("llmrouter-")]
    assert all(text.endswith(f">={major}.{minor},<{major}.{minor + 1}") for text in ours)
    assert ours or name == "llmrouter-core"


@each_package
def test_a_package_is_complete(name: str) -> None:
    folder = PACKAGES[name]
    assert metadata(name)["name"] == name
    assert f"pip install {name}" in (folder / "README.md").read_text("utf-8")
    assert (folder / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert (package_folder(name) / "py.typed").exists()


@each_package
def test_a_package_names_the_pythons_that_the_tests_run_on(name: str) -> None:
    found = metadata(name)
    prefix = "Programming Language :: Python :: 3."
    named = [text.rpartition(" ")[2] for text in found["classifiers"] if text.startswith(prefix)]
    environments = toml(ROOT / "pyproject.toml")["tool"]["hatch"]["envs"]
    tested = [environments["default"]["python"], *environments["bare"]["matrix"][0]["python"]]
    assert named == PYTHONS == sorted(tested, key=lambda version: int(version.partition(".")[2]))
    assert found["requires-python"] == f">={PYTHONS[0]}"


@each_package
def test_the_tools_know_the_package(name: str) -> None:
    tools = toml(ROOT / "pyproject.toml")["tool"]
    assert f"$MYPY_CONFIG_FILE_DIR/packages/{name}/src" in tools["mypy"]["mypy_path"]
    assert package_folder(name).name in tools["coverage"]["run"]["source_pkgs"]


@each_package
def test_a_package_requires_what_it_imports(name: str) -> None:
    own = package_folder(name).name
    used = {root for _, tree in sources(name) for root in roots(imported(ast.walk(tree)))}
    foreign = used - sys.stdlib_module_names - NOT_REQUIRED - COME_WITH_CORE.get(name, set()) - {own}
    assert {DISTRIBUTIONS.get(root, root) for root in foreign} <= required(name)


@each_package
def test_a_package_imports_what_it_requires(name: str) -> None:
    used = {root for _, tree in sources(name) for root in roots(imported(ast.walk(tree)))}
    assert required(name) - NOT_IMPORTED <= {DISTRIBUTIONS.get(root, root) for root in used}


def test_core_imports_no_plugin_and_nothing_of_the_command_line() -> None:
    for path, tree in sources("llmrouter-core"):
        used = roots(imported(ast.walk(tree)))
        assert not {root for root in used if root.startswith("llmrouter_")} | used & {"click", "rich"}, path


@pytest.mark.parametrize("name", sorted(set(PACKAGES) - {"llmrouter-core"}))
def test_a_package_imports_no_other_but_core(name: str) -> None:
    own = package_folder(name).name
    for path, tree in sources(name):
        ours = {root for root in roots(imported(ast.walk(tree))) if root.startswith("llmrouter")}
        assert ours <= {"llmrouter", own} | BUILD_ON.get(name, set()), path


def test_one_module_reads_the_metadata_of_distributions() -> None:
    readers = {
        path
        for name in PACKAGES
        for path, tree in sources(name)
        for module in imported(ast.walk(tree))
        if module == "importlib.metadata" or module.partition(".")[0] == "importlib_metadata"
    }
    assert readers == {"llmrouter/plugin_system/metadata.py"}


@pytest.mark.parametrize("name", sorted(set(PACKAGES) - {"llmrouter-threshold", "llmrouter-pareto"}))
def test_no_torch_at_import_but_where_a_model_is(name: str) -> None:
    importing = {path for path, tree in sources(name) if "torch" in roots(imported(run_at_import(tree)))}
    assert importing <= NEED_TORCH


@pytest.mark.parametrize("name", sorted(set(PACKAGES) - {"llmrouter-cli"}))
def test_libraries_do_not_print(name: str) -> None:
    for path, tree in sources(name):
        called = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
        assert not [func for func in called if isinstance(func, ast.Name) and func.id == "print"], path
