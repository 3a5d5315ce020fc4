"""Encoders with one fault each, named after it; numpy is imported with them."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from llmrouter.encoders.base import Encoder
from tests.testing.broken import letters


class Letters(Encoder):
    """Without a fault."""

    name = "letters"
    dim = 26
    scale = 1.0

    def fit(self, texts: Sequence[str]) -> None:
        self.scale = 1 / max(len(text) for text in texts)

    def encode(self, texts: Sequence[str]) -> Any:
        return letters(texts) * np.float32(self.scale)

    def state(self) -> Any:
        return {}, {"scale": self.scale}

    def restore(self, arrays: Any, settings: Any) -> None:
        self.scale = settings["scale"]


class OneText(Letters):
    def encode(self) -> Any:  # type: ignore[override]
        return super().encode([""])


class Doubles(Letters):
    def encode(self, texts: Sequence[str]) -> Any:
        return super().encode(texts).astype(np.float64)


class TooWide(Letters):
    dim = 20


class Normalises(Letters):
    def encode(self, texts: Sequence[str]) -> Any:
        features = super().encode(texts)
        return features - features.mean() if len(texts) else features


class Hashes(Letters):
    def encode(self, texts: Sequence[str]) -> Any:
        values = [[hash(text) % 1000] * 26 for text in texts]
        return np.array(values, np.float32).reshape(len(texts), 26)


class EmptyIsNaN(Letters):
    def encode(self, texts: Sequence[str]) -> Any:
        lengths = np.array([[len(text.strip())] for text in texts], np.float32).reshape(len(texts), 1)
        with np.errstate(invalid="ignore"):
            return super().encode(texts) / lengths


class Forgets(Letters):
    def restore(self, arrays: Any, settings: Any) -> None:
        return


class Draws(Letters):
    def encode(self, texts: Sequence[str]) -> Any:
        random.random()
        return super().encode(texts)


class NotThreadSafe(Letters):
    texts: Sequence[str] = ()

    def encode(self, texts: Sequence[str]) -> Any:
        self.texts = texts
        time.sleep(0.0001)
        return super().encode(self.texts)


class Sorts(Letters):
    def fit(self, texts: Sequence[str]) -> None:
        if isinstance(texts, list):
            texts.sort(key=len)
        super().fit(texts)


class Slow(Letters):
    def encode(self, texts: Sequence[str]) -> Any:
        time.sleep(0.002)
        return super().encode(texts)
