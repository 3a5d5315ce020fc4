"""Functions run in a bounded number of threads that nobody waits for at exit."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import CancelledError

import pytest

from llmrouter.threads import DaemonPool


def test_results_and_errors_come_back() -> None:
    pool = DaemonPool(2, "test-pool")
    futures = [pool.submit(int, text) for text in ("1", "x", "3")]
    assert (futures[0].result(5), futures[2].result(5)) == (1, 3)
    with pytest.raises(ValueError, match="'x'"):
        futures[1].result(5)
    pool.close()


def test_no_more_threads_than_told() -> None:
    pool = DaemonPool(3, "test-bounded")
    go_on = threading.Event()
    futures = [pool.submit(go_on.wait, 5) for _ in range(6)]
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("test-bounded") == 3
    go_on.set()
    assert all(future.result(5) for future in futures)
    pool.close()


def test_closing_cancels_what_has_not_begun_and_ends_the_threads() -> None:
    pool = DaemonPool(1, "test-closed")
    begun, go_on = threading.Event(), threading.Event()

    def work() -> bool:
        begun.set()
        return go_on.wait(60)

    running, waiting = pool.submit(work), pool.submit(work)
    assert begun.wait(60)
    pool.close()
    go_on.set()
    assert running.result(5)
    with pytest.raises(CancelledError):
        waiting.result(5)
    for thread in threading.enumerate():
        if thread.name == "test-closed":
            thread.join(300)
            assert not thread.is_alive()


def test_a_thread_that_is_stuck_does_not_keep_the_process() -> None:
    program = (
        "import threading, llmrouter.threads as threads\n"
        "threads.DaemonPool(1, 'stuck').submit(threading.Event().wait)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=300).returncode == 0
