"""Checks of how a plugin is declared and imported, the same for every kind."""

from __future__ import annotations

import re

from llmrouter.plugin_system.installed import load_target
from llmrouter.plugin_system.metadata import CORE
from llmrouter_testing.child import in_child
from llmrouter_testing.report import Checks, fail, not_applicable
from llmrouter_testing.subjects import Subject

HEAVY = frozenset(
    {
        *("torch", "numpy", "scipy", "pandas", "sklearn", "tensorflow", "jax", "transformers"),
        *("sentence_transformers", "openai", "httpx", "httpx2", "aiohttp", "requests", "asyncio", "rich"),
    }
)
SLOW_MS = 1000.0

declaration_checks: Checks[Subject] = Checks()


@declaration_checks
def light_plugin_import(subject: Subject) -> str:
    """The plugin module only declares: importing it imports no torch, HTTP client or the like.

    Every command of everybody who installs the plugin imports it. What it declares is imported when it is
    used: keep heavy imports in the modules that the targets name, and out of the package's __init__.py.
    """
    module = subject.declaration.plugin.module
    imported, took = in_child("import", module).value
    if heavy := sorted(HEAVY & {name.partition(".")[0] for name in imported}):
        fail(f"importing {module} imports {', '.join(heavy)}")
    if took > SLOW_MS:
        fail(f"importing {module} takes {took:.0f} ms")
    return f"{module} is imported in {took:.0f} ms"


@declaration_checks
def silent_import(subject: Subject) -> None:
    """Importing the plugin writes nothing to standard output or standard error.

    Standard output is for results, which programs read; what is worth telling is logged.
    """
    modules = [subject.found.__module__]
    if subject.declared is not None:
        modules.insert(0, subject.declared.plugin.module)
    _, out, err = in_child("import", *modules)
    for stream, text in (("output", out), ("error", err)):
        if text:
            first = text.strip().partition("\n")[0]
            fail(f"importing {' and '.join(modules)} writes to standard {stream}: {first!r}")


@declaration_checks
def declared_metadata(subject: Subject) -> None:
    """What is declared can be used, and the distribution says which versions of core it fits.

    With bounds on llmrouter-core such as '>=0.1,<0.2' users are told that a plugin does not fit; without
    them it breaks.
    """
    declared = subject.declaration
    distribution = declared.plugin.distribution
    if declared.reason:
        fail(f"it cannot be used, {declared.reason}")
    if declared.plugin.state != "ready":
        fail(f"its plugin is not ready, {declared.plugin.state}: {declared.plugin.reason}")
    if load_target(declared.target) is not subject.found:
        fail(f"its target {declared.target} is not {subject.found.__qualname__}")
    if declared.summary == "":
        fail("it has no summary; users see that sentence when they list what is installed")
    if distribution.name == CORE:
        not_applicable("it is core's own")
    pattern = re.compile(rf"{CORE}\s*(\[[^\]]*\])?\s*(?P<bounds>[^;]*)", re.IGNORECASE)
    bounds = [found["bounds"] for text in distribution.requirements if (found := pattern.match(text))]
    if not bounds:
        fail(f"{distribution} does not require {CORE}")
    if not any(">" in text for text in bounds) or not any("<" in text for text in bounds):
        fail(f"{distribution} requires {CORE}{bounds[0]}, without a lower and an upper bound")
