"""Commands that show what is installed work whatever a plugin's import does to their process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# What ends the process where it is imported, and what is said about it.
KILLERS = {
    "exit": ("import os\nos._exit(0)", "SystemExit: os._exit(0) (fake_bad.py, line 2)"),
    "status": ("import ctypes\nctypes.CDLL(None)._exit(3)", "importing it ended the process with status 3"),
    "segfault": ("import ctypes\nctypes.string_at(0)", "importing it ended the process by SIGSEGV"),
    "illegal": (
        "import os, signal\nos.kill(os.getpid(), signal.SIGILL)",
        "importing it ended the process by SIGILL",
    ),
    "abort": ("import os\nos.abort()", "importing it ended the process by SIGABRT"),
    "killed": (
        "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
        "importing it ended the process by SIGKILL",
    ),
    "hook": (
        "import os\nfrom llmrouter import hookimpl\n\n"
        "@hookimpl\ndef llmrouter_register_routers():\n    os._exit(4)",
        "SystemExit: os._exit(4) (fake_bad.py, line 6)",
    ),
    "SystemExit": ("raise SystemExit(0)", "SystemExit: 0"),
    "KeyboardInterrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt (fake_bad.py, line 1)"),
}
# What changes the process, and what is said about it.
CHANGES = {
    "folder": ("import os\nos.chdir('/')", "the current folder"),
    "stdout": ("import io, sys\nsys.stdout = io.StringIO()", "sys.stdout"),
    "nothing": ("import sys\nsys.stdout = sys.stderr = None", "sys.stdout, sys.stderr"),
    "closed": ("import sys\nsys.stdout.close()", "sys.stdout"),
    "descriptor": ("import os\nos.close(1)\nos.close(2)", "the file behind sys.stdout"),
    "signals": ("import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)", "the handler of SIGTERM"),
    "umask": ("import os\nos.umask(0)", "the umask"),
}
EVERYTHING = {**KILLERS, **CHANGES}


@pytest.fixture
def bad(install: Callable[..., Path]) -> Callable[[str], None]:
    """Install a plugin with a source between two that are sound."""

    def bad(source: str) -> None:
        install("llmrouter-aaa", {"fake_aaa": ""}, {"aaa": "fake_aaa"})
        install("llmrouter-bad", {"fake_bad": source}, {"bad": "fake_bad"})
        install("llmrouter-zzz", {"fake_zzz": ""}, {"zzz": "fake_zzz"})

    return bad


@pytest.mark.parametrize("kind", KILLERS)
def test_what_shows_plugins_survives_an_import_that_ends_the_process(
    bad: Callable[[str], None], command: Callable[..., Any], kind: str
) -> None:
    source, told = KILLERS[kind]
    bad(source)
    rows = {row["name"]: row for row in command("plugins", "--json").json}
    assert (rows["bad"]["state"], rows["aaa"]["state"], rows["zzz"]["state"]) == ("failed", "ready", "ready")
    assert told in rows["bad"]["reason"]

    done = command("--help")
    assert done.status == 0
    assert "\n  infer " in done.out
    assert "1 problem(s) with plugins" in done.out
    if "ended the process" in told:
        assert f"plugin 'bad' of llmrouter-bad 1.0, failed: {told}" in done.err

    done = command("doctor")
    assert done.status == 1
    assert any(told in row["detail"] and "llmrouter-bad" in row["detail"] for row in done.json)
    assert command("list-routers").status == 0


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        *((kind, ("infer", "--query", "hi")) for kind, (_, told) in KILLERS.items() if "ended" in told),
        *(("segfault", (name,)) for name in ("train", "serve", "act")),
    ],
)
def test_other_commands_end_with_the_process_and_the_plugin_is_named(
    bad: Callable[[str], None],
    command: Callable[..., Any],
    config: Callable[..., str],
    kind: str,
    arguments: tuple[str, ...],
) -> None:
    bad(KILLERS[kind][0])
    done = command(*arguments, "--router", "bad", "--config", config())
    assert done.status
    assert done.out == ""
    told = "Error: the process ended while importing the plugin 'bad' of llmrouter-bad 1.0; "
    assert f"{told}'llmrouter plugins disable' leaves it out\n" in done.err


@pytest.mark.parametrize("source", ["import os\nos._exit(0)", "from os import _exit\n_exit(0)"])
def test_a_plugin_that_would_exit_leaves_other_commands_working(
    bad: Callable[[str], None], command: Callable[..., Any], config: Callable[..., str], source: str
) -> None:
    bad(source)
    done = command("infer", "--route-only", "--router", "randomrouter", "--config", config(), "--query", "hi")
    assert done.status == 0
    assert done.json
    assert "Error" not in done.err


@pytest.mark.parametrize("kind", EVERYTHING)
def test_what_helps_against_a_plugin_imports_none(
    bad: Callable[[str], None], command: Callable[..., Any], kind: str
) -> None:
    bad(EVERYTHING[kind][0])
    done = command("version")
    assert (done.status, done.err) == (0, "")
    assert {row["name"]: row["version"] for row in done.json}["llmrouter-bad"] == "1.0"
    assert command("plugins", "disable", "bad").status == 0
    rows = {row["name"]: row["state"] for row in command("plugins", "--json").json}
    assert rows["bad"] == "blocked"


@pytest.mark.parametrize("kind", CHANGES)
def test_what_an_import_changes_is_put_back_and_told(
    bad: Callable[[str], None], command: Callable[..., Any], kind: str
) -> None:
    source, told = CHANGES[kind]
    bad(source)
    done = command("plugins", "show", "bad", "--json")
    assert done.status == 0
    (row,) = done.json
    assert row["state"] == "ready"
    assert f"importing it changed {told}" in row["reason"]
    assert "put back" in row["reason"]
    done = command("doctor")
    assert done.status == 0
    found = [row for row in done.json if row["check"] == "plugin bad"]
    assert [row["status"] for row in found] == ["warning"]
    assert "Traceback" not in done.err
    assert "\n  infer " in command("--help").out


def test_the_current_folder_is_that_of_the_command_again(
    bad: Callable[[str], None], command: Callable[..., Any], write: Callable[[str, str], Path]
) -> None:
    bad("import os\nos.chdir('/')")
    write("custom_routers/broken/router.py", "import (")
    assert "custom_routers" in command("plugins", "--json").out


def test_several_plugins_may_end_the_process(
    install: Callable[..., Path], command: Callable[..., Any]
) -> None:
    for name in ("one", "two", "three"):
        source = "import ctypes\nctypes.CDLL(None)._exit(7)"
        install(f"llmrouter-{name}", {f"fake_{name}": source}, {name: f"fake_{name}"})
    done = command("plugins", "--json")
    assert done.status == 0
    assert done.err.count("importing it ended the process with status 7") == 3


@pytest.mark.parametrize(
    "source",
    [
        "import atexit, os\natexit.register(os._exit, 9)",
        "import threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()",
    ],
    ids=["exits", "hangs"],
)
def test_what_a_plugin_does_at_exit_changes_no_status(bad: Callable[[str], None], source: str) -> None:
    bad(source)
    with started(30, "plugins", "--json") as process:
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "llmrouter-bad" in out


PROGRAM = """
import sys
from llmrouter_cli import __main__, guard
guard.LIMIT, guard.PATIENCE = {limit}, 0.5
sys.argv = ["llmrouter", *{arguments}]
__main__.main()
"""


def started(limit: float, *arguments: str) -> subprocess.Popen[str]:
    program = PROGRAM.format(limit=limit, arguments=arguments)
    return subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_an_import_that_never_ends_is_given_up(bad: Callable[[str], None]) -> None:
    bad("while True:\n    pass")
    with started(1, "--help") as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "\n  infer " in out
    assert "plugin 'bad' of llmrouter-bad 1.0, failed: importing it took longer than 1 s" in err


FOREVER = "import time\nopen('there', 'w').close()\nwhile True:\n    time.sleep(0.01)"
STUBBORN = """
import time
open('there', 'w').close()
while True:
    try:
        time.sleep(0.01)
    except KeyboardInterrupt:
        pass
"""


@pytest.mark.parametrize(
    ("source", "arguments"), [(FOREVER, ("--help",)), (STUBBORN, ("--help",)), (FOREVER, ("infer",))]
)
def test_ctrl_c_names_the_plugin_that_is_imported(
    bad: Callable[[str], None], config: Callable[..., str], source: str, arguments: tuple[str, ...]
) -> None:
    if arguments == ("infer",):
        arguments = ("infer", "--router", "x", "--config", config(), "--query", "Hi")
    bad(source)
    with started(30, *arguments) as process:
        while not Path("there").exists():
            assert process.poll() is None
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Interrupted while importing the plugin 'bad' of llmrouter-bad 1.0" in err
    assert "Traceback" not in err
