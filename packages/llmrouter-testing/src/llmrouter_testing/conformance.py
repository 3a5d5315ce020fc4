"""Run all checks on one plugin, outside a test suite as well."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmrouter_testing.checks.declarations import declaration_checks
from llmrouter_testing.checks.encoders import encoder_checks
from llmrouter_testing.checks.folders import folder_checks
from llmrouter_testing.checks.judges import judge_checks
from llmrouter_testing.checks.routers import router_checks
from llmrouter_testing.checks.states import state_checks
from llmrouter_testing.checks.trainers import trainer_checks
from llmrouter_testing.report import Report, run_all
from llmrouter_testing.subjects.named import EncoderSubject, JudgeSubject
from llmrouter_testing.subjects.router import RouterSubject

if TYPE_CHECKING:
    from llmrouter.encoders.base import Encoder
    from llmrouter.models.judge import Judge
    from llmrouter.models.router import Router

ROUTER_CHECKS = (*router_checks, *state_checks, *folder_checks, *declaration_checks)
TRAINER_CHECKS = tuple(trainer_checks)
ENCODER_CHECKS = (*encoder_checks, *declaration_checks)
JUDGE_CHECKS = (*judge_checks, *declaration_checks)


def check_router(router: str | Path | type[Router], **options: Any) -> Report:
    """Check a router.

    Args:
        router: Its name, as users choose it; its class; or its folder, a `Path`.
        options: As `llmrouter_testing.subjects.router.RouterSubject` takes them: ``hparam``, ``candidates``,
            ``queries``, ``seed``, ``trainer``, ``routing_data``, ``checkpoint``, ``config``,
            ``seconds_per_query``.

    Raises:
        ConformanceError: Checks failed; the message tells which, and why each matters.
    """
    subject = RouterSubject(router, **options)
    return run_all(f"Router {subject.name}", ROUTER_CHECKS, subject)


def check_trainer(router: str | Path | type[Router], **options: Any) -> Report:
    """Check the trainer of a router; arguments and errors are those of `check_router`."""
    subject = RouterSubject(router, **options)
    return run_all(f"Trainer of {subject.name}", TRAINER_CHECKS, subject)


def check_encoder(encoder: str | type[Encoder], **options: Any) -> Report:
    """Check an encoder.

    Args:
        encoder: Its name, an argument after a colon included, or its class.
        options: As `llmrouter_testing.subjects.named.EncoderSubject` takes them: ``argument``, ``texts``,
            ``seconds_per_text``.

    Raises:
        ConformanceError: Checks failed; the message tells which, and why each matters.
    """
    subject = EncoderSubject(encoder, **options)
    return run_all(f"Encoder {subject.name}", ENCODER_CHECKS, subject)


def check_judge(judge: str | type[Judge], **options: Any) -> Report:
    """Check a judge.

    Args:
        judge: Its name or its class.
        options: As `llmrouter_testing.subjects.named.JudgeSubject` takes them: ``spec``, ``exchanges``,
            ``seconds_per_answer``.

    Raises:
        ConformanceError: Checks failed; the message tells which, and why each matters.
    """
    subject = JudgeSubject(judge, **options)
    return run_all(f"Judge {subject.name}", JUDGE_CHECKS, subject)
