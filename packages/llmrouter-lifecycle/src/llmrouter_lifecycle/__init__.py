"""A router's life: created, trained with a judge, used under constraints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmrouter_lifecycle.client.asynchronous import AsyncClient
    from llmrouter_lifecycle.client.client import Client
    from llmrouter_lifecycle.constraints import (
        ConstraintValue,
        CostConstraint,
        QualityConstraint,
        RoutingConstraint,
        cost_at_most,
        quality_at_least,
    )
    from llmrouter_lifecycle.errors import (
        BudgetExceededError,
        ConflictError,
        InvalidParameterError,
        JudgementError,
        LifecycleError,
        ResourceAlreadyExistsError,
        ResourceNotFoundError,
        UpstreamError,
    )
    from llmrouter_lifecycle.resources import Judge, Router, RouterTrainingJob, RubricJudgeSpec

_MODULES = {
    "AsyncClient": "client.asynchronous",
    "BudgetExceededError": "errors",
    "Client": "client.client",
    "ConflictError": "errors",
    "ConstraintValue": "constraints",
    "CostConstraint": "constraints",
    "InvalidParameterError": "errors",
    "Judge": "resources",
    "JudgementError": "errors",
    "LifecycleError": "errors",
    "QualityConstraint": "constraints",
    "ResourceAlreadyExistsError": "errors",
    "ResourceNotFoundError": "errors",
    "Router": "resources",
    "RouterTrainingJob": "resources",
    "RoutingConstraint": "constraints",
    "RubricJudgeSpec": "resources",
    "UpstreamError": "errors",
    "cost_at_most": "constraints",
    "quality_at_least": "constraints",
}

__all__ = [
    "AsyncClient",
    "BudgetExceededError",
    "Client",
    "ConflictError",
    "ConstraintValue",
    "CostConstraint",
    "InvalidParameterError",
    "Judge",
    "JudgementError",
    "LifecycleError",
    "QualityConstraint",
    "ResourceAlreadyExistsError",
    "ResourceNotFoundError",
    "Router",
    "RouterTrainingJob",
    "RoutingConstraint",
    "RubricJudgeSpec",
    "UpstreamError",
    "cost_at_most",
    "quality_at_least",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
