"""One organisation's slow operations leave threads to the others."""

from __future__ import annotations

import asyncio
import threading

import pytest

pytest.importorskip("llmrouter_lifecycle")

from llmrouter_server.lifecycle.threads import Threads

GREEDY, OTHER = ("ann", "greedy/"), ("bob", "other/")


def test_slow_operations_of_one_organisation_leave_threads_to_others() -> None:
    go = threading.Event()

    async def main() -> None:
        threads = Threads()
        slow = [asyncio.create_task(threads.run("operations", go.wait, 10, owners=GREEDY)) for _ in range(30)]
        await asyncio.sleep(0.05)
        # Even those whose clients gave up hold their threads until they end.
        for task in slow[:10]:
            task.cancel()
        await asyncio.sleep(0.05)
        for number in range(20):
            doing = threads.run("operations", lambda number: number, number, owners=OTHER)
            assert await asyncio.wait_for(doing, 2) == number
        go.set()
        done = await asyncio.wait_for(asyncio.gather(*slow, return_exceptions=True), 5)
        assert done[10:] == [True] * 20
        threads.close()

    asyncio.run(main())


def test_all_threads_are_used_where_nobody_shares_and_all_is_given_back() -> None:
    async def main() -> None:
        threads = Threads()
        together = threading.Barrier(8)
        for _ in range(3):
            waiting = [threads.run("operations", together.wait, 5) for _ in range(8)]
            await asyncio.wait_for(asyncio.gather(*waiting), 5)
        with pytest.raises(ZeroDivisionError):
            await threads.run("large", lambda: 1 // 0, owners=OTHER)
        for owners in (GREEDY, OTHER):
            assert await asyncio.wait_for(threads.run("large", int, owners=owners), 2) == 0
        threads.close()

    asyncio.run(main())
