"""Check the keys of a configuration: what almost names one that we know is a mistake, and costs money."""

from __future__ import annotations

import logging
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
    lifecycle = config.get("lifecycle")
    for key in lifecycle if isinstance(lifecycle, Mapping) else ():
        if key not in _LIFECYCLE:
            raise config_error(source, ["lifecycle", str(key)], unknown(key, _LIFECYCLE))
