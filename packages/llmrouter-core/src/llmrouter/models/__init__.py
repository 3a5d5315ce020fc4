"""Base classes of routers, trainers and judges.

Those that need torch are imported when they are asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmrouter.models.base_trainer import BaseTrainer
    from llmrouter.models.judge import Judge, Judgement
    from llmrouter.models.meta_router import MetaRouter
    from llmrouter.models.router import Router

__all__ = ["BaseTrainer", "Judge", "Judgement", "MetaRouter", "Router"]

_MODULES = {
    "BaseTrainer": "base_trainer",
    "Judge": "judge",
    "Judgement": "judge",
    "MetaRouter": "meta_router",
    "Router": "router",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
