"""Which LLMs take part, from the smallest to the largest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from llmrouter.config import config_error

_SIZE = re.compile(r"(?:(\d+)\s*x\s*)?(\d+(?:\.\d+)?)\s*([MBT])", re.IGNORECASE)
_UNITS = {"M": 1e6, "B": 1e9, "T": 1e12}


def tiers(
    candidates: Mapping[str, Mapping[str, Any]], hparam: Mapping[str, Any], source: object
) -> list[str]:
    """Order the candidates by cost, or by size where costs are unknown.

    ``small_model`` and ``large_model``, where both are given, are the only two; one of them given is an end.

    Args:
        candidates: The router's ``llm_data``.
        hparam: The router's hyperparameters.
        source: The configuration, for errors.

    Raises:
        ConfigError: A named LLM is no candidate, or an order cannot be found.
    """
    named = {key: hparam[key] for key in ("small_model", "large_model") if hparam.get(key) is not None}
    for key, name in named.items():
        if name not in candidates:
            known = ", ".join(candidates)
            raise config_error(source, ["hparam", key], f"no candidate is named {name!r}; there are {known}")
    if len(named) == 2:
        if len(set(named.values())) == 1:
            raise config_error(source, ["hparam", "large_model"], "is the same LLM as small_model")
        return list(named.values())
    if len(candidates) < 2:
        raise config_error(source, ["data_path", "llm_data"], "names one LLM; a threshold needs two at least")
    ordered = sorted(candidates, key=_weights(candidates, source).__getitem__)
    if name := named.get("small_model"):
        ordered = [name, *ordered[ordered.index(name) + 1 :]]
    if name := named.get("large_model"):
        ordered = [*ordered[: ordered.index(name)], name]
    if len(ordered) < 2:
        key = next(iter(named))
        raise config_error(source, ["hparam", key], f"leaves no other LLM beyond {named[key]!r}")
    return ordered


def _weights(candidates: Mapping[str, Mapping[str, Any]], source: object) -> dict[str, float]:
    for weight in (_cost, _size):
        weights = {name: weight(candidate) for name, candidate in candidates.items()}
        known = {name: value for name, value in weights.items() if value is not None}
        if len(known) == len(candidates):
            return known
    raise config_error(
        source,
        ["hparam", "small_model"],
        "is missing, and not all candidates have a cost, nor all a size; name small_model and large_model",
    )


def _cost(candidate: Mapping[str, Any]) -> float | None:
    if candidate.get("cost") is not None:
        return float(candidate["cost"])
    prices = (candidate.get("input_price"), candidate.get("output_price"))
    return None if None in prices else float(sum(price for price in prices if price is not None))


def _size(candidate: Mapping[str, Any]) -> float | None:
    """Number of parameters, from such as ``7B`` or ``8x22B``."""
    found = _SIZE.search(str(candidate.get("size") or ""))
    return float(found[1] or 1) * float(found[2]) * _UNITS[found[3].upper()] if found else None
