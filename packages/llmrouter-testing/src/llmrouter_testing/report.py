"""What a check is, and what came of a run of several."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Literal, NoReturn, TypeVar

from llmrouter.errors import describe
from llmrouter.plugin_system.isolation import is_interrupt

# A check of any plugin is a check of a router.
SubjectT = TypeVar("SubjectT", contravariant=True)


class ConformanceError(AssertionError):
    """A plugin does not keep the contract; the message says what it did and why that matters."""


class NotApplicableError(Exception):
    """Raised by a check that says nothing about this plugin; the message says why."""


def fail(problem: str) -> NoReturn:
    """End a check that found a problem."""
    raise ConformanceError(problem)


def not_applicable(reason: str) -> NoReturn:
    """End a check that says nothing about this plugin."""
    raise NotApplicableError(reason)


@dataclass(frozen=True)
class Check(Generic[SubjectT]):
    """One check.

    Attributes:
        name: An identifier, such as ``thread_safe``.
        explanation: What is expected, and why.
        function: Looks at a subject; it may return what is worth reporting, such as a time.
    """

    name: str
    explanation: str
    function: Callable[[SubjectT], str | None]

    def run(self, subject: SubjectT) -> str | None:
        """Check a subject; returns what is worth reporting.

        Raises:
            ConformanceError: It does not pass.
            NotApplicableError: The check says nothing about it.
        """
        __tracebackhide__ = True
        try:
            return self.function(subject)
        except ConformanceError as error:
            raise ConformanceError(f"{error}\n\n{self.explanation}") from error.__cause__
        except NotApplicableError:
            raise
        except BaseException as error:  # a plugin may raise anything, SystemExit included
            if is_interrupt(error):
                raise
            raise ConformanceError(f"it raised {describe(error)}\n\n{self.explanation}") from error


class Checks(Generic[SubjectT]):
    """Checks of one kind of plugin, in the order of their definition; an instance is a decorator."""

    def __init__(self) -> None:
        self._checks: list[Check[SubjectT]] = []

    def __call__(self, function: Callable[[SubjectT], str | None]) -> Callable[[SubjectT], str | None]:
        """Add a function: its name is the check's, its docstring the explanation."""
        self._checks.append(Check(function.__name__, inspect.cleandoc(function.__doc__ or ""), function))
        return function

    def __iter__(self) -> Iterator[Check[SubjectT]]:
        return iter(self._checks)


@dataclass(frozen=True)
class Outcome:
    """What came of one check.

    Attributes:
        name: The check's.
        state: ``passed``, ``failed``, or ``skipped`` where it says nothing about this plugin.
        detail: The problem, the reason, or what is worth reporting; or empty.
    """

    name: str
    state: Literal["passed", "failed", "skipped"]
    detail: str = ""


@dataclass(frozen=True)
class Report:
    """What came of all checks."""

    subject: str
    outcomes: tuple[Outcome, ...]

    @property
    def failures(self) -> list[Outcome]:
        """The checks that failed."""
        return [outcome for outcome in self.outcomes if outcome.state == "failed"]

    def __str__(self) -> str:
        lines = [f"{self.subject}: {len(self.failures)} of {len(self.outcomes)} checks failed"]
        for outcome in self.outcomes:
            detail = outcome.detail.replace("\n", "\n    ")
            lines.append(f"  {outcome.state:8}{outcome.name}{': ' if detail else ''}{detail}")
        return "\n".join(lines)


def run_all(name: str, checks: Iterable[Check[SubjectT]], subject: SubjectT) -> Report:
    """Run all checks, whatever each of them gives.

    Raises:
        ConformanceError: One at least failed; the message tells of all of them.
    """
    outcomes = []
    for check in checks:
        try:
            outcomes.append(Outcome(check.name, "passed", check.run(subject) or ""))
        except NotApplicableError as reason:
            outcomes.append(Outcome(check.name, "skipped", str(reason)))
        except ConformanceError as problem:
            outcomes.append(Outcome(check.name, "failed", str(problem)))
    report = Report(name, tuple(outcomes))
    if report.failures:
        raise ConformanceError(str(report))
    return report
