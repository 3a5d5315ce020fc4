"""Static token embeddings of WordLlama: small, quick, no torch."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llmrouter.encoders.base import Encoder, Floats
from llmrouter.encoders.pretrained import require, well_formed
from llmrouter.errors import LLMRouterError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

EXTRA = "llmrouter-core[wordllama]"
# How many tokens' embeddings are held at a time; bounds the memory that a long text takes.
_BLOCK = 1 << 14
# Texts with these are cut there before they are spelled.
_MARKS = ("<unk>", "<s>", "</s>")


class WordLlamaEncoder(Encoder):
    """Mean of the embeddings of a text's tokens, as ``WordLlama.load().embed`` gives it.

    The weights (``l2_supercat``, 256 dimensions, trained from the token embeddings of large language models)
    and the tokenizer come inside the package ``wordllama``; nothing is downloaded and its code is not run.
    Texts are not truncated, special tokens not added, vectors not normalised. A text without tokens is all 0.

    Source: https://github.com/dleemiller/WordLlama

    Raises:
        LLMRouterError: An argument was given, or the installed package lacks the files.
        MissingExtraError: The extra is not installed.
    """

    name = "wordllama"
    dim = 256

    def __init__(self, argument: str | None = None) -> None:
        super().__init__(argument)
        if argument is not None:
            raise LLMRouterError(f"Encoder wordllama takes no argument, found {argument!r}")
        require("Encoder wordllama", EXTRA, "wordllama", "tokenizers", "safetensors")
        self.version = _model()[2]

    def encode(self, texts: Sequence[str]) -> Floats:
        """Return the mean embeddings of texts: float32 of shape (n, 256)."""
        table, tokenizer, _ = _model()
        features = np.zeros((len(texts), table.shape[1]), np.float32)
        held = np.empty((_BLOCK, table.shape[1]), np.float32)
        for row, encoding in zip(features, _tokenize(tokenizer, well_formed(texts)), strict=True):
            tokens = encoding.ids
            for start in range(0, len(tokens), _BLOCK):
                block = tokens[start : start + _BLOCK]
                # With "clip", which changes no token, take writes straight into the memory that is there.
                row += table.take(block, axis=0, out=held[: len(block)], mode="clip").sum(axis=0)
            row /= max(len(tokens), 1)
        return features


def _tokenize(tokenizer: Tokenizer, texts: list[str]) -> Sequence[Any]:
    if not any(mark in text for text in texts for mark in _MARKS):
        from tokenizers import Tokenizer

        # Its own spelling, which keeps where each character came from, takes a quarter of all its time.
        tokenizer, texts = Tokenizer(tokenizer.model), [_spelled(text) for text in texts]
    if len(texts) == 1:
        # Without the threads of a batch, after which a fork would be warned about.
        return [tokenizer.encode(texts[0], add_special_tokens=False)]
    return tokenizer.encode_batch_fast(texts, add_special_tokens=False)


def _spelled(text: str) -> str:
    """Return a text as the tokenizer's model takes it."""
    return "▁" + text.replace(" ", "▁") if text else ""


@functools.cache
def _model() -> tuple[Floats, Tokenizer, str]:
    """Return the embeddings, (vocabulary, 256), the tokenizer, and what tells these weights from others."""
    from safetensors.numpy import load
    from tokenizers import Tokenizer

    # By the file names, for wordllama's own loader looks for the tokenizer in another folder and then
    # goes to the network.
    weights = _folder() / "weights" / "l2_supercat_256.safetensors"
    vocabulary = _folder() / "tokenizers" / "l2_supercat_tokenizer_config.json"
    try:
        content = weights.read_bytes()
        table = load(content)["embedding.weight"].astype(np.float32)
        tokenizer = Tokenizer.from_str(vocabulary.read_text("utf-8"))
        marks = tuple(token.content for token in tokenizer.get_added_tokens_decoder().values())
        if marks != _MARKS or tokenizer.normalizer.normalize_str("a  b ") != _spelled("a  b "):
            raise ValueError("its tokenizer is another one")
        if len(table) < tokenizer.get_vocab_size():
            raise ValueError("tokens lack embeddings")
    except Exception as error:  # each of these libraries raises its own errors for a damaged file
        raise LLMRouterError(
            f"The installed package wordllama does not hold the weights that this encoder reads: {error}; "
            f"run: pip install --force-reinstall '{EXTRA}'"
        ) from error
    return table, tokenizer, f"1-{hashlib.sha256(content).hexdigest()[:16]}"


def _folder() -> Path:
    spec = importlib.util.find_spec("wordllama")
    if spec is None or not spec.submodule_search_locations:
        raise LLMRouterError("what is installed as wordllama is not the package of that name")
    return Path(next(iter(spec.submodule_search_locations)))
