"""Check the keys of a configuration: what almost names one that we know is a mistake, and costs money."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from llmrouter.config import SECTIONS, config_error
from llmrouter.spelling import nearest, unknown

logger = logging.getLogger(__name__)

TOP_LEVEL = (*SECTIONS, "api_endpoint", "services", "gateway", "lifecycle")
_MODEL_PATH = ("save_model_path", "load_model_path")
_METRIC = ("weights",)
_LIFECYCLE = ("judges", "fit_seconds")
_JUDGE = re.compile(r"python:[^\s:]+:[^\s:]+")


def data_keys() -> tuple[str, ...]:
    """Return the keys of ``data_path`` that every router reads."""
    from llmrouter.models.router import Router

    read = (name for name, value in vars(Router).items() if isinstance(value, cached_property))
    return tuple(name for name in read if name.endswith(("_data", "_train", "_test")))


def check_keys(config: Mapping[str, Any], source: object) -> None:
    """Check the keys that are not one router's own.

    A key that is alike to one that we know is an error. Other keys belong to the router; inside
    ``data_path``, ``model_path`` and ``metric`` they are worth a warning.

    Args:
        config: A configuration whose sections are mappings.
        source: Where it was read, for errors.

    Raises:
        ConfigError: A key is misspelt, or ``services``, ``gateway`` or ``lifecycle`` cannot be used.
    """
    for key in config:
        if key not in TOP_LEVEL and (near := nearest(key, TOP_LEVEL)):
            raise config_error(source, [str(key)], f"is unknown; did you mean {near!r}?")
    for section, known in {"data_path": data_keys(), "model_path": _MODEL_PATH, "metric": _METRIC}.items():
        for key in config[section]:
            if key in known:
                continue
            error = config_error(source, [section, str(key)], unknown(key, known))
            if nearest(key, known):
                raise error
            logger.warning("%s", error)
    if config.get("services") is not None:
        from llmrouter.completion.services import services_from

        services_from(config, source)
    if config.get("gateway") is not None:
        from llmrouter.gateway_settings import read_settings

        read_settings(config, source)
    if config.get("lifecycle") is not None:
        _check_lifecycle(config["lifecycle"], source)


def _check_lifecycle(section: Any, source: object) -> None:
    if not isinstance(section, Mapping):
        raise config_error(source, ["lifecycle"], f"expected a section, found {section!r:.60}")
    for key in section:
        if key not in _LIFECYCLE:
            raise config_error(source, ["lifecycle", str(key)], unknown(key, _LIFECYCLE))
    judges = section.get("judges")
    if judges is not None and not isinstance(judges, list | tuple):
        raise config_error(source, ["lifecycle", "judges"], f"expected a list, found {judges!r:.60}")
    for number, name in enumerate(judges or ()):
        if not isinstance(name, str) or not _JUDGE.fullmatch(name):
            problem = f"expected 'python:MODULE:FUNCTION', found {name!r:.80}"
            raise config_error(source, ["lifecycle", "judges", str(number)], problem)
