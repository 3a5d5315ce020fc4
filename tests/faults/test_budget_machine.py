"""What is spent never exceeds the budget, whatever requests, upstreams and kills do, in whichever order."""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from llmrouter.completion.bounds import Wanted
from llmrouter_lifecycle.errors import BudgetExceededError
from llmrouter_lifecycle.store import accounts
from llmrouter_lifecycle.store.accounts import Account, Reservation
from llmrouter_lifecycle.store.database import Database
from llmrouter_server.spending import Spending

# Trying the states takes seconds: not for `make quick`.
pytestmark = pytest.mark.slow

BUDGET = 1.0
# Sums of floats are off by so much.
CLOSE = 1e-9
ROOT = Path(__file__).parents[2]
amounts = st.floats(0, 2) | st.sampled_from([0.0, 0.25, 0.5, 1.0, 1e-12, 1e12])


class Worker(Protocol):
    """A process that sets aside and charges, in a store of budgets."""

    def reserve(self, number: int, wanted: Wanted) -> float | None:
        """Set aside; returns how much, or None where there is too little."""

    def send(self, number: int) -> None:
        """Note that a call is sent."""

    def settle(self, number: int, usd: float | None) -> None:
        """Charge a call."""

    def standing(self) -> tuple[float, float]:
        """Return what was spent, and what is set aside."""

    def settle_the_dead(self) -> None:
        """Settle the calls of workers that were killed."""

    def die(self) -> None:
        """Let go of what the system releases when a process is killed."""


class FileWorker:
    """A worker whose budgets are kept in a file."""

    def __init__(self, where: Path) -> None:
        self._spending = Spending(where)

    def reserve(self, number: int, wanted: Wanted) -> float | None:
        """As `Worker`."""
        with self._spending.transaction():
            return self._spending.reserve(number, "key", BUDGET, wanted)

    def send(self, number: int) -> None:
        """As `Worker`."""
        with self._spending.transaction():
            self._spending.sent(number)

    def settle(self, number: int, usd: float | None) -> None:
        """As `Worker`."""
        with self._spending.transaction():
            self._spending.settle(number, "key", BUDGET, usd)

    def standing(self) -> tuple[float, float]:
        """As `Worker`."""
        spent = self._spending.spent().get("key", 0.0)
        return spent, BUDGET - self._spending.left("key", BUDGET) - spent

    def settle_the_dead(self) -> None:
        """As `Worker`."""
        with self._spending.transaction():
            self._spending.settle_the_dead()

    def die(self) -> None:
        """As `Worker`."""
        self._spending.close()


class LifecycleWorker:
    """A worker whose budgets are kept in a lifecycle's database."""

    def __init__(self, where: Path | str, name: str = "key") -> None:
        self.account = Account("org", name, BUDGET)
        self._database = Database(where)
        self._held: dict[int, Reservation] = {}

    def reserve(self, number: int, wanted: Wanted) -> float | None:
        """As `Worker`."""
        try:
            held = accounts.reserve(self._database, self.account, wanted)
        except BudgetExceededError:
            return None
        assert held is not None
        self._held[number] = held
        return held.usd

    def send(self, number: int) -> None:
        """As `Worker`."""
        accounts.send(self._database, self._held[number])

    def settle(self, number: int, usd: float | None) -> None:
        """As `Worker`."""
        accounts.settle(self._database, self.account, self._held[number], usd)

    def standing(self) -> tuple[float, float]:
        """As `Worker`."""
        with self._database.read() as connection:
            return accounts.standing(connection, self.account)

    def settle_the_dead(self) -> None:
        """As `Worker`."""
        accounts.settle_the_dead(self._database)

    def die(self) -> None:
        """As `Worker`."""
        self._database.close()


class Machine(RuleBasedStateMachine):
    """Two workers that share a budget, each of which may be killed and started again."""

    calls = Bundle("calls")

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._workers: list[Worker] = []
        self._count = 0
        # What is to be charged at the least, and what is set aside, as the rules have it.
        self._charged = 0.0
        self._open: dict[tuple[Worker, int], tuple[float, bool]] = {}

    def worker(self) -> Worker:
        """Start a worker."""
        return FileWorker(Path(self._folder.name) / "spending.sqlite3")

    @initialize()
    def start(self) -> None:
        self._workers = [self.worker(), self.worker()]

    @rule(target=calls, which=st.integers(0, 1), usd=amounts, least=st.floats(0, 1), given=st.booleans())
    def reserve(self, which: int, usd: float, least: float, given: bool) -> object:
        worker, number = self._workers[which], self._count
        self._count += 1
        wanted = Wanted(usd, usd, usd) if given else Wanted(usd, usd * least, usd * least)
        granted = worker.reserve(number, wanted)
        left = BUDGET - self._charged - sum(held for held, _ in self._open.values())
        if granted is None:
            # It can be refused only for want of money: what two calls can pay, both get.
            assert wanted.least > left - CLOSE or left <= CLOSE
            return multiple()
        assert wanted.least - CLOSE <= granted <= min(usd, left) + CLOSE
        self._open[worker, number] = granted, False
        return worker, number

    @rule(call=calls)
    def send(self, call: tuple[Worker, int]) -> None:
        if call in self._open:
            call[0].send(call[1])
            self._open[call] = self._open[call][0], True

    @rule(call=consumes(calls), usd=amounts | st.none())
    def settle(self, call: tuple[Worker, int], usd: float | None) -> None:
        if call not in self._open:
            return
        held, _ = self._open.pop(call)
        call[0].settle(call[1], usd)
        # Twice counts once.
        call[0].settle(call[1], 0.5)
        left = BUDGET - self._charged - sum(held for held, _ in self._open.values())
        self._charged += held if usd is None else max(0.0, min(usd, max(held, left)))

    @rule(call=calls)
    def leave(self, call: tuple[Worker, int]) -> None:
        self.settle(call, None)

    @rule(which=st.integers(0, 1))
    def kill(self, which: int) -> None:
        dead = self._workers[which]
        dead.die()
        for call in [call for call in self._open if call[0] is dead]:
            held, sent = self._open.pop(call)
            self._charged += held if sent else 0.0
        self._workers[which] = self.worker()
        self._workers[which].settle_the_dead()

    @invariant()
    def holds(self) -> None:
        if not self._workers:
            return
        spent, held = self._workers[0].standing()
        assert 0 <= spent <= BUDGET + CLOSE
        assert held >= -CLOSE
        assert spent + held <= BUDGET + CLOSE
        assert math.isclose(spent, self._charged, abs_tol=CLOSE)
        assert math.isclose(held, sum(held for held, _ in self._open.values()), abs_tol=CLOSE)

    def teardown(self) -> None:
        for worker in self._workers:
            worker.die()
        self._folder.cleanup()


class SqliteMachine(Machine):
    """The same in an SQLite database of a lifecycle."""

    def worker(self) -> Worker:
        """Start a worker."""
        return LifecycleWorker(Path(self._folder.name) / "lifecycle.db")


class PostgresqlMachine(Machine):
    """The same in PostgreSQL, each run with a key of its own."""

    where = ""

    def __init__(self) -> None:
        super().__init__()
        self._name = uuid.uuid4().hex

    def worker(self) -> Worker:
        """Start a worker."""
        return LifecycleWorker(self.where, self._name)


QUICK = settings(
    max_examples=40,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
THOROUGH = settings(QUICK, max_examples=300, stateful_step_count=60)


def run(machine: type[Machine], how: Any) -> None:
    """Run a machine."""
    run_state_machine_as_test(machine, settings=how)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("machine", [Machine, SqliteMachine])
def test_no_budget_is_overrun_and_nothing_is_lost(machine: type[Machine]) -> None:
    run(machine, QUICK)


def test_no_budget_is_overrun_on_postgresql(postgresql_server: str) -> None:
    PostgresqlMachine.where = postgresql_server
    run(PostgresqlMachine, settings(QUICK, max_examples=8))


@pytest.mark.full
@pytest.mark.parametrize("machine", [Machine, SqliteMachine])
def test_budgets_thoroughly(machine: type[Machine]) -> None:
    run(machine, THOROUGH)


DYING = """
import os, sys
from tests.faults.test_budget_machine import *
worker = LifecycleWorker(sys.argv[1])
assert worker.reserve(1, Wanted(0.25, 0.25, 0.25)) == 0.25
assert worker.reserve(2, Wanted(0.5, 0.5, 0.5)) == 0.5
worker.send(1)
os.kill(os.getpid(), 9)
"""


def test_several_processes_share_one_budget_and_one_that_dies_is_settled(where: str) -> None:
    beside = LifecycleWorker(where)
    assert beside.reserve(1, Wanted(0.125, 0.125, 0.125)) == 0.125
    died = subprocess.run([sys.executable, "-c", DYING, where], cwd=ROOT, check=False)
    assert died.returncode == -9
    # It was sent nothing beyond its first call, for which it is charged; the living one keeps its own.
    assert beside.reserve(2, Wanted(0.625, 0.625, 0.625)) == 0.625
    assert beside.standing() == (0.25, 0.75)
    beside.die()


def test_threads_of_several_workers_overrun_nothing_together(where: str) -> None:
    workers = [LifecycleWorker(where) for _ in range(2)]
    wanted = Wanted(2**-5, 2**-5, 2**-5)

    def calls(number: int) -> int:
        worker, made = workers[number % 2], 0
        for call in range(8):
            if worker.reserve(8 * number + call, wanted) is not None:
                worker.settle(8 * number + call, 2**-6 if call % 2 else 2**-4)
                made += 1
        return made

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(calls, range(4))) > 10
    spent, held = workers[0].standing()
    assert 0.3 < spent <= BUDGET
    assert held == 0
    for worker in workers:
        worker.die()
