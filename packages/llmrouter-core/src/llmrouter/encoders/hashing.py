"""Hashed n-grams of words and characters, weighted by TF-IDF: no files, numpy only.

Feature hashing after Weinberger et al. (2009). Texts are encoded many at a time: the hashes of a word's
tokens are looked up, those of longer n-grams are computed for all texts at once, and sorting counts them.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmrouter.encoders.base import Encoder, Floats, SparseBatch

BITS = 16
BLOCKS = 2
WORD_NGRAMS = (1, 2)
CHARACTER_NGRAMS = (3, 5)
LENGTH = BLOCKS << BITS
LENGTH_WEIGHT = 0.1

# Texts encoded together: 8 bits for the text, 1 for the block and 16 for the feature fit keys of 32 bits.
AT_ONCE = 128
_KEY = np.uint32(BITS + 1)
_FEATURE = np.uint32((BLOCKS << BITS) - 1)

_TOKEN = re.compile(r"\w+|[^\w\s]")
_REMEMBERED = 200_000
_LONGEST_REMEMBERED = 64
_ROLL = np.uint32(0x01000193)
_SUBLINEAR = (1 + np.log(np.maximum(np.arange(4096), 1))).astype(np.float32)

Keys = NDArray[np.uint32]


class _Codes(dict[str, bytes]):
    """What stands between white space, to the 32-bit hashes of its tokens as bytes, quick to join."""

    def __missing__(self, piece: str) -> bytes:
        hashes = [zlib.crc32(_bytes(token)) for token in _TOKEN.findall(piece)]
        codes = np.array(hashes, dtype=np.uint32).tobytes()
        if len(piece) <= _LONGEST_REMEMBERED:
            if len(self) >= _REMEMBERED:
                self.clear()
            self[piece] = codes
        return codes


class HashingEncoder(Encoder):
    """Words (1- and 2-grams) and characters (3- and 5-grams), hashed into 2^16 features each, and a length.

    The value of an n-gram is (1 + ln count) · idf; a text's words together have length 1 / sqrt(2), and so
    have its characters. The last feature is the logarithm of the number of characters, standardised.
    Fitting learns the document frequencies and how long texts are; without it every idf is 1 and the last
    feature 0.
    """

    name = "hashing"
    dim = LENGTH + 1

    def __init__(self, argument: str | None = None) -> None:
        super().__init__(argument)
        self._codes_of = _Codes().__getitem__
        self._idf: Floats = np.ones(LENGTH, dtype=np.float32)
        self._length = (0.0, 0.0)

    def fit(self, texts: Sequence[str]) -> None:
        """Learn how many of the texts each feature occurs in, and how long they are."""
        found = np.zeros(LENGTH, dtype=np.int64)
        for features, _, _ in self._counted(texts):
            found += np.bincount(features, minlength=LENGTH)
        self._idf = (np.log((1 + len(texts)) / (1 + found)) + 1).astype(np.float32)
        lengths = _log_lengths(texts)
        deviation = float(lengths.std()) if len(texts) else 0.0
        self._length = (float(lengths.mean()), 1 / deviation) if deviation > 0 else (0.0, 0.0)

    def encode(self, texts: Sequence[str]) -> SparseBatch:
        """Return the features of texts: those of its n-grams in order, then the length."""
        indices: list[NDArray[np.int64]] = []
        values: list[Floats] = []
        starts: list[NDArray[np.int64]] = []
        offset = 0
        mean, scale = self._length
        standardised = np.clip((_log_lengths(texts) - mean) * scale, -3, 3) * LENGTH_WEIGHT
        for number, (features, counts, edges) in enumerate(self._counted(texts)):
            weights = _SUBLINEAR.take(counts, mode="clip") * self._idf.take(features)
            _normalise(weights, edges)
            # Behind the n-grams of each text stands its length.
            places = edges[BLOCKS::BLOCKS] + np.arange(len(edges) // BLOCKS)
            is_ngram = np.ones(len(features) + len(places), dtype=bool)
            is_ngram[places] = False
            index = np.full(len(is_ngram), LENGTH)
            index[is_ngram] = features
            value = np.empty(len(is_ngram), dtype=np.float32)
            value[is_ngram] = weights
            value[places] = standardised[number * AT_ONCE : (number + 1) * AT_ONCE]
            indices.append(index)
            values.append(value)
            starts.append(edges[:-1:BLOCKS] + np.arange(len(places)) + offset)
            offset += len(indices[-1])
        if not indices:
            return SparseBatch(np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.int64))
        return SparseBatch(np.concatenate(indices), np.concatenate(values), np.concatenate(starts))

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return the inverse document frequencies, and mean and scale of the length."""
        return {"idf": self._idf}, {"length": list(self._length)}

    def restore(self, arrays: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]) -> None:
        """Take over what `state` returned.

        Raises:
            ValueError: It is of another size.
        """
        idf = np.asarray(arrays["idf"], dtype=np.float32)
        if idf.shape != (LENGTH,):
            raise ValueError(f"the encoder's state has shape {idf.shape}, not ({LENGTH},)")
        mean, scale = settings["length"]
        self._idf, self._length = idf, (float(mean), float(scale))

    def _counted(
        self, texts: Sequence[str]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
        """Yield features, their counts, and where each block of each text begins (and the last ends)."""
        for start in range(0, len(texts), AT_ONCE):
            pieces = [text.lower().split() for text in texts[start : start + AT_ONCE]]
            words = [b"".join(map(self._codes_of, found)) for found in pieces]
            letters = [_bytes(f" {' '.join(found)} ") for found in pieces]
            codes = np.frombuffer(b"".join(words), np.uint32)
            characters = np.frombuffer(b"".join(letters), np.uint8)
            keys = np.concatenate(
                [
                    np.empty(0, dtype=np.uint32),
                    *_ngrams(codes, [len(found) // 4 for found in words], WORD_NGRAMS, 0),
                    *_ngrams(characters, [len(found) for found in letters], CHARACTER_NGRAMS, 1),
                ]
            )
            keys.sort()
            first = np.flatnonzero(np.concatenate([keys[:1] == keys[:1], keys[1:] != keys[:-1]]))
            counts = np.diff(first, append=len(keys))
            keys = keys[first]
            borders = np.arange(BLOCKS * len(pieces) + 1, dtype=np.uint32) << np.uint32(BITS)
            yield (keys & _FEATURE).astype(np.int64), counts, np.searchsorted(keys, borders)


def _ngrams(parts: NDArray[Any], lengths: list[int], sizes: tuple[int, ...], block: int) -> Iterator[Keys]:
    """Yield the keys of the n-grams of one size after the other: text, block and feature in one number."""
    parts = parts.astype(np.uint32)
    rows = np.repeat(np.arange(len(lengths), dtype=np.uint32) << _KEY, lengths)
    rolling = parts
    for size in range(1, max(sizes) + 1):
        if size > 1:
            rolling = rolling[:-1] * _ROLL + parts[size - 1 :]
        if len(rolling) == 0:
            return
        if size in sizes:
            keys = _mixed(rolling, size) | rows[: len(rolling)] | np.uint32(block << BITS)
            # Those that reach from one text into the next are none.
            yield keys if size == 1 else keys[rows[: len(rolling)] == rows[size - 1 :]]


def _mixed(codes: Keys, size: int) -> Keys:
    """Spread codes over the features of a block, by the finaliser of MurmurHash3."""
    mixed: Keys = codes + np.uint32(size * 0x9E3779B9 % 2**32)
    mixed ^= mixed >> np.uint32(16)
    mixed *= np.uint32(0x85EBCA6B)
    mixed ^= mixed >> np.uint32(13)
    mixed *= np.uint32(0xC2B2AE35)
    mixed >>= np.uint32(32 - BITS)
    return mixed


def _normalise(weights: Floats, edges: NDArray[np.int64]) -> None:
    """Scale each block, in place, so that its squares add up to one half."""
    lengths = np.diff(edges)
    filled = lengths > 0
    squares = np.add.reduceat(weights * weights, edges[:-1][filled]) if filled.any() else np.empty(0)
    weights *= np.repeat((1 / np.sqrt(BLOCKS * squares)).astype(np.float32), lengths[filled])


def _log_lengths(texts: Sequence[str]) -> NDArray[np.float64]:
    return np.log1p([len(text) for text in texts])


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")
