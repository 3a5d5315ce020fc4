from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from llmrouter.errors import PluginError
from llmrouter.plugin_system.exits import exits_raise
from llmrouter.plugin_system.surroundings import importing

EXIT = os._exit


def test_an_import_that_exits_is_an_error_that_says_where() -> None:
    code = compile("import os\nos._exit(3)", "theirs.py", "exec")
    told = r"theirs failed: SystemExit: os._exit\(3\) \(theirs.py, line 2\)"
    with pytest.raises(PluginError, match=told), importing("theirs"):
        exec(code, {})
    assert os._exit is EXIT


def test_imports_within_imports_and_beside_each_other_leave_it_as_it_was() -> None:
    inside, leave = threading.Event(), threading.Event()

    def beside() -> None:
        with exits_raise():
            inside.set()
            leave.wait(60)

    thread = threading.Thread(target=beside)
    with exits_raise():
        thread.start()
        assert inside.wait(60)
        with exits_raise():
            pass
        with pytest.raises(SystemExit):
            os._exit(1)
    leave.set()
    thread.join()
    assert os._exit is EXIT


# Each ends a process that imports something, as it may.
MAY_EXIT = {
    "another thread": "threading.Thread(target=lambda: os._exit(5)).start(); time.sleep(60)",
    "a fork": "child = os.fork() or os._exit(5); sys.exit(os.WEXITSTATUS(os.waitpid(child, 0)[1]))",
    "multiprocessing": "context = multiprocessing.get_context('fork'); "
    "process = context.Process(target=sys.exit, args=(5,)); process.start(); process.join(); "
    "sys.exit(process.exitcode)",
}


@pytest.mark.parametrize("what", MAY_EXIT)
def test_others_may_exit(what: str) -> None:
    program = (
        "import multiprocessing, os, sys, threading, time\n"
        "from llmrouter.plugin_system.exits import exits_raise\n"
        f"with exits_raise():\n    {MAY_EXIT[what]}\n"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 5
