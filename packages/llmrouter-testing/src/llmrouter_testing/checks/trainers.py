"""Checks of trainers."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

from llmrouter.models.router import Router
from llmrouter.plugin_system.contract import validated
from llmrouter_testing.checks.common import checked_random_state
from llmrouter_testing.checks.routers import valid
from llmrouter_testing.comparing import same
from llmrouter_testing.report import Checks, fail, not_applicable
from llmrouter_testing.subjects.base import target_of
from llmrouter_testing.subjects.router import RouterSubject, make_router

trainer_checks: Checks[RouterSubject] = Checks()


def _trained(subject: RouterSubject) -> tuple[Router, Path]:
    """Train a new router; returns it, and where it was saved."""
    saved = Path(subject.make(trained=False).cfg["model_path"]["save_model_path"])
    if saved.is_dir():
        shutil.rmtree(saved)
    saved.unlink(missing_ok=True)
    router = subject.train()
    if not saved.exists():
        fail(f"nothing is at model_path.save_model_path, {saved.name}, after training")
    return router, saved


@trainer_checks
def trainer_contract(subject: RouterSubject) -> None:
    """The trainer is a BaseTrainer that is made with router, configuration and device, and has train().

    That is how 'llmrouter train' calls it.
    """
    from llmrouter.models.base_trainer import BaseTrainer

    if subject.trainer is None:
        not_applicable("it has no trainer")
    validated(subject.trainer, BaseTrainer, target_of(subject.trainer))


@trainer_checks
def trained_router_routes(subject: RouterSubject) -> None:
    """After training the router routes.

    Whoever trains in Python goes on with the router there is.
    """
    router, _ = _trained(subject)
    for query, result in zip(subject.queries, subject.route(router=router), strict=True):
        valid(subject, result, query)


@trainer_checks
def training_saves(subject: RouterSubject) -> None:
    """What training learned is saved to model_path.save_model_path; a router that loads it routes alike.

    Routing is another process than training, days later.
    """
    router, saved = _trained(subject)
    expected = subject.route(router=router)
    restored = make_router(subject.found, str(subject.config), str(saved))
    if not same([_name(result) for result in expected], [_name(r) for r in subject.route(router=restored)]):
        fail("a router that loads what training saved decides differently from the one that was trained")


def _name(result: Any) -> Any:
    return result.get("model_name", result.get("predicted_llm")) if isinstance(result, dict) else result


@trainer_checks
def training_is_repeatable(subject: RouterSubject) -> None:
    """Trained twice with one seed, on the same data, a router decides alike.

    Otherwise no result can be repeated.
    """
    (one, _), (other, _) = _trained(subject), _trained(subject)
    if not same(subject.route(router=one), subject.route(router=other)):
        fail("two routers trained alike give different results")


@trainer_checks
def training_changes_no_data(subject: RouterSubject) -> None:
    """Training changes neither the data nor the configuration nor the candidates.

    They belong to the caller, who may train another router on them.
    """
    if subject.trainer is None:
        not_applicable("it has no trainer")
    router = subject.make(trained=False)
    rows: Any = [dict(row) for row in router.routing_data_train or ()]
    router.routing_data_train = rows  # so that what becomes of the rows is seen
    given = {"routing_data_train": rows, "cfg": router.cfg, "llm_data": router.llm_data}
    before = copy.deepcopy(given)
    subject.trainer(router, router.cfg, "cpu").train()
    for name, value in given.items():
        if value != before[name]:
            fail(f"training changes {name}")


@trainer_checks
def training_random_state(subject: RouterSubject) -> None:
    """Training draws random numbers from a generator of its own, and leaves those of others alone."""
    checked_random_state(lambda: subject.route(router=_trained(subject)[0]))
