"""Mean-pooled hidden states of Longformer, which reads texts of up to 4,096 tokens."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

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

if TYPE_CHECKING:
    import torch

DEFAULT_MODEL = "allenai/longformer-base-4096"
VARIABLE = "LLMROUTER_LONGFORMER"
EXTRA = "llmrouter-core[longformer]"

# The model takes memory in proportion to the tokens of a batch.
_BATCH_TEXTS = 16
_BATCH_TOKENS = 8192

# So that a model is loaded once, for tokenizers, which fail when two threads use one, and for the attention
# window. Here and not in the encoder, which could then be neither copied nor pickled.
_lock = threading.RLock()


class LongformerEncoder(PretrainedEncoder):
    """Mean of the last hidden states over a text's tokens, special tokens included, padding not.

    Texts are truncated to what the model takes. The model is loaded when first used, once per process.

    Source: Beltagy, Peters, Cohan, "Longformer: The Long-Document Transformer", arXiv 2004.05150.

    Args:
        argument: A folder or the name of a model on the Hugging Face hub; by default the environment
            variable ``LLMROUTER_LONGFORMER``, else ``allenai/longformer-base-4096``.
        device: Where torch computes.

    Raises:
        MissingExtraError: The extra is not installed.
    """

    name = "longformer"

    def __init__(self, argument: str | None = None, device: str = "cpu") -> None:
        require("Encoder longformer", EXTRA, "torch", "transformers")
        super().__init__(argument, _chosen(argument), device)

    def encode(self, texts: Sequence[str]) -> Floats:
        """Return the mean hidden states of texts: float32 of shape (n, dim); dim is 768 by default.

        Raises:
            LLMRouterError: The model cannot be found, downloaded or loaded.
        """
        features: Floats = embed(texts, self.model_name, self.device).numpy()
        self.dim = features.shape[1]
        return features


def embed(texts: Sequence[str], model_name: str | None = None, device: str = "cpu") -> torch.Tensor:
    """Return the mean hidden states of texts: a float32 tensor of shape (n, dim), on the CPU.

    Args:
        texts: Any number of texts.
        model_name: As the argument of `LongformerEncoder`.
        device: Where torch computes.

    Raises:
        LLMRouterError: The model cannot be found, downloaded or loaded.
        MissingExtraError: The extra is not installed.
    """
    require("Longformer", EXTRA, "torch", "transformers")
    import torch

    name = _chosen(model_name)
    folder = find_model(name)
    with _lock:
        loaded = _load(name, folder, device)
        tokens = _tokenize(loaded, texts)
        features = torch.zeros((len(tokens), loaded.dim))
        for rows in _batches([len(row) for row in tokens]):
            features[rows] = _mean(loaded, [tokens[row] for row in rows], device)
    return features


class _Loaded(NamedTuple):
    """A model and what is needed to use it."""

    model: Any
    tokenizer: Any
    limit: int
    padding: int
    dim: int
    windows: Sequence[int]


def _chosen(name: str | None) -> str:
    return name or os.environ.get(VARIABLE) or DEFAULT_MODEL


def _tokenize(loaded: _Loaded, texts: Sequence[str]) -> list[torch.Tensor]:
    import torch

    if not texts:
        return []
    rows = loaded.tokenizer(well_formed(texts), truncation=True, max_length=loaded.limit)["input_ids"]
    return [torch.tensor(row, dtype=torch.long) for row in rows]


def _mean(loaded: _Loaded, tokens: Sequence[torch.Tensor], device: str) -> torch.Tensor:
    """Return the mean hidden states of texts, each of at least one token: (n, dim)."""
    import torch

    longest = max(map(len, tokens))
    width = longest + -longest % _set_window(loaded, longest)
    ids = torch.full((len(tokens), width), loaded.padding)
    for row, text in enumerate(tokens):
        ids[row, : len(text)] = text
    lengths = torch.tensor([[len(text)] for text in tokens])
    mask = (torch.arange(width) < lengths).to(device)
    with torch.no_grad():
        hidden = loaded.model(input_ids=ids.to(device), attention_mask=mask.long()).last_hidden_state
        total: torch.Tensor = (hidden * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
    return total.float().cpu()


def _set_window(loaded: _Loaded, longest: int) -> int:
    """Make the attention window of a Longformer fit texts; return of what their width must be a multiple.

    A window that reaches from one end of a text to the other gives what any wider one gives. Since texts are
    padded to the window, that of 512 makes a short query several times as slow.
    """
    if not loaded.windows:
        return 1
    windows = list(loaded.windows)
    # At least twice the longest, for a window reaches as far to the left as to the right.
    enough = max(8, 1 << (2 * longest - 1).bit_length())
    if enough < min(windows):
        windows = [enough] * len(windows)
    loaded.model.config.attention_window = windows
    for layer, window in zip(loaded.model.encoder.layer, windows, strict=True):
        layer.attention.self.one_sided_attn_window_size = window // 2
    return max(windows)


def _batches(lengths: Sequence[int]) -> list[list[int]]:
    """Group texts of like length, so that little is padded; those without any token are in none."""
    batches: list[list[int]] = []
    for row in sorted((row for row, length in enumerate(lengths) if length), key=lengths.__getitem__):
        # The texts come by length: this one is the longest of its batch.
        if (
            not batches
            or len(batches[-1]) == _BATCH_TEXTS
            or (len(batches[-1]) + 1) * lengths[row] > _BATCH_TOKENS
        ):
            batches.append([])
        batches[-1].append(row)
    return batches


@functools.lru_cache(maxsize=2)
def _load(name: str, folder: Path, device: str) -> _Loaded:
    import torch
    from transformers import AutoModel, AutoTokenizer

    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            model, report = AutoModel.from_pretrained(
                folder,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=has_safetensors(folder),
                weights_only=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
        # What the files lack was made at random. Many models come without the pooler, which is not used.
        missing = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
        if missing:
            raise ValueError(f"{len(missing)} of its weights are missing, such as {missing[0]}")
        model = model.eval().to(device)
    except Exception as error:  # of the library, of torch, or of the file system
        raise unloadable(name, error) from error
    return _Loaded(
        model,
        tokenizer,
        _limit(model, tokenizer),
        tokenizer.pad_token_id or 0,
        model.config.hidden_size,
        tuple(model.config.attention_window) if model.config.model_type == "longformer" else (),
    )


def _limit(model: Any, tokenizer: Any) -> int:
    """Return the number of tokens that a model takes."""
    positions: int = model.config.max_position_embeddings
    embedding = getattr(getattr(model, "embeddings", None), "position_embeddings", None)
    padding = getattr(embedding, "padding_idx", None)
    if padding is not None:
        # Positions count from the one after that of padding.
        positions -= padding + 1
    return min(positions, int(tokenizer.model_max_length))
