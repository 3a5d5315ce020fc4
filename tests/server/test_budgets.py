from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from llmrouter.completion.bounds import Wanted
from llmrouter.errors import LLMRouterError
from llmrouter_server.budgets import Budgets, FileReservation, spending_path, spent_by_key
from llmrouter_server.errors import GatewayError
from llmrouter_server.key_file import Key, digest_of
from tests.server.serving import wait_until

ROOT = Path(__file__).parents[2]
KEY = Key(name="ann", sha256=digest_of("x"), budget_usd=1.0)


def reserve(budgets: Budgets, key: Key, usd: float) -> FileReservation:
    return asyncio.run(budgets.reserve(key, Wanted(usd, usd, usd)))


def test_what_is_spent_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    budgets = Budgets(file)
    reserve(budgets, KEY, 0.5).settle(0.25)
    assert budgets.spent(KEY) == 0.25
    budgets.close()
    again = Budgets(file)
    assert again.spent(KEY) == 0.25
    again.close()
    assert spent_by_key(file) == {KEY.sha256: 0.25}


def test_a_reservation_counts_until_it_is_settled_and_only_once(tmp_path: Path) -> None:
    budgets = Budgets(tmp_path / "keys.json")
    held = reserve(budgets, KEY, 0.75)
    with pytest.raises(GatewayError) as caught:
        reserve(budgets, KEY, 0.5)
    assert caught.value.status == 429
    held.settle(0.25)
    held.settle(0.25)
    reserve(budgets, KEY, 0.5).settle(0)
    assert budgets.spent(KEY) == 0.25
    budgets.close()


def test_a_budget_of_nothing_allows_nothing(tmp_path: Path) -> None:
    budgets = Budgets(tmp_path / "keys.json")
    with pytest.raises(GatewayError):
        reserve(budgets, Key(name="poor", sha256=digest_of("y"), budget_usd=0.0), 0.0)
    budgets.close()


def test_several_processes_share_what_is_spent(tmp_path: Path) -> None:
    one, other = Budgets(tmp_path / "keys.json"), Budgets(tmp_path / "keys.json")
    for budgets in (one, other):
        reserve(budgets, KEY, 0.25).settle(0.25)
    wait_until(lambda: one.spent(KEY) == other.spent(KEY) == 0.5)
    one.close()
    other.close()


def test_nothing_is_lost_and_no_budget_is_overrun_when_many_reserve(tmp_path: Path) -> None:
    workers = [Budgets(tmp_path / "keys.json") for _ in range(3)]

    async def call(budgets: Budgets) -> int:
        try:
            held = await budgets.reserve(KEY, Wanted(2**-7, 2**-7, 2**-7))
        except GatewayError:
            return 0
        await held.sent()
        held.settle(2**-8)
        return 1

    async def all_at_once() -> list[int]:
        return await asyncio.gather(*(call(budgets) for budgets in workers for _ in range(100)))

    made = sum(asyncio.run(all_at_once()))
    assert made >= 128
    assert workers[0].spent(KEY) <= 1
    for budgets in workers:
        budgets.close()
    assert spent_by_key(tmp_path / "keys.json") == {KEY.sha256: made * 2**-8}


def test_a_file_that_is_none_of_ours_is_told(tmp_path: Path) -> None:
    spending_path(tmp_path / "keys.json").write_bytes(b"x" * 5000)
    with pytest.raises(LLMRouterError, match="cannot be kept in"):
        Budgets(tmp_path / "keys.json")
    with pytest.raises(LLMRouterError, match="cannot be read"):
        spent_by_key(tmp_path / "keys.json")


def test_a_database_that_is_locked_for_a_while_loses_nothing(tmp_path: Path) -> None:
    budgets = Budgets(tmp_path / "keys.json")
    held = reserve(budgets, KEY, 0.5)
    locker = sqlite3.connect(spending_path(tmp_path / "keys.json"))
    locker.execute("BEGIN IMMEDIATE")
    held.settle(0.5)
    locker.rollback()
    locker.close()
    budgets.close()
    assert spent_by_key(tmp_path / "keys.json") == {KEY.sha256: 0.5}


def test_a_file_that_cannot_be_written_is_a_503_and_charges_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmrouter_server.spending._LOCKED_SECONDS", 0.05)
    budgets = Budgets(tmp_path / "keys.json")
    held = reserve(budgets, KEY, 0.5)
    locker = sqlite3.connect(spending_path(tmp_path / "keys.json"))
    locker.execute("BEGIN IMMEDIATE")
    held.settle(0.5)
    with pytest.raises(GatewayError) as caught:
        reserve(budgets, KEY, 0.25)
    assert (caught.value.status, caught.value.headers["retry-after"]) == (503, "2")
    locker.rollback()
    locker.close()
    assert reserve(budgets, KEY, 0.5).usd == 0.5
    assert budgets.spent(KEY) == 0.5
    budgets.close()


def test_a_file_that_was_deleted_or_replaced_under_a_running_gateway_is_noticed(tmp_path: Path) -> None:
    budgets = Budgets(tmp_path / "keys.json")
    spending_path(tmp_path / "keys.json").unlink()
    with pytest.raises(GatewayError) as caught:
        reserve(budgets, KEY, 0.25)
    assert caught.value.status == 503
    budgets.close()


def test_a_file_of_the_first_release_is_brought_up_to_date(tmp_path: Path) -> None:
    database = sqlite3.connect(spending_path(tmp_path / "keys.json"))
    database.execute("CREATE TABLE spent (key TEXT PRIMARY KEY, usd REAL NOT NULL) WITHOUT ROWID")
    database.execute("INSERT INTO spent VALUES (?, 0.75)", [KEY.sha256])
    database.commit()
    database.close()
    budgets = Budgets(tmp_path / "keys.json")
    with pytest.raises(GatewayError):
        reserve(budgets, KEY, 0.5)
    reserve(budgets, KEY, 0.25).settle(0.125)
    assert budgets.spent(KEY) == 0.875
    budgets.close()


def test_what_is_unknown_costs_what_was_set_aside_and_what_costs_more_as_much_as_is_left(
    tmp_path: Path,
) -> None:
    budgets = Budgets(tmp_path / "keys.json")
    reserve(budgets, KEY, 0.25).settle(None)
    assert budgets.spent(KEY) == 0.25
    other = reserve(budgets, KEY, 0.25)
    reserve(budgets, KEY, 0.125).settle(0.25)
    assert budgets.spent(KEY) == 0.5
    reserve(budgets, KEY, 0.125).settle(100)
    assert budgets.spent(KEY) == 0.75
    other.settle(0.0)
    budgets.close()


def test_the_calls_of_a_worker_that_died_are_charged_if_they_were_sent_and_else_freed(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    script = (
        "import asyncio, os, sys\n"
        "from tests.server.test_budgets import *\n"
        "async def main():\n"
        "    budgets = Budgets(sys.argv[1])\n"
        "    sent = await budgets.reserve(KEY, Wanted(0.25, 0.25, 0.25))\n"
        "    await budgets.reserve(KEY, Wanted(0.5, 0.5, 0.5))\n"
        "    await sent.sent()\n"
        "    os.kill(os.getpid(), 9)\n"
        "asyncio.run(main())\n"
    )
    beside = Budgets(file)
    died = subprocess.run([sys.executable, "-c", script, str(file)], cwd=ROOT, check=False)
    assert died.returncode == -9
    # The one beside notices as soon as it matters, and the next one when it starts.
    assert reserve(beside, KEY, 0.75).usd == 0.75
    assert beside.spent(KEY) == 0.25
    beside.close()
