"""Files of examples that no command need read: each is parsed, and put to the reader that it is for."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from llmrouter.completion.catalogue import Catalogue
from llmrouter.completion.services import services_from
from llmrouter.config import read_config
from llmrouter.data.candidates import read_candidates
from llmrouter.data.queries import QueryFile
from llmrouter.data.routing_data import read_routing_data
from llmrouter.errors import LLMRouterError
from llmrouter.gateway_settings import read_settings
from llmrouter_rules.conditions import read_conditions
from tests.docs.keys import HPARAM, TOP_LEVEL, keys_in
from tests.docs.pages import Block


def check_file(block: Block, folder: Path, written: Collection[str] = ()) -> None:
    """Check a block that is a file, or a part of one.

    Args:
        block: The block; its language is one of `CHECKS`.
        folder: Where the reader is.
        written: Files that the page writes, before or after.

    Raises:
        ValueError: It is malformed, or says what nothing understands.
    """
    check = CHECKS.get(block.language)
    if check is None:
        raise ValueError(f"the fence names no language that examples are in, but {block.language!r}")
    try:
        check(block, folder)
        if block.language == "yaml":
            _check_paths(block, folder, written)
    except (LLMRouterError, SyntaxError, ImportError) as error:
        raise ValueError(str(error)) from error


def _python(block: Block, folder: Path) -> None:
    tree = ast.parse(block.code)
    for module, name in _imports(tree):
        # What comes from beside the file, or from what the page goes on to write, is not here.
        if importlib.util.find_spec(module.partition(".")[0]) is None:
            continue
        found = importlib.import_module(module)
        if name is not None and not hasattr(found, name):
            importlib.import_module(f"{module}.{name}")


def _imports(tree: ast.AST) -> Iterator[tuple[str, str | None]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node.module, alias.name) for alias in node.names)


def _yaml(block: Block, folder: Path) -> None:
    try:
        told = yaml.safe_load(block.code)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    if isinstance(told, dict) and "when" in told:
        read_conditions(told["when"], timeout=1)
    # Others, such as workflows, are for their own programs.
    if not isinstance(told, dict) or not told.keys() & TOP_LEVEL:
        return
    config = read_config(told)
    # A page's own routers know keys of their own.
    own = {pair for path in folder.rglob("*.py") for pair in keys_in(path.read_text("utf-8"))}
    for section, known in (("", TOP_LEVEL), ("hparam", HPARAM)):
        known_here = known | {key for where, key in own if where == section}
        if unknown := set(config[section] if section else told) - known_here:
            raise ValueError(f"nothing knows the key {section}.{min(unknown)}".replace("key .", "key "))
    read_settings(config)
    services_from(config)


def _check_paths(block: Block, folder: Path, written: Collection[str]) -> None:
    told = yaml.safe_load(block.code)
    for key, path in (told.get("data_path") or {} if isinstance(told, dict) else {}).items():
        if path not in written and not (folder / os.path.expanduser(path)).exists():
            raise ValueError(f"data_path.{key}: there is no {path} in {folder}")


def _json(block: Block, folder: Path) -> None:
    rows = _values(block.code)
    with TemporaryDirectory() as place:
        path = Path(place) / "example.jsonl"
        path.write_text(block.code, "utf-8")
        if not all(isinstance(row, dict) for row in rows):
            return
        if len(rows) == 1 and all(isinstance(value, dict) for value in rows[0].values()):
            _check_candidates(path)
        elif all("query" in row for row in rows):
            routing = any(key in row for row in rows for key in ("performance", "best_llm"))
            if routing:
                list(read_routing_data(path))
            else:
                problems = [row.problem for row in QueryFile(str(path)) if row.problem]
                if problems:
                    raise ValueError(problems[0])


def _values(text: str) -> list[Any]:
    """One value, or one a line."""
    try:
        return [json.loads(text)]
    except json.JSONDecodeError:
        return [json.loads(line) for line in text.splitlines() if line]


def _check_candidates(path: Path) -> None:
    candidates = read_candidates(path)
    names = {str(candidate["service"]) for candidate in candidates.values() if "service" in candidate}
    services = {name: {"api_endpoint": "http://127.0.0.1:1/v1"} for name in names}
    catalogue = Catalogue(candidates, {"services": services}, environ={"API_KEYS": "key"})
    for name, candidate in candidates.items():
        if "api_endpoint" in candidate or "service" in candidate:
            catalogue.endpoint(name)


def _toml(block: Block, folder: Path) -> None:
    # Only here: mypy checks as for Python 3.10, which lacks it.
    tomllib = importlib.import_module("tomllib")
    told = tomllib.loads(block.code)
    if block.file is not None and Path(block.file).name == "llmrouter.toml":
        from llmrouter.plugin_system.settings import read_settings as read_plugin_settings

        before = Path.cwd()
        os.chdir((folder / block.file).parent)
        try:
            read_plugin_settings()
        finally:
            os.chdir(before)
    elif not set(told) <= {"project", "build-system", "tool"}:
        raise ValueError("name the file: nothing is known to read this")


CHECKS = {"python": _python, "yaml": _yaml, "json": _json, "jsonl": _json, "toml": _toml}
