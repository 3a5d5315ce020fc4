"""Asynchronous work runs beside; whoever waits for it is never left waiting."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import CancelledError
from typing import Any

import pytest

from llmrouter.completion.loop import BackgroundLoop


async def nothing() -> None:
    return


@pytest.fixture
def loop() -> Iterator[BackgroundLoop]:
    made = BackgroundLoop()
    yield made
    made.close(nothing)


def test_a_result_and_an_error_come_back(loop: BackgroundLoop) -> None:
    async def double(number: int) -> int:
        await asyncio.sleep(0)
        return 2 * number

    async def fail() -> None:
        raise KeyError("it")

    assert loop.call(double(2)) == 4
    with pytest.raises(KeyError, match="it"):
        loop.call(fail())


def test_items_come_one_by_one_and_then_the_error(loop: BackgroundLoop) -> None:
    async def items() -> AsyncIterator[int]:
        yield 1
        yield 2
        raise KeyError("it")

    found = loop.iterate(items())
    assert [next(found), next(found)] == [1, 2]
    with pytest.raises(KeyError, match="it"):
        next(found)


def test_an_iteration_that_is_given_up_is_cancelled(loop: BackgroundLoop) -> None:
    ended = threading.Event()

    async def items() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.sleep(60)
        finally:
            ended.set()

    found = loop.iterate(items())
    assert next(found) == 1
    found.close()  # type: ignore[attr-defined]
    assert ended.wait(5)


def test_closing_cancels_what_runs_runs_the_last_and_ends_the_thread() -> None:
    loop = BackgroundLoop()
    last = []
    started = threading.Event()

    async def wait() -> None:
        started.set()
        await asyncio.sleep(60)

    async def end() -> None:
        last.append(len(asyncio.all_tasks()))

    future = loop.submit(wait())
    assert started.wait(5)
    loop.close(end)
    loop.close(end)
    assert last == [1]
    with pytest.raises(CancelledError):
        future.result(5)
    assert "llmrouter-completion" not in [thread.name for thread in threading.enumerate()]


def test_what_comes_after_closing_is_refused_not_left_waiting() -> None:
    loop = BackgroundLoop()
    loop.close(nothing)
    with pytest.raises(CancelledError):
        loop.call(nothing())


def test_closing_while_others_submit_leaves_nobody_waiting() -> None:
    loop = BackgroundLoop()
    ends: list[Any] = []

    def ask() -> None:
        try:
            while True:
                loop.submit(asyncio.sleep(0.0001)).result(5)
        except BaseException as error:
            ends.append(error)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    loop.close(nothing)
    for thread in threads:
        thread.join(5)
    assert [type(error) for error in ends] == [CancelledError] * 8
