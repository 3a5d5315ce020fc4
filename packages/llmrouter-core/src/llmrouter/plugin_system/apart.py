"""Import a plugin in a process of its own, where nothing of it is loaded yet."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from llmrouter.errors import describe
from llmrouter.plugin_system.installed import load_target
from llmrouter.plugin_system.isolation import is_interrupt

# Seconds that an import may take.
TIMEOUT = 120


class Imported(NamedTuple):
    """What came of it.

    Attributes:
        modules: What importing the plugin module imported.
        ms: The time that took.
        out: What was written to standard output, by all that was imported.
        err: What was written to standard error.
        problem: Why something could not be imported, or None.
    """

    modules: tuple[str, ...] = ()
    ms: float = 0.0
    out: str = ""
    err: str = ""
    problem: str | None = None


def import_apart(module: str, targets: Sequence[str] = ()) -> Imported:
    """Import a plugin module, and then what targets name, in another process.

    Args:
        module: The plugin module, as its entry point names it.
        targets: ``module:Name``, imported after it; what they import counts as output alone.
    """
    with tempfile.TemporaryDirectory(prefix="llmrouter-import-") as folder:
        answer = Path(folder, "answer")
        # Not from the current folder, whose modules would hide those that are installed.
        program = f"import sys; sys.path[:] = filter(None, sys.path); from {__name__} import main; main()"
        try:
            done = run_apart(program, str(answer), module, *targets, timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            return Imported(problem=f"it was not imported within {TIMEOUT} s")
        told = json.loads(answer.read_bytes()) if answer.exists() else {}
    found = Imported(tuple(told.get("modules", ())), told.get("ms", 0.0), done.stdout, done.stderr)
    if "problem" in told:
        return found._replace(problem=told["problem"])
    # It ended before all was imported, as os._exit and a crash have it.
    last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
    return found._replace(problem=f"importing it ended the process with status {done.returncode}: {last}")


def run_apart(
    program: str, *arguments: str, timeout: float, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run a program in another process that finds modules where this one does; returns what it wrote.

    Args:
        program: Its source.
        arguments: Its arguments.
        timeout: Seconds that it may take.
        environ: Variables beside those of this process.

    Raises:
        subprocess.TimeoutExpired: It took longer.
    """
    return subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environ},
        timeout=timeout,
        check=False,
    )


def main() -> None:
    """Import what the arguments name, and write to the first of them what came of it."""
    answer, module, *targets = sys.argv[1:]
    told: dict[str, object] = {}
    problem = None
    before = set(sys.modules)
    started = time.perf_counter()
    try:
        load_target(module)
        told["ms"] = (time.perf_counter() - started) * 1000
        told["modules"] = sorted(set(sys.modules) - before)
        Path(answer).write_text(json.dumps(told), "utf-8")
        for target in targets:
            load_target(target)
    except BaseException as error:  # a plugin may raise anything
        if is_interrupt(error):
            raise
        problem = describe(error)
    Path(answer).write_text(json.dumps({**told, "problem": problem}), "utf-8")
