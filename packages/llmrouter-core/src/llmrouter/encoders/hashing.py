"""Hashed n-grams of words and characters, weighted by TF-IDF: no files, numpy only.

Feature hashing after Weinberger et al. (2009). Texts are encoded many at a time: the hashes of a word's
tokens are looked up, those of n-grams are computed for all texts at once, and sorting counts them.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmrouter.encoders.base import Encoder, Floats, SparseBatch

BITS = 16
BLOCKS = 2
# Of words, and of characters.
NGRAMS = ((1, 2), (3, 5))
LENGTH = BLOCKS << BITS
LENGTH_WEIGHT = 0.1

# Texts encoded together: few enough that all of it stays in the processor's cache.
AT_ONCE = 16
# The length stands in a block of its own, behind the n-grams of its text.
_LENGTH_KEY = np.array([LENGTH], dtype=np.uint32)

_TOKEN = re.compile(r"\w+|[^\w\s]")
_REMEMBERED = 200_000
_LONGEST_REMEMBERED = 64
_ROLL = np.uint32(0x01000193)
# So that equal hashes of n-grams of different sizes become different features.
_SALT = 0x9E3779B9
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
            keys, starts = _keys(
                (np.frombuffer(b"".join(words), np.uint32), [len(found) // 4 for found in words]),
                (np.frombuffer(b"".join(letters), np.uint8), [len(found) for found in letters]),
            )
            is_last = np.empty(len(keys), dtype=bool)
            np.not_equal(keys[1:], keys[:-1], out=is_last[:-1])
            is_last[starts[BLOCKS :: BLOCKS + 1]] = True  # of a text, which the next may begin with
            (last,) = is_last.nonzero()
            counts = last + 1
            counts[1:] -= counts[:-1].copy()
            yield keys[last].astype(np.int64), counts, last.searchsorted(starts)


def _keys(*blocks: tuple[NDArray[Any], list[int]]) -> tuple[Keys, list[int]]:
    """Return the features of all n-grams, text by text, sorted, each as often as it occurs, then the length.

    Args:
        blocks: Words and characters: those of all texts one after the other, and how many are each text's.

    Returns:
        The features, and where each block of each text begins, the length being the last block.
    """
    hashes = [
        hashed for (parts, _), sizes in zip(blocks, NGRAMS, strict=True) for hashed in _hashes(parts, sizes)
    ]
    keys = np.concatenate(hashes)
    _mix(keys)
    keys[len(hashes[0]) + len(hashes[1]) :] |= np.uint32(1 << BITS)
    # Where the n-grams of each size begin that are of the text at hand.
    places = [0, *accumulate(map(len, hashes[:-1]))]
    pieces: list[Keys] = []
    starts: list[int] = []
    end = 0
    for lengths in zip(*(lengths for _, lengths in blocks), strict=True):
        number = 0
        for length, sizes in zip(lengths, NGRAMS, strict=True):
            starts.append(end)
            for size in sizes:
                place = places[number]
                # Those that reach from one text into the next are none.
                count = max(length - size + 1, 0)
                pieces.append(keys[place : place + count])
                places[number] += length
                number += 1
                end += count
        starts.append(end)
        pieces.append(_LENGTH_KEY)
        end += 1
    keys = np.concatenate(pieces)
    for first, behind in pairwise([*starts[:: BLOCKS + 1], end]):
        keys[first:behind].sort()  # a text at a time, which takes a third of the time of all at once
    return keys, starts


def _hashes(parts: NDArray[Any], sizes: tuple[int, ...]) -> Iterator[Keys]:
    """Yield the hashes of the n-grams of each size, one for each part that n - 1 others follow."""
    parts = rolling = parts.astype(np.uint32)
    for size in range(1, sizes[-1] + 1):
        if size > 1:
            rolling = rolling[:-1] * _ROLL
            rolling += parts[size - 1 :]
        if size in sizes:
            yield rolling + np.uint32(size * _SALT % 2**32)


def _mix(codes: Keys) -> None:
    """Spread codes over the features of a block, in place, by the finaliser of MurmurHash3."""
    codes ^= codes >> np.uint32(16)
    codes *= np.uint32(0x85EBCA6B)
    codes ^= codes >> np.uint32(13)
    codes *= np.uint32(0xC2B2AE35)
    codes >>= np.uint32(32 - BITS)


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
