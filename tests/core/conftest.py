"""What tests of the core share: tiny models, made here, for there is no network."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

# Before huggingface_hub is imported, which reads it once.
os.environ["HF_HUB_OFFLINE"] = "1"

WINDOW = 16
POSITIONS = 96


@pytest.fixture(scope="session")
def tiny_longformer(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Write a Longformer with random weights, and a byte-level tokenizer. Returns its folder."""
    import torch

    # A second thread slows models this small down, more so where other processes compute too.
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("models") / "tiny-longformer"
    write_longformer(folder)
    return str(folder)


@pytest.fixture
def make_longformer() -> Callable[..., Path]:
    """Write such a model to a folder, with the seed of its weights."""
    return write_longformer


def write_longformer(folder: Path, seed: int = 0, hidden_size: int = 16) -> Path:
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import LongformerConfig, LongformerModel, PreTrainedTokenizerFast

    special = ["<s>", "<pad>", "</s>", "<unk>"]
    words = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE({word: number for number, word in enumerate(words)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=10**30,
    ).save_pretrained(folder)
    torch.manual_seed(seed)
    config = LongformerConfig(
        vocab_size=len(words),
        hidden_size=hidden_size,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=POSITIONS + 2,
        attention_window=[WINDOW, WINDOW],
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
        initializer_range=0.5,
    )
    LongformerModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder
