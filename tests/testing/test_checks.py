"""Each check passes what has no fault, and fails for what has the fault that it is there for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llmrouter import hookspecs
from llmrouter_testing.conformance import JUDGE_CHECKS, ROUTER_CHECKS, TRAINER_CHECKS
from llmrouter_testing.report import Check, ConformanceError, NotApplicableError
from llmrouter_testing.subjects.named import JudgeSubject
from llmrouter_testing.subjects.router import RouterSubject
from tests.testing import broken

Install = Callable[..., Path]

DECLARING = {"light_plugin_import", "silent_import", "declared_metadata", "no_deprecated_hooks"}
PLUGIN = """
    from llmrouter import RouterSpec, TrainerSpec, hookimpl

    @hookimpl
    def llmrouter_register_routers():
        return [RouterSpec("lengths", "tests.testing.broken:LengthRouter", "Routes by length.")]
"""


def check_of(name: str, checks: Iterable[Check[Any]]) -> Check[Any]:
    (found,) = (check for check in checks if check.name == name)
    return found


def problem_of(name: str, checks: Iterable[Check[Any]], subject: Any) -> str:
    """Run one check, which has to fail; returns what it says."""
    with pytest.raises(ConformanceError) as caught:
        check_of(name, checks).run(subject)
    return str(caught.value)


FAULTY_ROUTERS: list[tuple[str, type, str]] = [
    ("class_contract", broken.NeedsMore, "cannot be called as __init__(self, yaml_path=None"),
    ("class_contract", broken.WithoutRouting, "WithoutRouting in tests.testing.broken does not implement"),
    ("result_contract", broken.Stranger, "'huge', which is not one of the candidates"),
    ("result_contract", broken.ScoresWithoutBounds, "no finite number"),
    ("result_contract", broken.OverConfident, "'confidence' is 1.5"),
    ("result_contract", broken.Unwritable, "cannot be written as JSON"),
    ("single_and_batch_agree", broken.BatchDiffers, "in batches of"),
    ("single_and_batch_agree", broken.BatchLosesOrder, "in batches of 3"),
    ("single_and_batch_agree", broken.BatchLosesDuplicates, "2 results for 3 queries"),
    ("single_and_batch_agree", broken.EmptyBatchFails, "it raised IndexError"),
    ("unknown_fields", broken.UnknownFieldsMatter, "with fields it does not know"),
    ("missing_fields", broken.MissingTextEndsProcess, "it raised SystemExit: no query"),
    ("empty_queries", broken.EmptyFails, "it raised IndexError"),
    ("huge_queries", broken.HugeFails, "it raised ValueError: the context is too short"),
    ("non_latin_queries", broken.NonLatinFails, "it raised UnicodeEncodeError"),
    ("deterministic_under_seed", broken.Unseeded, "two routers made alike"),
    ("deterministic_under_seed", broken.ByHash, "in another process"),
    ("own_random_state", broken.SeedsEverybody, "changes the random numbers that others use, of random"),
    ("own_random_state", broken.DrawsFromEverybodys, "depend on the random numbers"),
    ("thread_safe", broken.NotThreadSafe, "among threads"),
    ("changes_no_input", broken.WritesIntoQuery, "changes the query that it is given, its length"),
    ("changes_no_input", broken.EmptiesBatch, "changes the list"),
    ("state_round_trip", broken.RoundTripLoses, "gives different results"),
    ("state_round_trip", broken.SavesElsewhere, "wrote nothing where it was told to"),
    ("state_round_trip", broken.SavesOnly, "save_router and load_router belong together"),
    ("damaged_checkpoints", broken.AcceptsDamage, "accepts a checkpoint that is missing"),
    ("checkpoints_run_no_code", broken.Unpickles, "unpickles the file"),
    ("pickles_across_processes", broken.Unpicklable, "cannot be pickled"),
    ("pickles_across_processes", broken.PickleLoses, "different results"),
    ("time_per_query", broken.NotQuick, "more than 1 ms"),
]


@pytest.mark.processes
@pytest.mark.parametrize(
    ("check", "router", "told"), FAULTY_ROUTERS, ids=[f"{c}-{r.__name__}" for c, r, _ in FAULTY_ROUTERS]
)
def test_a_fault_of_a_router_is_found(check: str, router: type, told: str) -> None:
    problem = problem_of(check, ROUTER_CHECKS, RouterSubject(router))
    assert told in problem
    assert check_of(check, ROUTER_CHECKS).explanation in problem


@pytest.mark.processes
@pytest.mark.parametrize("check", [check for check in ROUTER_CHECKS if check.name not in DECLARING])
def test_a_router_without_fault_passes(check: Check[Any]) -> None:
    if check.name != "directory_imports":
        check.run(RouterSubject(broken.LengthRouter, trainer=broken.LengthTrainer))


def test_there_is_a_faulty_router_for_every_check() -> None:
    elsewhere = {*DECLARING, "directory_imports"}
    assert {check.name for check in ROUTER_CHECKS} == {name for name, *_ in FAULTY_ROUTERS} | elsewhere


def test_every_check_explains_itself() -> None:
    for check in (*ROUTER_CHECKS, *TRAINER_CHECKS, *JUDGE_CHECKS):
        assert len(check.explanation) > 40, check.name


def test_how_long_a_query_may_take_is_told() -> None:
    subject = RouterSubject(broken.Slow, seconds_per_query=0.001)
    assert "more than 1 ms" in problem_of("time_per_query", ROUTER_CHECKS, subject)
    told = check_of("time_per_query", ROUTER_CHECKS).run(RouterSubject(broken.Slow))
    assert "ms a query alone" in (told or "")


class TestDeclarations:
    def declared(self, install: Install, source: str = PLUGIN, **options: Any) -> RouterSubject:
        options = {"requires": ("llmrouter-core>=0.1,<0.2",), **options}
        install("llmrouter-lengths", {"fake_lengths": source}, {"lengths": "fake_lengths"}, **options)
        return RouterSubject("lengths")

    @pytest.mark.processes
    @pytest.mark.parametrize("check", sorted(DECLARING))
    def test_what_is_declared_well_passes(self, install: Install, check: str) -> None:
        check_of(check, ROUTER_CHECKS).run(self.declared(install))

    def test_a_class_is_found_where_it_is_declared(self, install: Install) -> None:
        self.declared(install)
        declared = RouterSubject(broken.LengthRouter).declared
        assert declared is not None
        assert declared.plugin.module == "fake_lengths"

    def test_what_nobody_declares_has_no_metadata_to_check(self) -> None:
        with pytest.raises(NotApplicableError, match="no installed distribution declares it"):
            check_of("declared_metadata", ROUTER_CHECKS).run(RouterSubject(broken.LengthRouter))

    @pytest.mark.processes
    def test_a_heavy_import(self, install: Install) -> None:
        subject = self.declared(install, f"    import asyncio\n{PLUGIN}")
        problem = problem_of("light_plugin_import", ROUTER_CHECKS, subject)
        assert "importing fake_lengths imports asyncio" in problem

    @pytest.mark.processes
    @pytest.mark.parametrize("stream", ["stdout", "stderr"])
    def test_output_on_import(self, install: Install, stream: str) -> None:
        subject = self.declared(install, f"    import sys\n    print('hello', file=sys.{stream})\n{PLUGIN}")
        assert "'hello'" in problem_of("silent_import", ROUTER_CHECKS, subject)

    @pytest.mark.parametrize(
        ("requires", "told"),
        [
            ((), "does not require llmrouter-core"),
            (("llmrouter-core",), "without a lower and an upper bound"),
            (("llmrouter-core>=0.1",), "without a lower and an upper bound"),
        ],
    )
    def test_versions_of_core(self, install: Install, requires: tuple[str, ...], told: str) -> None:
        subject = self.declared(install, requires=requires)
        assert told in problem_of("declared_metadata", ROUTER_CHECKS, subject)

    def test_a_hook_that_is_on_its_way_out(self, install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
        told = "llmrouter_register_routers goes with 0.3; use llmrouter_declare_routers"

        @hookspecs.hookspec(warn_on_impl=DeprecationWarning(told))
        def llmrouter_register_routers() -> Any:
            """Declare routers."""

        monkeypatch.setattr(hookspecs, "llmrouter_register_routers", llmrouter_register_routers)
        subject = self.declared(install)
        assert problem_of("no_deprecated_hooks", ROUTER_CHECKS, subject).startswith(f"{told}\n\n")
        check_of("declared_metadata", ROUTER_CHECKS).run(subject)

    def test_no_summary(self, install: Install) -> None:
        subject = self.declared(install, PLUGIN.replace(', "Routes by length."', ""))
        assert "has no summary" in problem_of("declared_metadata", ROUTER_CHECKS, subject)


class TestFolders:
    SOURCE = """
        import {first}
        from {imported} import LIMIT
        from llmrouter.models.router import Router

        class MyRouter(Router):
            def route_single(self, query_input):
                {call}
                return {{"model_name": list(self.llm_data)[len(query_input["query"]) > LIMIT]}}
    """

    def subject(self, write: Any, imported: str, first: str = "json", call: str = "pass") -> RouterSubject:
        write("custom_routers/shared_utils.py", "LIMIT = 60\n")
        write("custom_routers/my_router/helper.py", "LIMIT = 60\n")
        text = self.SOURCE.format(imported=imported, first=first, call=call)
        return RouterSubject(write("custom_routers/my_router/router.py", text).parent)

    @pytest.mark.processes
    @pytest.mark.parametrize(
        "imported",
        [".helper", "..shared_utils", "shared_utils", "my_router.helper", "custom_routers.shared_utils"],
    )
    def test_every_style_passes(self, write: Any, imported: str) -> None:
        subject = self.subject(write, imported)
        for name in ("directory_imports", "result_contract", "pickles_across_processes", "silent_import"):
            check_of(name, ROUTER_CHECKS).run(subject)

    @pytest.fixture(autouse=True)
    def own_path(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "path", list(sys.path))
            yield

    @pytest.mark.processes
    def test_a_path_changed_by_routing(self, write: Any) -> None:
        call = "__import__('sys').path.insert(0, '/made-up')"
        subject = self.subject(write, ".helper", call=call)
        problem = problem_of("directory_imports", ROUTER_CHECKS, subject)
        assert "routing adds /made-up to sys.path" in problem

    @pytest.mark.processes
    def test_a_path_changed_at_import(self, write: Any) -> None:
        subject = self.subject(write, ".helper", "sys; sys.path.insert(0, '/made-up')")
        problem = problem_of("directory_imports", ROUTER_CHECKS, subject)
        assert "importing it adds /made-up to sys.path" in problem

    @pytest.mark.processes
    def test_an_import_that_no_statement_makes(self, write: Any) -> None:
        call = "import importlib; importlib.import_module('shared_utils')"
        subject = self.subject(write, ".helper", call=call)
        problem = problem_of("directory_imports", ROUTER_CHECKS, subject)
        assert "No module named 'shared_utils'" in problem


FAULTY_TRAINERS: list[tuple[str, type, str]] = [
    ("trainer_contract", broken.NoTrainer, "not a subclass"),
    ("trained_router_routes", broken.Spoils, "it raised"),
    ("training_saves", broken.SavesNothing, "after training"),
    ("training_saves", broken.SavesTooEarly, "decides differently"),
    ("training_is_repeatable", broken.TrainsDifferently, "two routers trained alike"),
    ("training_changes_no_data", broken.ChangesRows, "training changes routing_data_train"),
    ("training_random_state", broken.TrainsWithEverybodys, "changes the random numbers"),
]


@pytest.mark.parametrize(
    ("check", "trainer", "told"), FAULTY_TRAINERS, ids=[f"{c}-{t.__name__}" for c, t, _ in FAULTY_TRAINERS]
)
def test_a_fault_of_a_trainer_is_found(check: str, trainer: Any, told: str) -> None:
    assert told in problem_of(check, TRAINER_CHECKS, RouterSubject(broken.LengthRouter, trainer=trainer))


@pytest.mark.parametrize("check", TRAINER_CHECKS)
def test_a_trainer_without_fault_passes(check: Check[Any]) -> None:
    check.run(RouterSubject(broken.LengthRouter, trainer=broken.LengthTrainer))


def test_there_is_a_faulty_trainer_for_every_check() -> None:
    assert {check.name for check in TRAINER_CHECKS} == {name for name, *_ in FAULTY_TRAINERS}


FAULTY_JUDGES: list[tuple[str, type, str]] = [
    ("class_contract", broken.ScoresNoRequest, "cannot be called as score(self, request, response)"),
    ("judgement_contract", broken.TooHigh, "7, which is not from 0 to 1"),
    ("judgement_contract", broken.NoJudgement, "float, not a Judgement"),
    ("missing_fields", broken.NeedsContent, "it raised AttributeError"),
    ("unusual_texts", broken.JudgesAtMostLong, "it raised MemoryError"),
    ("own_random_state", broken.JudgesByLot, "changes the random numbers"),
    ("thread_safe", broken.JudgeNotThreadSafe, "among threads"),
    ("changes_no_input", broken.WritesIntoAnswer, "changes the request or the answer"),
]


@pytest.mark.parametrize(
    ("check", "judge", "told"), FAULTY_JUDGES, ids=[f"{c}-{j.__name__}" for c, j, _ in FAULTY_JUDGES]
)
def test_a_fault_of_a_judge_is_found(check: str, judge: Any, told: str) -> None:
    assert told in problem_of(check, JUDGE_CHECKS, JudgeSubject(judge))


def test_an_interrupt_that_a_plugin_raises_is_a_fault_of_the_plugin() -> None:
    def interrupt(subject: object) -> str | None:
        raise KeyboardInterrupt

    with pytest.raises(ConformanceError, match="it raised KeyboardInterrupt"):
        Check("interrupt", "It should not.", interrupt).run(None)


def test_a_slow_judge_is_found() -> None:
    subject = JudgeSubject(broken.SlowJudge, seconds_per_answer=0.001)
    assert "more than 1 ms" in problem_of("time_per_answer", JUDGE_CHECKS, subject)


@pytest.mark.parametrize("check", [check for check in JUDGE_CHECKS if check.name not in DECLARING])
def test_a_judge_without_fault_passes(check: Check[Any]) -> None:
    check.run(JudgeSubject(broken.WordsJudge))


def test_there_is_a_faulty_judge_for_every_check() -> None:
    found = {name for name, *_ in FAULTY_JUDGES} | {"time_per_answer"}
    assert {check.name for check in JUDGE_CHECKS} == found | DECLARING
