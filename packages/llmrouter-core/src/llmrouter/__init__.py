"""The core of llmrouter: pick, for each query, the LLM that should answer it.

What a plugin module needs is here and light to import::

    from llmrouter import RouterSpec, hookimpl
"""

from llmrouter.hookspecs import hookimpl
from llmrouter.specs import CommandSpec, EncoderSpec, JudgeSpec, RouterSpec, TrainerSpec

__version__ = "0.1.0"

__all__ = [
    "CommandSpec",
    "EncoderSpec",
    "JudgeSpec",
    "RouterSpec",
    "TrainerSpec",
    "__version__",
    "hookimpl",
]
