from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest

from llmrouter.errors import LLMRouterError
from llmrouter_server.budgets import Budgets, FileReservation, spending_path, spent_by_key
from llmrouter_server.errors import GatewayError
from llmrouter_server.key_file import Key, digest_of
from tests.server.serving import wait_until

KEY = Key(name="ann", sha256=digest_of("x"), budget_usd=1.0)


def reserve(budgets: Budgets, key: Key, usd: float) -> FileReservation:
    return asyncio.run(budgets.reserve(key, usd))


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


def test_nothing_is_lost_when_many_threads_charge(tmp_path: Path) -> None:
    budgets = Budgets(tmp_path / "keys.json")

    def charge() -> None:
        for _ in range(200):
            budgets.charge(KEY, 2**-20)

    threads = [threading.Thread(target=charge) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    budgets.close()
    assert spent_by_key(tmp_path / "keys.json") == {KEY.sha256: 1600 * 2**-20}


def test_a_file_that_is_none_of_ours_is_told(tmp_path: Path) -> None:
    spending_path(tmp_path / "keys.json").write_bytes(b"x" * 5000)
    with pytest.raises(LLMRouterError, match="cannot be kept in"):
        Budgets(tmp_path / "keys.json")
    with pytest.raises(LLMRouterError, match="cannot be read"):
        spent_by_key(tmp_path / "keys.json")


def test_a_database_that_is_locked_for_a_while_loses_nothing(tmp_path: Path) -> None:
    budgets = Budgets(tmp_path / "keys.json")
    locker = sqlite3.connect(spending_path(tmp_path / "keys.json"))
    locker.execute("BEGIN IMMEDIATE")
    budgets.charge(KEY, 0.5)
    assert budgets.spent(KEY) == 0.5
    locker.rollback()
    locker.close()
    budgets.close()
    assert spent_by_key(tmp_path / "keys.json") == {KEY.sha256: 0.5}
