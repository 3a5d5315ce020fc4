"""Every error that llmrouter raises on purpose.

A message says what is wrong, where, and what to do; the offender is an attribute.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path


class LLMRouterError(Exception):
    """Root of the errors a user can do something about."""


class FileError(LLMRouterError):
    """A file that a user gave is missing, malformed or incomplete.

    Attributes:
        path: The file, or None for a configuration given as a mapping.
        line: Line number from 1, where known.
        key: Dotted path of the offending key, such as ``data_path.llm_data``.
    """

    def __init__(
        self,
        path: str | PathLike[str] | None,
        problem: str,
        *,
        line: int | None = None,
        key: str | None = None,
    ) -> None:
        self.path = Path(path) if path is not None else None
        self.problem = problem
        self.line = line
        self.key = key
        where = str(self.path) if self.path is not None else "configuration"
        if line is not None:
            where += f":{line}"
        super().__init__(": ".join(part for part in (where, key, problem) if part))


class ConfigError(FileError):
    """The configuration cannot be used."""


class DataError(FileError):
    """A data file cannot be used."""


class CheckpointError(FileError):
    """A router's saved state cannot be written or restored."""


class PluginError(LLMRouterError):
    """Code of a plugin failed, or the plugin may not be used."""


class UnknownRouterError(LLMRouterError):
    """No router of that name can be found.

    Attributes:
        name: The name that was asked for.
        nearest: Names of known routers that look like it, best first.
    """

    def __init__(self, name: str, advice: str, nearest: Sequence[str] = ()) -> None:
        self.name = name
        self.nearest = tuple(nearest)
        super().__init__(f"Unknown router: {name}{advice}")


class RouterValidationError(PluginError):
    """A router or trainer class does not fulfil the contract.

    Attributes:
        kind: ``"Router"`` or ``"Trainer"``.
    """

    def __init__(self, problem: str, *, kind: str = "Router") -> None:
        self.kind = kind
        super().__init__(f"{kind} class validation failed: {problem}")


class RoutingError(LLMRouterError):
    """One query could not be routed; other queries are not affected."""


class CompletionError(LLMRouterError):
    """A candidate LLM was called and did not answer; other calls are not affected.

    Attributes:
        name: The candidate.
        status: The HTTP status that its service answered with, or None.
        sent: Whether it may have worked on the call, and may bill it.
    """

    def __init__(
        self, name: str, problem: str, *, status: int | None = None, sent: bool | None = None
    ) -> None:
        self.name = name
        self.status = status
        self.sent = status is None if sent is None else sent
        super().__init__(problem)


class MissingExtraError(LLMRouterError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        self.extra = extra
        super().__init__(f"{what} needs a package that is not installed; run: pip install '{extra}'")


# Imports of other people's code pass through these of our files; the code that imports is meant.
_IMPORTERS = tuple(str(Path(__file__).with_name(name)) for name in ("plugin_dirs", "plugin_system"))


def describe(error: BaseException) -> str:
    """Describe an error raised by somebody else's code in one line: type, message, file and line."""
    try:
        return _described(error)
    except BaseException:  # an exception's attributes are somebody else's code too
        return type(error).__name__


def _described(error: BaseException) -> str:
    if isinstance(error, LLMRouterError) and (message := text_of(error)):
        return message
    if isinstance(error, SyntaxError):
        where = f" ({Path(error.filename).name}, line {error.lineno})" if error.filename else ""
        return f"{type(error).__name__}: {text_of(error.msg)}{where}"
    where, trace = "", error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not file.startswith(("<frozen ", *_IMPORTERS)):
            where = f" ({Path(file).name}, line {trace.tb_lineno})"
        trace = trace.tb_next
    message = text_of(error)
    grouped: object = getattr(error, "exceptions", None)  # those of an exception group
    if isinstance(grouped, tuple) and grouped and isinstance(grouped[0], BaseException):
        message += f", the first: {describe(grouped[0])}"
    return f"{type(error).__name__}{': ' if message else ''}{message}{where}"


# What no terminal, log or database should be given.
_CONTROLS = dict.fromkeys((*range(32), *range(127, 160)), "\N{REPLACEMENT CHARACTER}")


def text_of(
    value: object, convert: Callable[[object], str] = str, longest: int = 2000, lines: bool = False
) -> str:
    """Return the text of somebody else's object; empty if its own code fails to give one.

    Args:
        value: The object.
        convert: `str` or `repr`.
        longest: Characters at most.
        lines: Keep line breaks and tabs, in place of one line.

    Returns:
        Text that UTF-8 can encode, without control characters.
    """
    try:
        text = convert(value)[: 4 * longest]
        text = text if lines else " ".join(text.split())
        text = text if len(text) <= longest else f"{text[: longest - 1]}…"
        return text.translate(_KEPT if lines else _CONTROLS).encode(errors="backslashreplace").decode()
    except BaseException:  # __str__ may raise anything, or return no text
        return ""


_KEPT = {code: by for code, by in _CONTROLS.items() if code not in b"\n\t\r"}
