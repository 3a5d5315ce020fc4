"""An error's message says what is wrong and where, in one line, and the offender is an attribute."""

from __future__ import annotations

import importlib
import traceback
from pathlib import Path

import pytest

from llmrouter import errors
from llmrouter.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    FileError,
    LLMRouterError,
    MissingExtraError,
    PluginError,
    RouterValidationError,
    UnknownRouterError,
    describe,
)


class Wordless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (FileError("a.yaml", "is empty"), "a.yaml: is empty"),
        (FileError(Path("a.yaml"), "is empty", line=3), "a.yaml:3: is empty"),
        (FileError("a.yaml", "is empty", key="hparam.k"), "a.yaml: hparam.k: is empty"),
        (FileError("a.yaml", "is empty", line=3, key="hparam.k"), "a.yaml:3: hparam.k: is empty"),
        (FileError(None, "is empty", key="hparam.k"), "configuration: hparam.k: is empty"),
        (FileError(None, "is empty"), "configuration: is empty"),
    ],
)
def test_the_forms_of_a_file_error(error: FileError, message: str) -> None:
    assert str(error) == message


def test_a_file_error_keeps_its_parts() -> None:
    error = DataError("folder/a.jsonl", "is not valid JSON", line=7, key="small.cost")
    assert (error.path, error.line, error.key) == (Path("folder/a.jsonl"), 7, "small.cost")
    assert error.problem == "is not valid JSON"


@pytest.mark.parametrize("kind", [ConfigError, DataError, CheckpointError])
def test_errors_of_files_are_one_family(kind: type[FileError]) -> None:
    assert issubclass(kind, FileError)


def test_every_error_has_one_root() -> None:
    defined = [found for found in vars(errors).values() if isinstance(found, type)]
    own = [found for found in defined if found.__module__ == errors.__name__]
    assert len(own) >= 10
    assert all(issubclass(found, LLMRouterError) for found in own)


def test_an_unknown_router_is_named_with_those_that_look_like_it() -> None:
    error = UnknownRouterError("nkn", "; did you mean knn?", ["knn"])
    assert str(error) == "Unknown router: nkn; did you mean knn?"
    assert (error.name, error.nearest) == ("nkn", ("knn",))


@pytest.mark.parametrize("kind", ["Router", "Trainer"])
def test_a_failed_validation_says_of_what(kind: str) -> None:
    error = RouterValidationError("no such method", kind=kind)
    assert str(error) == f"{kind} class validation failed: no such method"
    assert error.kind == kind
    assert isinstance(error, PluginError)


def test_a_missing_extra_is_an_import_error_that_says_what_to_install() -> None:
    error = MissingExtraError("the encoder", "llmrouter-core[numpy]")
    assert isinstance(error, ImportError)
    assert error.extra == "llmrouter-core[numpy]"
    assert str(error).endswith("run: pip install 'llmrouter-core[numpy]'")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ConfigError("a.yaml", "is empty"), "a.yaml: is empty"),
        (LLMRouterError("two\nlines"), "two lines"),
        (ValueError("five"), "ValueError: five"),
        (ValueError(), "ValueError"),
        (KeyError("small"), "KeyError: 'small'"),
        (RuntimeError("several\n  lines\n\nof text"), "RuntimeError: several lines of text"),
        (SystemExit(3), "SystemExit: 3"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (SyntaxError("invalid syntax"), "SyntaxError: invalid syntax"),
        (SyntaxError("bad", ("/far/router.py", 7, 1, "x =")), "SyntaxError: bad (router.py, line 7)"),
        (IndentationError("bad", ("router.py", 2, 1, "x")), "IndentationError: bad (router.py, line 2)"),
        (Wordless(), "Wordless"),
    ],
)
def test_an_error_of_anybody_is_told_in_one_line(error: BaseException, told: str) -> None:
    assert describe(error) == told


@pytest.mark.parametrize("error", [ValueError("five"), SystemExit(), Wordless()])
def test_where_an_error_was_raised_is_told(error: BaseException) -> None:
    told = describe(raised(error))
    assert told.startswith(type(error).__name__)
    line = raised.__code__.co_firstlineno + 2
    assert told.endswith(f"(test_errors.py, line {line})")


def test_an_import_is_placed_where_it_stands() -> None:
    with pytest.raises(ModuleNotFoundError) as caught:
        import absent_module  # type: ignore[import-not-found]  # noqa: F401
    assert "(test_errors.py, line " in describe(caught.value)


def test_no_error_is_placed_inside_the_import_system() -> None:
    with pytest.raises(ModuleNotFoundError) as caught:
        importlib.import_module("absent_module")
    assert "<frozen importlib" in "".join(traceback.format_exception(caught.value))
    assert "frozen" not in describe(caught.value)
