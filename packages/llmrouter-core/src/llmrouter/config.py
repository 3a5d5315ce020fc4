"""Read a router's configuration from YAML."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from llmrouter.errors import ConfigError, FileError
from llmrouter.files import read_file

# Part of every configuration: a section that is empty or left out is an empty mapping.
SECTIONS = ("data_path", "model_path", "hparam", "metric")

E = TypeVar("E", bound=FileError)

# With a few aliases of aliases, a short file would stand for more than any memory holds.
MOST_VALUES = 1_000_000

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_config(source: str | os.PathLike[str] | Mapping[str, Any]) -> dict[str, Any]:
    """Read a configuration, from a YAML file or from a mapping that was read already.

    Top-level keys that core does not know are kept for the router, unless they look like a misspelt one.

    Raises:
        ConfigError: The file is missing, empty or malformed, names a key twice or misspells one, or a section
            is not what it must be.
    """
    if isinstance(source, Mapping):
        path, config = None, dict(source)
    else:
        path = Path(source)
        config = read_yaml(path, "there is no such file; name the router's YAML file with --config")
        if config is None:
            raise ConfigError(path, "is empty; it needs at least data_path.llm_data")
        if not isinstance(config, dict):
            raise ConfigError(path, f"expected 'key: value' lines, found {_kind(config)}")
    for section in SECTIONS:
        if config.get(section) is None:
            config[section] = {}
        elif not isinstance(config[section], dict):
            raise config_error(
                source, [section], f"expected a section of 'key: value' lines, found {_kind(config[section])}"
            )
    weights = config["metric"].get("weights")
    if weights is not None and not isinstance(weights, dict):
        raise config_error(
            source, ["metric", "weights"], f"expected 'name: weight' lines, found {_kind(weights)}"
        )
    from llmrouter.known_keys import (
        check_keys,  # it imports the readers of sections, which import this module
    )

    check_keys(config, source)
    return config


def config_error(source: object, key: Sequence[str], problem: str) -> ConfigError:
    """Make the error for one key of a configuration; names the line where the source is a file."""
    path = None if isinstance(source, Mapping) or source is None else Path(str(source))
    line = line_of(path, key) if path is not None else None
    return ConfigError(path, problem, line=line, key=".".join(key))


def line_of(path: Path, key: Sequence[str]) -> int | None:
    """Return the line of a key in a YAML or JSON file, or of the nearest key above it that is there.

    Members of a list are named by their number, from 0.
    """
    try:
        # Tabs may indent JSON, which is YAML otherwise.
        node = yaml.compose(read_file(path).decode("utf-8").replace("\t", " "), Loader=_Loader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None
    line = None
    for part in key:
        for name, start, value in _children(node):
            if name == part:
                line, node = start.line + 1, value
                break
        else:
            break
    return line


def _children(node: object) -> Iterator[tuple[str, yaml.Mark, yaml.Node]]:
    """The key of each value of a mapping, or its number in a list, with where it begins."""
    if isinstance(node, yaml.MappingNode):
        yield from ((key.value, key.start_mark, value) for key, value in node.value)
    elif isinstance(node, yaml.SequenceNode):
        yield from ((str(number), value.start_mark, value) for number, value in enumerate(node.value))


def read_yaml(path: Path, missing: str = "there is no such file") -> Any:
    """Return what a YAML file holds; None if it is empty.

    Args:
        path: The file.
        missing: The problem if there is none.

    Raises:
        ConfigError: The file is missing or malformed, names a key twice, or its aliases would fill the
            memory.
    """
    try:
        return _loaded(path, read_file(path).decode("utf-8"))
    except FileNotFoundError:
        raise ConfigError(path, missing) from None
    except OSError as error:
        raise ConfigError(path, f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(path, f"is not UTF-8 text: {error.reason} at byte {error.start}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        raise ConfigError(
            path, f"is not valid YAML: {problem}", line=mark.line + 1 if mark else None
        ) from None
    except (ValueError, LookupError, AttributeError, RecursionError) as error:
        # As PyYAML does for a date such as 2024-13-45 or a tag such as !!int before a word.
        raise ConfigError(path, f"is not valid YAML: {error}") from None


def _loaded(path: Path, text: str) -> Any:
    """Construct what YAML text holds; of a key that stands twice YAML would silently take the last."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _written_out(node, {}) > MOST_VALUES:
            raise ConfigError(
                path, f"its aliases stand for more than {MOST_VALUES} values; use fewer, or write them out"
            )
        _refuse_duplicates(path, node, [], set())
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _written_out(node: yaml.Node, sizes: dict[int, float]) -> float:
    """Return how many values a document holds with its aliases written out; infinite if one holds itself."""
    if id(node) not in sizes:
        sizes[id(node)] = math.inf
        sizes[id(node)] = 1 + sum(_written_out(value, sizes) for _, _, value in _children(node))
    return sizes[id(node)]


def _refuse_duplicates(path: Path, node: yaml.Node, keys: list[str], seen: set[int]) -> None:
    if id(node) in seen:  # an alias
        return
    seen.add(id(node))
    first: dict[tuple[str, str], int] = {}
    for name, start, value in _children(node):
        if isinstance(node, yaml.MappingNode) and isinstance(name, str):
            line = start.line + 1
            if (before := first.setdefault((node.tag, name), line)) != line:
                raise twice(ConfigError, path, [*keys, name], before, line)
        _refuse_duplicates(path, value, [*keys, str(name)], seen)


def twice(kind: type[E], path: Path, keys: Sequence[str], first: int, second: int) -> E:
    """Make the error for a name that stands twice, with both lines."""
    lines = f"on line {first}" if first == second else f"on lines {first} and {second}"
    return kind(path, f"stands twice, {lines}; keep one", line=second, key=".".join(keys))


def _kind(value: object) -> str:
    names = {
        dict: "a mapping",
        list: "a list",
        str: "text",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }
    return names.get(type(value), type(value).__name__)
