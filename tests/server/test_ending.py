"""A process ends in time, whatever its threads do."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

HANGS = """
import threading, time
threading.Thread(target=time.sleep, args=[60], name="hung judge").start()
from llmrouter_server.ending import end_within, leave_threads
{}
"""


@pytest.mark.parametrize("how", ["leave_threads()", "end_within(0.3); time.sleep(60)"])
def test_threads_that_hang_do_not_hold_up_the_end(how: str) -> None:
    started = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", HANGS.format(how)], stderr=subprocess.PIPE, text=True)
    assert ended.returncode == 0
    assert "hung judge" in ended.stderr
    assert time.monotonic() - started < 20
