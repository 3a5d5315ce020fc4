"""Encoders turn texts into features; users choose one in ``hparam.encoder``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmrouter.errors import LLMRouterError

if TYPE_CHECKING:
    from llmrouter.encoders.base import Encoder

__all__ = ["create_encoder"]


def create_encoder(name: str) -> Encoder:
    """Make the encoder that a user names, such as ``hashing`` or ``sentence-transformers:FOLDER``.

    Raises:
        LLMRouterError: There is none of that name.
        MissingExtraError: It needs a package that is not installed.
        PluginError: Its code fails.
    """
    import llmrouter.encoders.base  # noqa: F401 - says which extra is missing
    from llmrouter.plugin_system import get_plugin_registry
    from llmrouter.plugin_system.isolation import plugin_code

    registry = get_plugin_registry()
    bare, _, argument = name.partition(":")
    if bare not in registry.encoders:
        raise LLMRouterError(f"Unknown encoder: {name}; there are {', '.join(registry.encoders)}")
    encoder_class = registry.load(registry.encoders[bare])
    with plugin_code(f"Encoder {name!r}"):
        encoder: Encoder = encoder_class(argument or None)
    return encoder
