"""Do things in another process, where nothing is loaded yet and hashes are others."""

from __future__ import annotations

import importlib
import os
import pickle
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from llmrouter.errors import describe
from llmrouter.plugin_system.apart import run_apart
from llmrouter.plugin_system.isolation import is_interrupt
from llmrouter_testing.report import fail

TIMEOUT = 120


class Done(NamedTuple):
    """What came of it.

    Attributes:
        value: What the task returned.
        out: What was written to standard output meanwhile.
        err: What was written to standard error meanwhile.
    """

    value: Any
    out: str
    err: str


def in_child(task: str, *arguments: Any) -> Done:
    """Run one of this module's tasks in another process that finds modules where this one does.

    Texts and sets of texts have other hashes there.

    Raises:
        ConformanceError: The task raised, the process ended, or it took longer than `TIMEOUT` seconds.
    """
    with tempfile.TemporaryDirectory(prefix="llmrouter-testing-") as folder:
        told, answer = Path(folder, "task"), Path(folder, "answer")
        told.write_bytes(pickle.dumps((task, arguments)))
        seed = "1" if os.environ.get("PYTHONHASHSEED") == "0" else "0"
        program = f"from {__name__} import main; main()"
        try:
            done = run_apart(program, str(told), str(answer), timeout=TIMEOUT, PYTHONHASHSEED=seed)
        except subprocess.TimeoutExpired:
            fail(f"another process was not done with it after {TIMEOUT} s")
        if not answer.exists():
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            fail(f"another process ended with status {done.returncode}: {last}")
        problem, value = pickle.loads(answer.read_bytes())  # noqa: S301 - written by our own program
    if problem:
        fail(f"in another process it raised {problem}")
    return Done(value, done.stdout, done.stderr)


def main() -> None:
    """Read a task, do it, and write the answer."""
    told, answer = map(Path, sys.argv[1:])
    found: tuple[str | None, Any]
    try:
        task, arguments = pickle.loads(told.read_bytes())  # noqa: S301 - written by `in_child`
        found = (None, _TASKS[task](*arguments))
    except BaseException as error:  # plugins may raise anything
        if is_interrupt(error):
            raise
        found = (describe(error), None)
    answer.write_bytes(pickle.dumps(found))


def _call(pickled: bytes, method: str, *arguments: Any) -> Any:
    """Call a method of what was pickled."""
    return getattr(pickle.loads(pickled), method)(*arguments)  # noqa: S301 - written by `in_child`


def _make_and_call(builder: Any, options: tuple[Any, ...], method: str, *arguments: Any) -> Any:
    """Call a function with options, and a method of what it returns."""
    return getattr(builder(*options), method)(*arguments)


def _import_inside(module: str, modules: list[str], name: str) -> int:
    """Import a name from modules by statements inside a module; returns how many different things it is."""
    inside = vars(importlib.import_module(module))
    own = {key: inside[key] for key in ("__builtins__", "__name__", "__package__")}
    found = set()
    for other in modules:
        exec(f"from {other} import {name} as found", own)  # noqa: S102 - a statement as authors write it
        found.add(id(own["found"]))
    return len(found)


def _route_and_look(builder: Any, options: tuple[Any, ...], queries: list[Any]) -> list[str]:
    """Make a router and let it route; returns what sys.path gained."""
    before = list(sys.path)
    builder(*options).route_batch(queries)
    return _gained(before)


def _gained(before: list[str]) -> list[str]:
    # Counted, for what a plugin adds in the first process is there already in this one.
    return list(Counter(sys.path) - Counter(before))


_TASKS: dict[str, Callable[..., Any]] = {
    "call": _call,
    "make_and_call": _make_and_call,
    "import_inside": _import_inside,
    "route_and_look": _route_and_look,
}
