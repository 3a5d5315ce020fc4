from __future__ import annotations

import asyncio
import time
from functools import partial

import pytest

from llmrouter_server.timing import Alarm, TimeLimitError, within
from tests.timing import allowed


@pytest.mark.parametrize("turn", [1, 2])
def test_what_takes_too_long_is_ended(turn: int) -> None:
    async def main() -> None:
        started = time.monotonic()
        with pytest.raises(TimeLimitError), within(0.1):
            await asyncio.sleep(10)
        assert 0.09 <= time.monotonic() - started < allowed(1)
        # The task goes on, and may be limited again.
        with pytest.raises(TimeLimitError), within(0.01):
            await asyncio.sleep(10)

    asyncio.run(main())


def test_what_comes_in_time_is_left_alone() -> None:
    async def main() -> int:
        with within(0.1):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        return 1

    assert asyncio.run(main()) == 1


def test_being_cancelled_by_another_is_no_time_limit() -> None:
    async def waiting() -> None:
        with within(5):
            await asyncio.sleep(10)

    async def main() -> None:
        task = asyncio.create_task(waiting())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_limits_may_stand_within_each_other() -> None:
    async def main() -> None:
        with pytest.raises(TimeLimitError), within(5), within(0.01):
            await asyncio.sleep(10)
        with within(5), pytest.raises(TimeLimitError), within(0.01):
            await asyncio.sleep(10)

    asyncio.run(main())


def test_alarms_are_called_once_and_not_when_cleared() -> None:
    called: list[str] = []

    async def main() -> None:
        now = asyncio.get_running_loop().time()
        alarms = {name: Alarm(now + 0.01, partial(called.append, name)) for name in "abc"}
        for alarm in alarms.values():
            alarm.set()
        alarms["b"].clear()
        await asyncio.sleep(0.2)
        Alarm(now, lambda: called.append("later")).set()
        await asyncio.sleep(0.1)

    asyncio.run(main())
    assert sorted(called) == ["a", "c", "later"]
