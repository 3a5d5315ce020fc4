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

# Texts encoded together: few enough that their n-grams are sorted in the processor's cache.
AT_ONCE = 32
# A key holds, from its lowest bits, the feature within its block, the block, and the text.
_TEXT = np.uint32(BITS + 2)
_FEATURE = np.uint32((1 << (BITS + 2)) - 1)
# The length stands in a block of its own, so that sorting puts it behind the n-grams of its text.
_BLOCKS = np.arange(BLOCKS + 1, dtype=np.uint32) << np.uint32(BITS)
_TEXTS = np.arange(AT_ONCE, dtype=np.uint32) << _TEXT
_BORDERS = np.add.outer(_TEXTS, _BLOCKS).ravel()

_TOKEN = re.compile(r"\w+|[^\w\s]")
_REMEMBERED = 200_000
_LONGEST_REMEMBERED = 64
_ROLL = np.uint32(0x01000193)
# So that equal hashes of n-grams of different sizes become different features.
_SALTS = [np.uint32(size * 0x9E3779B9 % 2**32) for size in range(CHARACTER_NGRAMS[-1] + 1)]
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
        self._idf: Floats = np.ones(self.dim, dtype=np.float32)  # of the length it is always 1
        self._length = (0.0, 0.0)

    def fit(self, texts: Sequence[str]) -> None:
        """Learn how many of the texts each feature occurs in, and how long they are."""
        found = np.zeros(LENGTH, dtype=np.int64)
        for features, _, _ in self._counted(texts):
            found += np.bincount(features, minlength=self.dim)[:LENGTH]
        self._idf[:LENGTH] = np.log((1 + len(texts)) / (1 + found)) + 1
        lengths = _log_lengths(texts)
        deviation = float(lengths.std()) if len(texts) else 0.0
        self._length = (float(lengths.mean()), 1 / deviation) if deviation > 0 else (0.0, 0.0)

    def encode(self, texts: Sequence[str]) -> SparseBatch:
        """Return the features of texts: those of its n-grams in order, then the length."""
        indices: list[NDArray[np.int64]] = []
        values: list[Floats] = []
        offsets: list[NDArray[np.int64]] = []
        mean, scale = self._length
        standardised = LENGTH_WEIGHT * ((_log_lengths(texts) - mean) * scale).clip(-3, 3)
        done = 0
        for number, (features, counts, edges) in enumerate(self._counted(texts)):
            weights = _SUBLINEAR.take(counts, mode="clip") * self._idf.take(features)
            _normalise(weights, edges)
            weights[edges[BLOCKS :: BLOCKS + 1]] = standardised[number * AT_ONCE : (number + 1) * AT_ONCE]
            indices.append(features)
            values.append(weights)
            offsets.append(edges[:: BLOCKS + 1] + done)
            done += len(features)
        if not indices:
            return SparseBatch(np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.int64))
        if len(indices) == 1:
            return SparseBatch(indices[0], values[0], offsets[0])
        return SparseBatch(np.concatenate(indices), np.concatenate(values), np.concatenate(offsets))

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return the inverse document frequencies, and mean and scale of the length."""
        return {"idf": self._idf[:LENGTH]}, {"length": list(self._length)}

    def restore(self, arrays: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]) -> None:
        """Take over what `state` returned.

        Raises:
            ValueError: It is of another size.
        """
        idf = np.asarray(arrays["idf"], dtype=np.float32)
        if idf.shape != (LENGTH,):
            raise ValueError(f"the encoder's state has shape {idf.shape}, not ({LENGTH},)")
        mean, scale = settings["length"]
        self._idf[:LENGTH] = idf
        self._length = (float(mean), float(scale))

    def _counted(
        self, texts: Sequence[str]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
        """Yield features, their counts, and where each block of each text begins.

        The last block of a text is its length alone.
        """
        for start in range(0, len(texts), AT_ONCE):
            pieces = [text.lower().split() for text in texts[start : start + AT_ONCE]]
            words = [b"".join(map(self._codes_of, found)) for found in pieces]
            letters = [_bytes(f" {' '.join(found)} ") for found in pieces]
            keys = _keys(
                (np.frombuffer(b"".join(words), np.uint32), [len(found) // 4 for found in words]),
                (np.frombuffer(b"".join(letters), np.uint8), [len(found) for found in letters]),
            )
            keys.sort()
            is_last = np.empty(len(keys), dtype=bool)
            is_last[-1] = True
            np.not_equal(keys[1:], keys[:-1], out=is_last[:-1])
            (last,) = is_last.nonzero()
            keys = keys[last]
            counts = last + 1
            counts[1:] -= counts[:-1].copy()
            edges = keys.searchsorted(_BORDERS[: (BLOCKS + 1) * len(pieces)])
            yield (keys & _FEATURE).astype(np.int64), counts, edges


def _keys(*blocks: tuple[NDArray[Any], list[int]]) -> Keys:
    """Return the keys of all n-grams of some texts, and of the texts' lengths, in no order.

    Args:
        blocks: Words and characters: those of all texts one after the other, and how many are each text's.
    """
    texts = _TEXTS[: len(blocks[0][1])]
    lengths_only: Keys = texts | _BLOCKS[-1]
    hashes: list[Keys] = []
    places: list[Keys] = []
    for block, sizes, (parts, lengths) in zip(_BLOCKS, (WORD_NGRAMS, CHARACTER_NGRAMS), blocks, strict=False):
        parts = rolling = parts.astype(np.uint32)
        place = (texts | block).repeat(lengths)
        for size in range(1, min(sizes[-1], len(parts)) + 1):
            if size > 1:
                rolling = rolling[:-1] * _ROLL
                rolling += parts[size - 1 :]
            if size in sizes:
                hashes.append(rolling + _SALTS[size])
                places.append(place[: len(rolling)])
                if len(texts) > 1:
                    # Those that reach from one text into the next are none.
                    whole = places[-1] == place[size - 1 :]
                    hashes[-1], places[-1] = hashes[-1][whole], places[-1][whole]
    if not hashes:
        return lengths_only
    keys = _mixed(np.concatenate(hashes))
    keys |= np.concatenate(places)
    return np.concatenate([keys, lengths_only])


def _mixed(codes: Keys) -> Keys:
    """Spread codes over the features of a block, in place, by the finaliser of MurmurHash3."""
    codes ^= codes >> np.uint32(16)
    codes *= np.uint32(0x85EBCA6B)
    codes ^= codes >> np.uint32(13)
    codes *= np.uint32(0xC2B2AE35)
    codes >>= np.uint32(32 - BITS)
    return codes


def _normalise(weights: Floats, edges: NDArray[np.int64]) -> None:
    """Scale each block, in place, so that its squares add up to one half."""
    # Of an empty block this is the square of what comes next, and scales nothing.
    squares = np.add.reduceat(weights * weights, edges)
    scales = (1 / np.sqrt(BLOCKS * squares)).astype(np.float32)
    weights *= scales.repeat(np.diff(edges, append=len(weights)))


def _log_lengths(texts: Sequence[str]) -> NDArray[np.float64]:
    return np.log1p([len(text) for text in texts])


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")
