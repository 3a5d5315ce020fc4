"""Helpers for the authors of routers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["get_longformer_embedding"]


def get_longformer_embedding(
    texts: str | Sequence[str], model_name: str | None = None, device: str = "cpu"
) -> torch.Tensor:
    """Return Longformer embeddings: the mean of a text's last hidden states.

    The model is loaded at the first call and kept. Longer texts than it takes (4,096 tokens) are truncated.

    Source: Beltagy, Peters, Cohan, "Longformer: The Long-Document Transformer", arXiv 2004.05150.

    Args:
        texts: One text, or several.
        model_name: A folder or the name of a model on the Hugging Face hub; by default the environment
            variable ``LLMROUTER_LONGFORMER``, else ``allenai/longformer-base-4096``.
        device: Where torch computes; the result is on the CPU.

    Returns:
        A float32 tensor of shape (dim,) for one text, (n, dim) for n texts; dim is 768 by default.

    Raises:
        LLMRouterError: The model cannot be found, downloaded or loaded.
        MissingExtraError: The extra is not installed.
    """
    from llmrouter.encoders.longformer import embed

    if isinstance(texts, str):
        return embed([texts], model_name, device)[0]
    return embed(texts, model_name, device)
