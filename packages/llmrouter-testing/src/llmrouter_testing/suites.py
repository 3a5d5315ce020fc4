"""The checks as test classes: each check a test of its own.

Example::

    TestMyRouter = router_suite("myrouter", hparam={"max_length": 60})
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from llmrouter_testing.conformance import ENCODER_CHECKS, JUDGE_CHECKS, ROUTER_CHECKS, TRAINER_CHECKS
from llmrouter_testing.plugin import PROPERTY
from llmrouter_testing.report import Check, NotApplicableError
from llmrouter_testing.subjects.named import EncoderSubject, JudgeSubject
from llmrouter_testing.subjects.router import RouterSubject

if TYPE_CHECKING:
    from llmrouter.encoders.base import Encoder
    from llmrouter.models.judge import Judge
    from llmrouter.models.router import Router

S = TypeVar("S")


def router_suite(router: str | Path | type[Router], **options: Any) -> type:
    """Return a test class with all checks of a router; arguments are those of `check_router`."""
    subject = RouterSubject(router, **options)
    return _suite(f"Router {subject.name}", ROUTER_CHECKS, subject)


def trainer_suite(router: str | Path | type[Router], **options: Any) -> type:
    """Return a test class with all checks of a router's trainer; arguments are those of `check_trainer`."""
    subject = RouterSubject(router, **options)
    return _suite(f"Trainer of {subject.name}", TRAINER_CHECKS, subject)


def encoder_suite(encoder: str | type[Encoder], **options: Any) -> type:
    """Return a test class with all checks of an encoder; arguments are those of `check_encoder`."""
    subject = EncoderSubject(encoder, **options)
    return _suite(f"Encoder {subject.name}", ENCODER_CHECKS, subject)


def judge_suite(judge: str | type[Judge], **options: Any) -> type:
    """Return a test class with all checks of a judge; arguments are those of `check_judge`."""
    subject = JudgeSubject(judge, **options)
    return _suite(f"Judge {subject.name}", JUDGE_CHECKS, subject)


def _suite(name: str, checks: Iterable[Check[S]], subject: S) -> type:
    tests = {f"test_{check.name}": _test(name, check, subject) for check in checks}
    return type("ConformanceSuite", (), {"__doc__": f"Conformance of {name}.", **tests})


def _test(name: str, check: Check[S], subject: S) -> Callable[..., None]:
    def test(self: object, record_property: Callable[[str, object], None]) -> None:
        __tracebackhide__ = True
        try:
            told = check.run(subject)
        except NotApplicableError as reason:
            pytest.skip(str(reason))
        if told is not None:
            record_property(PROPERTY, f"{name}: {told}")

    test.__name__, test.__doc__ = f"test_{check.name}", check.explanation
    return test
