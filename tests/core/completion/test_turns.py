from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from llmrouter.completion.services import Service
from llmrouter.completion.turns import Turns
from tests.timing import allowed


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 10))


def test_no_more_calls_are_under_way_than_allowed() -> None:
    async def test() -> None:
        turns = Turns.of(Service("acme", concurrency=2))
        await turns.take()
        await turns.take()
        third = asyncio.ensure_future(turns.take())
        await asyncio.sleep(0.01)
        assert not third.done()
        turns.give_back()
        await third

    run(test())


def test_calls_are_spread_over_a_minute() -> None:
    async def test() -> None:
        turns = Turns(per_minute=1200)
        begun = time.monotonic()
        for _ in range(4):
            async with turns:
                pass
        assert 0.14 < time.monotonic() - begun < allowed(0.5)
        assert 0.03 < turns.pause <= 0.05

    run(test())


def test_who_gives_up_waiting_leaves_the_turn_to_others() -> None:
    async def test() -> None:
        turns = Turns(concurrency=1, per_minute=1)
        async with turns:
            waiting = asyncio.ensure_future(turns.take())
            await asyncio.sleep(0.01)
            waiting.cancel()
        # Now the place is free, and the minute is waited for.
        for _ in range(3):
            pause = turns.pause
            assert 30 < pause <= 60
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(turns.take(), 0.02)
        assert turns.pause < pause

    run(test())


def test_without_bounds_there_is_nothing_to_wait_for() -> None:
    async def test() -> None:
        turns = Turns.of(None)
        for _ in range(100):
            await turns.take()
        assert turns.pause == 0

    run(test())
