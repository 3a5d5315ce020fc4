"""Any model of the Sentence Transformers library."""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from llmrouter.encoders.base import Floats
from llmrouter.encoders.pretrained import (
    PretrainedEncoder,
    find_model,
    has_safetensors,
    quiet,
    require,
    unloadable,
    well_formed,
)
from llmrouter.errors import LLMRouterError

EXTRA = "llmrouter-core[sentence-transformers]"

# As in longformer.py: a model is loaded once, and its tokenizer serves one thread at a time.
_lock = threading.RLock()


class SentenceTransformersEncoder(PretrainedEncoder):
    """Sentence embeddings, as ``SentenceTransformer(model).encode`` gives them.

    Pooling, normalisation, truncation and the default prompt are the model's own. The model is loaded when
    first used, once per process. One that brings code of its own is refused.

    Source: Reimers, Gurevych, "Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks",
    arXiv 1908.10084.

    Args:
        argument: A folder, or the name of a model on the Hugging Face hub.
        device: Where torch computes.

    Raises:
        LLMRouterError: No model is named.
        MissingExtraError: The extra is not installed.
    """

    name = "sentence-transformers"

    def __init__(self, argument: str | None = None, device: str = "cpu") -> None:
        if not argument:
            raise LLMRouterError(
                "Encoder sentence-transformers needs a model: write sentence-transformers:NAME, as in "
                "sentence-transformers:sentence-transformers/all-MiniLM-L6-v2, or "
                "sentence-transformers:FOLDER"
            )
        require("Encoder sentence-transformers", EXTRA, "torch", "transformers", "sentence_transformers")
        super().__init__(argument, argument, device)

    def encode(self, texts: Sequence[str]) -> Floats:
        """Return the embeddings of texts: float32 of shape (n, dim).

        Raises:
            LLMRouterError: The model cannot be found, downloaded or loaded.
        """
        with _lock:
            model = _load(self.model_name, find_model(self.model_name), self.device)
            self.dim = int(model.get_embedding_dimension())
            if not texts:
                return np.zeros((0, self.dim), np.float32)
            # One thread at a time, for a tokenizer fails when two use it.
            features = model.encode(well_formed(texts), convert_to_numpy=True, show_progress_bar=False)
        return np.asarray(features, np.float32)


@functools.lru_cache(maxsize=2)
def _load(name: str, folder: Path, device: str) -> Any:
    from sentence_transformers import SentenceTransformer

    try:
        with quiet():
            return SentenceTransformer(
                str(folder),
                device=device,
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"use_safetensors": has_safetensors(folder), "weights_only": True},
            )
    except Exception as error:  # of the library, of torch, or of the file system
        raise unloadable(name, error) from error
