"""``paretorouter``: predicts quality and cost of each LLM for each query, and chooses on the frontier.

What needs torch is imported when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmrouter.constraints import Constraint, ConstraintError
    from llmrouter_pareto.router import ParetoRouter
    from llmrouter_pareto.training import train

__all__ = ["Constraint", "ConstraintError", "ParetoRouter", "train"]

_MODULES = {
    "Constraint": "llmrouter.constraints",
    "ConstraintError": "llmrouter.constraints",
    "ParetoRouter": "llmrouter_pareto.router",
    "train": "llmrouter_pareto.training",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_MODULES[name]), name)
