"""The encoders that come with core."""

from __future__ import annotations

from llmrouter.hookspecs import hookimpl
from llmrouter.specs import EncoderSpec


@hookimpl
def llmrouter_register_encoders() -> list[EncoderSpec]:
    """Declare them."""
    return [
        EncoderSpec("hashing", "llmrouter.encoders.hashing:HashingEncoder"),
        EncoderSpec("wordllama", "llmrouter.encoders.wordllama:WordLlamaEncoder", dim=256),
        EncoderSpec("longformer", "llmrouter.encoders.longformer:LongformerEncoder"),
        EncoderSpec(
            "sentence-transformers", "llmrouter.encoders.sentence_transformers:SentenceTransformersEncoder"
        ),
    ]
