"""What can be told of a plugin without putting it to use: how it is declared, and how it is imported.

``llmrouter plugins check`` asks this of everything that is installed, the conformance kit of what its author
tests. Each function returns what is wrong and what to do about it, or None.
"""

from __future__ import annotations

from llmrouter.plugin_system.apart import Imported
from llmrouter.plugin_system.metadata import CORE, Distribution, core_bounds
from llmrouter.specs import CommandSpec, RouterSpec, Spec

# What no plugin module needs to declare something, and what is slow to import or starts threads.
HEAVY = frozenset(
    {
        *("torch", "numpy", "scipy", "pandas", "sklearn", "tensorflow", "jax", "transformers"),
        *("sentence_transformers", "openai", "httpx", "httpx2", "aiohttp", "requests", "asyncio", "rich"),
    }
)
SLOW_MS = 1000.0


def heavy_import(module: str, imported: Imported) -> str | None:
    """Tell what a plugin module imports that it should not, or that importing it is slow."""
    advice = "import what is slow in the modules that the targets name"
    if heavy := sorted(HEAVY & {name.partition(".")[0] for name in imported.modules}):
        return f"importing {module} imports {', '.join(heavy)}; {advice}"
    if imported.ms > SLOW_MS:
        return f"importing {module} takes {imported.ms:.0f} ms; {advice}"
    return None


def output_on_import(imported: Imported) -> str | None:
    """Tell what importing a plugin, and what it declares, writes to standard output or standard error."""
    for stream, text in (("output", imported.out), ("error", imported.err)):
        if text.strip():
            first = text.strip().partition("\n")[0]
            return f"importing it writes to standard {stream}: {first!r}; log what is worth telling"
    return None


def unbounded(distribution: Distribution) -> str | None:
    """Tell that a distribution does not say which versions of core it fits."""
    if distribution.name == CORE:
        return None
    bounds = core_bounds(distribution)
    advice = f"require such as '{CORE}>=0.1,<0.2', so that users are told where it does not fit"
    if not bounds:
        return f"{distribution} does not require {CORE}; {advice}"
    exact = any(sign in text for text in bounds for sign in ("~=", "=="))
    if not exact and not all(any(sign in text for text in bounds) for sign in "><"):
        return f"{distribution} requires {CORE}{bounds[0]}, without a lower and an upper bound; {advice}"
    return None


def undescribed(spec: Spec) -> str | None:
    """Tell that what has a summary lacks it."""
    if isinstance(spec, RouterSpec | CommandSpec) and not spec.summary.strip():
        return "it has no summary; add the sentence that users see when they list what is installed"
    return None
