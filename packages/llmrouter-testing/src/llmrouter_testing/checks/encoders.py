"""Checks of encoders."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from llmrouter_testing import samples
from llmrouter_testing.checks.common import checked_random_state, duration, from_threads, median_seconds
from llmrouter_testing.child import in_child
from llmrouter_testing.comparing import same
from llmrouter_testing.report import Checks, fail
from llmrouter_testing.subjects.named import EncoderSubject, make_encoder

encoder_checks: Checks[EncoderSubject] = Checks()

Row = dict[int, float]


def _rows(features: Any) -> list[Row]:
    """Return each text's features that are not 0, by number."""
    if isinstance(features, tuple):  # sparse
        indices, values, offsets = (array.tolist() for array in features)
        ends = [*offsets, len(indices)][1:]
        return [
            {i: v for i, v in zip(indices[start:end], values[start:end], strict=True) if v}
            for start, end in zip(offsets, ends, strict=True)
        ]
    return [{number: value for number, value in enumerate(row) if value} for row in features.tolist()]


def _valid(features: Any, count: int, dim: int | None) -> list[Row]:
    """Check what an encoder returned for so many texts; returns its rows."""
    from llmrouter.encoders.base import SparseBatch

    kinds = ("int64", "float32", "int64") if isinstance(features, SparseBatch) else ("float32",)
    arrays = features if isinstance(features, SparseBatch) else (features,)
    for array, kind in zip(arrays, kinds, strict=True):
        if str(getattr(array, "dtype", None)) != kind:
            fail(f"it returned {getattr(array, 'dtype', type(array).__name__)} where {kind} is expected")
    if not isinstance(features, SparseBatch):
        if features.ndim != 2 or len(features) != count or dim not in (None, features.shape[1]):
            fail(f"it returned shape {features.shape} for {count} texts and dim {dim}")
    elif len(features.offsets) != count:
        fail(f"it returned {len(features.offsets)} rows for {count} texts")
    rows = _rows(features)
    for row in rows:
        if any(not math.isfinite(value) for value in row.values()):
            fail("it returned a feature that is no finite number")
        if dim is not None and any(not 0 <= number < dim for number in row):
            fail(f"it returned a feature whose number is not from 0 to {dim - 1}")
    return rows


def _encoded(subject: EncoderSubject, texts: Sequence[str]) -> list[Row]:
    encoder = subject.make()
    features = encoder.encode(texts)
    return _valid(features, len(texts), encoder.dim)


@encoder_checks
def features_contract(subject: EncoderSubject) -> None:
    """Features are float32 of shape (n, dim), or a SparseBatch of n rows, and finite.

    'dim' is what the encoder and its declaration say; no texts give no rows.
    """
    encoder = subject.make()
    _valid(encoder.encode(subject.texts), len(subject.texts), encoder.dim)
    _valid(encoder.encode([]), 0, encoder.dim)
    declared = subject.spec.dim if subject.spec else None
    if declared is not None and encoder.dim not in (None, declared):
        fail(f"it is declared with dim {declared}, and its dim is {encoder.dim}")
    if not isinstance(getattr(encoder, "name", None), str):
        fail("its name, as users choose it, is no text")


@encoder_checks
def single_and_batch_agree(subject: EncoderSubject) -> None:
    """A text has the same features alone and among others.

    Training encodes many texts at once, routing often one.
    """
    encoder = subject.make()
    together = _rows(encoder.encode(subject.texts))
    for number, text in enumerate(subject.texts):
        if not same([together[number]], _rows(encoder.encode([text]))):
            fail(f"text {number} has other features alone than among others")


@encoder_checks
def deterministic(subject: EncoderSubject) -> None:
    """A text has the same features in every process.

    What was learned from features is of use only where they stay. Beware of hash(), which differs.
    """
    expected = _encoded(subject, subject.texts)
    elsewhere = in_child("make_and_call", make_encoder, subject.options, "encode", subject.texts)
    if not same(expected, _rows(elsewhere.value)):
        fail("in another process the same texts have other features")


@encoder_checks
def unusual_texts(subject: EncoderSubject) -> None:
    """Texts that are empty, huge, or in any script have features.

    Users write what they like.
    """
    for texts in (samples.EMPTY, samples.NON_LATIN, [samples.HUGE]):
        _encoded(subject, texts)


@encoder_checks
def state_round_trip(subject: EncoderSubject) -> None:
    """What state() returns, restore() takes over in place of fit(): the features are the same.

    A router's checkpoint holds its encoder. The settings can be written as JSON.
    """
    import json

    arrays, settings = subject.make().state()
    restored = subject.make(fitted=False)
    restored.restore(arrays, json.loads(json.dumps(settings)))
    if not same(_encoded(subject, subject.texts), _rows(restored.encode(subject.texts))):
        fail("an encoder that restored the state of another gives other features")


@encoder_checks
def own_random_state(subject: EncoderSubject) -> None:
    """The encoder draws random numbers from a generator of its own, and leaves those of others alone."""
    checked_random_state(lambda: _encoded(subject, subject.texts))


@encoder_checks
def thread_safe(subject: EncoderSubject) -> None:
    """Several threads may encode with one encoder at once."""
    encoder = subject.make()
    expected = _rows(encoder.encode(subject.texts))
    for rows in from_threads(lambda text: _rows(encoder.encode([text]))[0], subject.texts):
        if not same(expected, rows):
            fail("among threads texts have other features")


@encoder_checks
def changes_no_input(subject: EncoderSubject) -> None:
    """Encoding and fitting leave the list of texts as it is."""
    texts = list(subject.texts)
    encoder = subject.make(fitted=False)
    encoder.fit(texts)
    encoder.encode(texts)
    if texts != subject.texts:
        fail("it changes the list of texts that it is given")


@encoder_checks
def time_per_text(subject: EncoderSubject) -> str:
    """A text is encoded within a second, or what the suite was told; the time is reported."""
    encoder = subject.make()
    alone = median_seconds(lambda text: encoder.encode([text]), subject.texts)
    together = median_seconds(encoder.encode, [subject.texts] * 3) / len(subject.texts)
    if alone > subject.seconds_per_text:
        fail(f"a text takes {duration(alone)}, more than {duration(subject.seconds_per_text)}")
    return f"{duration(alone)} a text alone, {duration(together)} among {len(subject.texts)}"
