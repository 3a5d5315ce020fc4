"""Install distributions into the environment that runs the command, by pip or uv."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence

from llmrouter.errors import LLMRouterError

PREFIX = "llmrouter-"
# A requirement as people write it, as against a file, a folder or a URL.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def requirement_of(told: str) -> str:
    """Return what the installer is asked for: ``knn`` means ``llmrouter-knn``.

    Files, folders, URLs and names that begin with ``llmrouter`` stay as they are.
    """
    name = _NAME.match(told)
    is_name = name is not None and not re.match(r"[/\\:]|\s*@", told[name.end() :])
    if not is_name or os.path.exists(told) or told.lower().startswith(("llmrouter-", "llmrouter_")):
        return told
    return PREFIX + told


def install(requirements: Sequence[str], upgrade: bool = False) -> None:
    """Install distributions.

    Raises:
        LLMRouterError: There is no installer, or it failed; what it said is on standard error.
    """
    _run(["install", *(["--upgrade"] if upgrade else []), *requirements])


def uninstall(distributions: Sequence[str]) -> None:
    """Uninstall distributions.

    Raises:
        LLMRouterError: As `install`.
    """
    _run(["uninstall", *distributions])


def _run(arguments: Sequence[str]) -> None:
    command, *more = arguments
    if importlib.util.find_spec("pip") is not None:
        quiet = ["--yes"] if command == "uninstall" else []
        program = [sys.executable, "-m", "pip", command, "--disable-pip-version-check", *quiet, *more]
    elif uv := shutil.which("uv"):
        program = [uv, "pip", command, "--python", sys.executable, *more]
    else:
        raise LLMRouterError(
            f"neither pip nor uv can install into {sys.prefix}; run: {sys.executable} -m ensurepip"
        )
    # Standard output is for results.
    status = subprocess.run(program, stdout=sys.stderr.fileno(), check=False).returncode  # noqa: S603 - as asked
    if status:
        raise LLMRouterError(
            f"{'uv' if program[1] == 'pip' else 'pip'} failed with status {status}; it says above why"
        )
