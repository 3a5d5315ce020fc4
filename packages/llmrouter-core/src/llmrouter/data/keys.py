"""The keys that are read of a query and of a row of routing data, and what almost names one of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from llmrouter.spelling import nearest

# What routers read of a query. Every other key is the user's own.
QUERY_KEYS = frozenset(
    (
        "query",
        "id",
        "messages",
        "tools",
        "max_tokens",
        "max_completion_tokens",
        "routing_constraint",
        "allowed_llms",
        "task_name",
        "language",
        "embedding",
        "embedding_id",
    )
)
# What is read of a row of routing data.
ROUTING_KEYS = frozenset(
    (
        "query",
        "id",
        "messages",
        "tools",
        "task_name",
        "embedding",
        "embedding_id",
        "model_name",
        "best_llm",
        "performance",
        "cost",
        "token_num",
        "prompt_tokens",
        "completion_tokens",
        "input_tokens",
        "output_tokens",
    )
)
# They mean something inside `routing_constraint` alone.
CONSTRAINTS = frozenset(("cost_constraint", "quality_constraint"))

# `embedding_id` and `embedding`, `min_tokens` and `max_tokens` are less alike, `tool` and `tools` more.
ALIKE = 0.88
# Own keys that are compared, and their longest: a row may come from anybody.
MOST = 64
LONGEST = 40


def misspelt(row: Mapping[str, object], known: frozenset[str] = QUERY_KEYS) -> tuple[str, str] | None:
    """Find a key that almost names one that is read and that the row lacks.

    Args:
        row: A query, or a row of routing data.
        known: `QUERY_KEYS` or `ROUTING_KEYS`, perhaps with more.

    Returns:
        The key, and the problem with it; None if there is none.
    """
    others = tuple(key for key in row if key not in known and len(key) <= LONGEST)[:MOST]
    for key, near, problem in _alike(others, known) if others else ():
        if near not in row:
            return key, problem
    return None


def problem_of_keys(row: Mapping[str, object], known: frozenset[str] = QUERY_KEYS) -> str | None:
    """Say which key `misspelt` finds and what was meant; None if it finds none."""
    found = misspelt(row, known)
    return None if found is None else f"{found[0]!r} {found[1]}"


@lru_cache(256)
def _alike(keys: tuple[str, ...], known: frozenset[str]) -> tuple[tuple[str, str, str], ...]:
    """Return each key that almost names a known one, the one that must be missing, and the problem."""
    # Too many words are alike to one of two letters.
    names = known - {"id"} | (CONSTRAINTS if "routing_constraint" in known else frozenset())
    found = []
    for key in keys:
        near = nearest(key, names, ALIKE)
        if near in CONSTRAINTS:
            found.append((key, "routing_constraint", f"belongs inside 'routing_constraint', as {near!r}"))
        elif near is not None:
            found.append((key, near, f"is unknown; did you mean {near!r}?"))
    return tuple(found)
