"""The suites, the functions that run all checks at once, and what pytest is told."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmrouter_testing import ConformanceError, check_encoder, check_judge, check_router, check_trainer
from llmrouter_testing.conformance import ROUTER_CHECKS
from tests.testing import broken


def run_pytest(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on the current folder, as an author would, without this project's settings."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTEST_ADDOPTS": ""}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", *arguments],
        capture_output=True,
        text=True,
        env=environ,
        timeout=300,
        check=False,
    )


class TestOneLine:
    def test_each_check_is_a_test_of_its_own(self, write: Callable[..., Path]) -> None:
        write(
            "test_mine.py",
            """
            from llmrouter_testing import router_suite

            TestMine = router_suite("randomrouter")
            """,
        )
        done = run_pytest("-v")
        assert done.returncode == 0, done.stdout
        for check in ROUTER_CHECKS:
            assert f"test_mine.py::TestMine::test_{check.name} " in done.stdout
        assert "Router randomrouter: " in done.stdout
        assert " a query alone, " in done.stdout

    def test_a_failure_explains_itself_without_our_frames(self, write: Callable[..., Path]) -> None:
        write(
            "test_mine.py",
            """
            from llmrouter_testing import router_suite
            from tests.testing.broken import Stranger

            TestMine = router_suite(Stranger)
            """,
        )
        done = run_pytest("-k", "result_contract")
        assert done.returncode == 1
        assert "the router named 'huge', which is not one of the candidates" in done.stdout
        assert "A result is a dict that names one of the candidates" in done.stdout
        assert "report.py" not in done.stdout

    def test_a_router_that_is_not_there_fails(self, write: Callable[..., Path]) -> None:
        write(
            "test_mine.py",
            "from llmrouter_testing import router_suite\nTestMine = router_suite('randomruter')\n",
        )
        done = run_pytest("-k", "result_contract")
        assert done.returncode == 1
        assert "Unknown router: randomruter; did you mean randomrouter?" in done.stdout


class TestAtOnce:
    @pytest.mark.processes
    def test_a_report_tells_of_every_check(self) -> None:
        report = check_router("randomrouter")
        assert [outcome.name for outcome in report.outcomes] == [check.name for check in ROUTER_CHECKS]
        states = {outcome.name: outcome.state for outcome in report.outcomes}
        assert states["result_contract"] == "passed"
        assert states["state_round_trip"] == states["directory_imports"] == "skipped"
        assert "time_per_query: " in str(report)

    @pytest.mark.processes
    def test_all_failures_are_told(self) -> None:
        with pytest.raises(ConformanceError) as caught:
            check_router(broken.Stranger)
        assert str(caught.value).startswith("Router Stranger: ")
        assert "failed  result_contract: " in str(caught.value)
        assert "failed  huge_queries: " in str(caught.value)

    def test_trainers(self) -> None:
        assert check_trainer(broken.LengthRouter, trainer=broken.LengthTrainer).failures == []
        with pytest.raises(ConformanceError, match="training_saves"):
            check_trainer(broken.LengthRouter, trainer=broken.SavesTooEarly)

    def test_a_router_without_trainer_has_none_to_check(self) -> None:
        report = check_trainer(broken.LengthRouter)
        assert {outcome.state for outcome in report.outcomes} == {"skipped"}

    @pytest.mark.processes
    def test_encoders(self) -> None:
        assert check_encoder("hashing").failures == []
        with pytest.raises(ConformanceError, match="no encoder is named 'hashes'; there are "):
            check_encoder("hashes")

    @pytest.mark.processes
    def test_judges(self) -> None:
        assert check_judge(broken.WordsJudge).failures == []
        with pytest.raises(ConformanceError, match="judgement_contract"):
            check_judge(broken.TooHigh)


class TestOptions:
    @pytest.mark.processes
    def test_hyperparameters_candidates_and_queries(self) -> None:
        report = check_router(
            "randomrouter",
            candidates={"a": {}, "b": {}, "c": {}},
            hparam={"weights": {"a": 1, "c": 1}},
            queries=["one", {"query": "two", "id": 2}],
        )
        assert report.failures == []

    @pytest.mark.processes
    def test_without_a_seed_randomrouter_is_not_deterministic(self) -> None:
        with pytest.raises(ConformanceError, match="failed  deterministic_under_seed"):
            check_router("randomrouter", seed=None)

    @pytest.mark.processes
    def test_a_checkpoint_of_ones_own(self, tmp_path: Path) -> None:
        (tmp_path / "mine.json").write_text('{"max_length": 7}')
        assert check_router(broken.LengthRouter, checkpoint=tmp_path / "mine.json").failures == []
        with pytest.raises(ConformanceError, match="FileNotFoundError"):
            check_router(broken.LengthRouter, checkpoint=tmp_path / "nothing.json")


def test_names_are_imported_when_they_are_asked_for() -> None:
    import llmrouter_testing

    everything: list[Any] = [getattr(llmrouter_testing, name) for name in llmrouter_testing.__all__]
    assert all(callable(one) for one in everything)
    with pytest.raises(AttributeError, match="has no attribute 'check_routers'"):
        _ = llmrouter_testing.check_routers
