"""Install distributions into the environment that runs the command, by pip or uv."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence

from llmrouter.errors import DataError, LLMRouterError
from llmrouter.plugin_system.metadata import plain_requirement

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


def read_requirements(content: bytes, file: str) -> list[str]:
    """Return the requirements that a file lists, one a line, such as ``llmrouter-knn==0.1.0``.

    Nothing else is taken, because the file may come from elsewhere: no URL, and no option that would send an
    installer to another place.

    Args:
        content: Of the file; blank lines and what follows ``#`` do not count.
        file: Its name, for errors.

    Raises:
        DataError: A line is something else.
    """
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(file, f"is not UTF-8 text: {error.reason} at byte {error.start}") from None
    found = []
    for number, line in enumerate(lines, 1):
        text = re.sub(r"(^|\s)#.*", "", line).strip()
        if not text:
            continue
        requirement = plain_requirement(text)
        if requirement is None:
            raise DataError(
                file, f"expected a requirement such as llmrouter-knn==0.1.0, found {text!r}", line=number
            )
        found.append(requirement)
    return found


def install(requirements: Sequence[str], upgrade: bool = False) -> None:
    """Install distributions.

    Raises:
        LLMRouterError: There is no installer, or it failed; what it said is on standard error.
    """
    _run(["install", *(["--upgrade"] if upgrade else []), "--", *requirements])


def uninstall(distributions: Sequence[str]) -> None:
    """Uninstall distributions.

    Raises:
        LLMRouterError: As `install`.
    """
    _run(["uninstall", "--", *distributions])


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
