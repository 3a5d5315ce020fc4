"""Run code of plugins so that whatever it raises is contained."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from llmrouter.errors import LLMRouterError, PluginError, describe


@contextlib.contextmanager
def plugin_code(whose: str) -> Iterator[None]:
    """Turn what code of a plugin raises into a `PluginError` that says whose code it is.

    A plugin may raise anything, ``SystemExit`` included. Our own errors say enough and pass, and so does
    KeyboardInterrupt.
    """
    try:
        yield
    except (LLMRouterError, KeyboardInterrupt):
        raise
    except BaseException as error:
        advice = ""
        if isinstance(error, ModuleNotFoundError) and error.name:
            advice = f"; {_advice(error.name)}"
        raise PluginError(f"{whose} failed: {describe(error)}{advice}") from error


def _advice(missing: str) -> str:
    """Tell what to do about a module that is missing."""
    if missing.startswith("llmrouter.plugin_dirs."):
        inside = "/".join(missing.split(".")[3:])
        return f"there is no {inside!r} in the plugin directory, add it or mend the import"
    return f"install what provides {missing.partition('.')[0]!r}, or mend the import"
