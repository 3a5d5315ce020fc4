"""Requests that bear a key, and are done once."""

from __future__ import annotations

import time
from typing import Any

import pytest
from sqlalchemy import update

from llmrouter_lifecycle import ConflictError, InvalidParameterError
from llmrouter_lifecycle.home import Caller
from llmrouter_lifecycle.repeats import FORGOTTEN, Claim, Reply, claim
from llmrouter_lifecycle.store.database import Database
from llmrouter_lifecycle.store.schema import replies

REQUEST: tuple[Any, ...] = (Caller(), "/chat", {}, b"{}", "k")


def test_the_second_of_two_is_told_to_wait_and_then_gets_the_first_answer(where: str) -> None:
    database = Database(where)
    first = claim(database, *REQUEST)
    assert isinstance(first, Claim)
    with pytest.raises(ConflictError):
        claim(database, *REQUEST)
    first.keep(Reply(200, {"x": 1}))
    assert claim(database, *REQUEST) == Reply(200, {"x": 1})
    with pytest.raises(InvalidParameterError):
        claim(database, Caller(), "/chat", {}, b"[]", "k")
    database.close()


def test_what_failed_or_was_never_answered_is_done_again(where: str) -> None:
    database = Database(where)
    first = claim(database, *REQUEST)
    assert isinstance(first, Claim)
    first.release()
    assert isinstance(claim(database, *REQUEST), Claim)
    # Its process was killed long ago.
    with database.write() as connection:
        connection.execute(update(replies).values(created=time.time() - FORGOTTEN - 1))
    assert isinstance(claim(database, *REQUEST), Claim)
    database.close()


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_a_key_has_a_length(tmp_path: object, key: str) -> None:
    database = Database(f"{tmp_path}/x.sqlite")
    with pytest.raises(InvalidParameterError, match="Idempotency-Key"):
        claim(database, Caller(), "/chat", {}, b"{}", key)
    database.close()
