"""Checks that a plugin for llmrouter keeps its contract, and fixtures to test it with.

In a test file, one line is a suite::

    from llmrouter_testing import router_suite

    TestMyRouter = router_suite("myrouter")

Names are imported when they are asked for: pytest imports this package in every run, whatever is tested.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmrouter_testing.conformance import check_encoder, check_judge, check_router, check_trainer
    from llmrouter_testing.distributions import FakeDistributions
    from llmrouter_testing.project import Project
    from llmrouter_testing.report import ConformanceError, Report
    from llmrouter_testing.suites import encoder_suite, judge_suite, router_suite, trainer_suite
    from llmrouter_testing.upstream import Reply, Upstream

__all__ = [
    "ConformanceError",
    "FakeDistributions",
    "Project",
    "Reply",
    "Report",
    "Upstream",
    "check_encoder",
    "check_judge",
    "check_router",
    "check_trainer",
    "encoder_suite",
    "judge_suite",
    "router_suite",
    "trainer_suite",
]

_MODULES = {
    "conformance": ("check_encoder", "check_judge", "check_router", "check_trainer"),
    "distributions": ("FakeDistributions",),
    "project": ("Project",),
    "report": ("ConformanceError", "Report"),
    "suites": ("encoder_suite", "judge_suite", "router_suite", "trainer_suite"),
    "upstream": ("Reply", "Upstream"),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
