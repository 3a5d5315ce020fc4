"""The configuration keys and environment variables there are, as the code that reads them has them."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

from llmrouter.completion import services
from llmrouter.config import SECTIONS
from llmrouter.data import candidates
from llmrouter.gateway_settings import SECTION as GATEWAY
from llmrouter.gateway_settings import Settings
from llmrouter.learning.policy import PolicySettings
from llmrouter.learning.predictor import PredictorSettings
from llmrouter.plugin_system import settings as plugin_settings
from llmrouter_knn.hyperparameters import Hyperparameters as KnnHyperparameters
from llmrouter_lifecycle.judges import rubric
from llmrouter_pareto.hyperparameters import Hyperparameters as ParetoHyperparameters
from llmrouter_random.router import Hyperparameters as RandomHyperparameters
from llmrouter_rules.conditions import CONDITIONS
from llmrouter_rules.router import Hyperparameters as RulesHyperparameters
from llmrouter_rules.targets import KEYS as TARGET_KEYS
from llmrouter_server.key_file import Key
from llmrouter_threshold.hyperparameters import Hyperparameters as ThresholdHyperparameters
from tests.docs.pages import ROOT

# Names by which the code knows a whole configuration, and one candidate.
CONFIG_NAMES = ("cfg", "config")
CANDIDATE = "candidate"


def sources() -> list[Path]:
    """Return the modules of all packages, but for what the command writes into projects of others."""
    found = (ROOT / "packages").glob("*/src/**/*.py")
    return sorted(path for path in found if not {"project", "templates"} & set(path.parts))


def keys_in(text: str) -> Iterator[tuple[str, str]]:
    """Yield each key that a module reads by name, with the section that it reads it from.

    The section is that of the configuration, empty for keys of the configuration itself; or ``candidate``.
    """
    for function in ast.walk(ast.parse(text)):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _keys_of(function)


def _keys_of(function: ast.AST) -> Iterator[tuple[str, str]]:
    # Variables that hold a section: hparam = cfg["hparam"].
    held: dict[str, str] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            value = node.value.values[0] if isinstance(node.value, ast.BoolOp) else node.value
            if isinstance(target, ast.Name) and (read := _read(value)) and _is_config(read[0]):
                held[target.id] = read[1]
    for node in ast.walk(function):
        if (read := _read(node)) is None:
            continue
        owner, key = read
        if _is_config(owner):
            yield "", key
        elif isinstance(owner, ast.Name) and owner.id == CANDIDATE:
            yield CANDIDATE, key
        elif isinstance(owner, ast.Name) and owner.id in held:
            yield held[owner.id], key
        elif (outer := _read(owner)) is not None and _is_config(outer[0]):
            yield outer[1], key


def _read(node: ast.AST) -> tuple[ast.AST, str] | None:
    """Of ``owner["key"]`` and ``owner.get("key")`` the owner and the key."""
    if isinstance(node, ast.Subscript):
        owner, key = node.value, node.slice
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
        if node.func.attr != "get":
            return None
        owner, key = node.func.value, node.args[0]
    else:
        return None
    return (owner, key.value) if isinstance(key, ast.Constant) and isinstance(key.value, str) else None


def _is_config(node: ast.AST) -> bool:
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return name.lstrip("_") in CONFIG_NAMES


@cache
def read_by_name() -> dict[str, frozenset[str]]:
    """Return the keys that modules read by name, by section."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for path in sources():
        for section, key in keys_in(path.read_text("utf-8")):
            found[section].add(key)
    router = (ROOT / "packages/llmrouter-core/src/llmrouter/models/router.py").read_text("utf-8")
    found["data_path"] |= set(re.findall(r'_(?:read|data_path)\("(\w+)"', router))
    return {section: frozenset(keys) for section, keys in found.items()}


# Where a router's hyperparameters are read, and where they are told.
ROUTERS = {"random": "randomrouter", "rules": "rulesrouter"}
HYPERPARAMETERS: dict[str, Any] = {
    "knn": KnnHyperparameters,
    "pareto": ParetoHyperparameters,
    "random": RandomHyperparameters,
    "rules": RulesHyperparameters,
    "threshold": ThresholdHyperparameters,
}


def hyperparameters_of(name: str) -> frozenset[str]:
    """Return the hyperparameters of one of our routers, by the last part of its distribution's name."""
    folder = ROOT / "packages" / f"llmrouter-{name}" / "src"
    read = (pair for path in folder.rglob("*.py") for pair in keys_in(path.read_text("utf-8")))
    found = {key for section, key in read if section == "hparam"}
    if name in HYPERPARAMETERS:
        kinds = [HYPERPARAMETERS[name]]
        if issubclass(kinds[0], PredictorSettings):
            kinds.append(PolicySettings)
        found |= {field.name for kind in kinds for field in fields(kind)}
    return frozenset(found)


def configuration_keys() -> dict[str, frozenset[str]]:
    """Return all keys of configuration files, by what they are keys of."""
    read = read_by_name()
    return {
        "the configuration": TOP_LEVEL,
        "data_path": read["data_path"],
        "model_path": read["model_path"],
        "metric": read["metric"],
        "lifecycle": read["lifecycle"],
        "hparam": HPARAM,
        "gateway": frozenset(Settings.__struct_fields__),
        "services": frozenset(services._KEYS),
        "a candidate": read[CANDIDATE] | frozenset(candidates.FIELDS),
        "conditions of rules": frozenset(CONDITIONS),
        "targets of rules": frozenset(TARGET_KEYS),
        "llmrouter.toml": frozenset({"plugins", "routers", *plugin_settings._KEYS}),
        "the keys file": frozenset(Key.__struct_fields__),
        "a judge": judge_keys(),
    }


def judge_keys() -> frozenset[str]:
    """Return the keys of a judge's specification, which it checks against those that it knows."""
    found = set(rubric._KEYS)
    for path in (ROOT / "packages/llmrouter-lifecycle/src/llmrouter_lifecycle/judges").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "_check_keys":
                known: list[ast.AST] = list(node.args)
            elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "keys":
                known = [node.value]
            else:
                continue
            parts = (
                part
                for argument in known
                if not isinstance(argument, ast.JoinedStr)
                for part in ast.walk(argument)
            )
            found |= {
                part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)
            }
    return frozenset(found)


def variables_in(text: str) -> set[str]:
    """Return the environment variables of ours that a module names."""
    return set(re.findall(r"(?<![A-Z_])(?:LLMROUTER_[A-Z_]*[A-Z]|API_KEYS)\b", text))


def variables() -> frozenset[str]:
    """Return the environment variables of ours."""
    return frozenset().union(*(variables_in(path.read_text("utf-8")) for path in sources()))


TOP_LEVEL = frozenset({*SECTIONS, GATEWAY, *read_by_name()[""]})
HPARAM = (
    read_by_name().get("hparam", frozenset()).union(*map(hyperparameters_of, (*ROUTERS, *HYPERPARAMETERS)))
)
