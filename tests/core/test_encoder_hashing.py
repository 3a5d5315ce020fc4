"""The hashing encoder gives each text the same features, alone or in a batch, today and tomorrow."""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmrouter.encoders.base import SparseBatch
from llmrouter.encoders.hashing import BITS, LENGTH, HashingEncoder

ENCODER = HashingEncoder()
WORDS = 1 << BITS  # features below are of words, the others of characters

TEXTS = [
    "What is the capital of France?",
    "",
    "prove that there are infinitely many primes",
    " \t\n ",
    "?!…",
    "証明してください",
    "Докажите теорему 😀 مرحبا",
    "broken \ud800 surrogate \udfff",
    "a",
    "İstanbul ﬃ ǅ",
]

DIGEST = """
import hashlib
from llmrouter.encoders.hashing import HashingEncoder
encoded = HashingEncoder().encode(["one two three", "", "prove \\ud800 x²"])
print(hashlib.sha256(b"".join(part.tobytes() for part in encoded)).hexdigest())
"""

any_text = st.text(st.characters(exclude_categories=()), max_size=40)


def rows_of(encoded: SparseBatch) -> list[dict[int, float]]:
    ends = [*encoded.offsets.tolist(), len(encoded.indices)]
    return [
        dict(
            zip(
                encoded.indices[start:end].tolist(),
                encoded.values[start:end].tolist(),
                strict=True,
            )
        )
        for start, end in pairwise(ends)
    ]


def encoded_alone(text: str, encoder: HashingEncoder = ENCODER) -> dict[int, float]:
    return rows_of(encoder.encode([text]))[0]


def words_of(row: dict[int, float]) -> dict[int, float]:
    return {feature: value for feature, value in row.items() if feature < WORDS}


def letters_of(row: dict[int, float]) -> dict[int, float]:
    return {feature: value for feature, value in row.items() if WORDS <= feature < LENGTH}


def length_of(row: dict[int, float]) -> float:
    return math.sqrt(sum(value**2 for value in row.values()))


def check_contract(encoded: SparseBatch, count: int) -> None:
    assert encoded.indices.dtype == np.int64
    assert encoded.values.dtype == np.float32
    assert encoded.offsets.dtype == np.int64
    assert encoded.offsets.shape == (count,)
    assert encoded.indices.shape == encoded.values.shape
    assert encoded.indices.ndim == 1
    assert np.isfinite(encoded.values).all()
    ends = [*encoded.offsets.tolist(), len(encoded.indices)]
    assert ends == sorted(ends)
    if count:
        assert ends[0] == 0
    for start, end in pairwise(ends):
        row = encoded.indices[start:end]
        assert (np.diff(row) > 0).all()
        assert ((row >= 0) & (row < ENCODER.dim)).all()


def test_gives_a_sparse_batch_with_sorted_rows() -> None:
    encoded = ENCODER.encode(TEXTS)
    assert isinstance(encoded, SparseBatch)
    check_contract(encoded, len(TEXTS))


@given(st.lists(any_text, max_size=6))
@settings(deadline=None)
def test_any_texts_give_a_sparse_batch(texts: list[str]) -> None:
    check_contract(ENCODER.encode(texts), len(texts))


@given(st.lists(any_text, min_size=1, max_size=6))
@settings(deadline=None)
def test_a_batch_gives_each_text_what_it_gets_alone(texts: list[str]) -> None:
    assert rows_of(ENCODER.encode(texts)) == [encoded_alone(text) for text in texts]


def test_the_order_of_a_batch_does_not_matter() -> None:
    assert rows_of(ENCODER.encode(TEXTS[::-1])) == rows_of(ENCODER.encode(TEXTS))[::-1]


def test_the_same_text_twice_gets_the_same_features() -> None:
    first, _, again = rows_of(ENCODER.encode(["one two", "three", "one two"]))
    assert first == again


@pytest.mark.parametrize("text", ["one two three", "x", "証明してください", "broken \ud800", "a " * 50])
def test_words_and_letters_have_equal_length_and_the_text_length_1(text: str) -> None:
    row = encoded_alone(text)
    assert length_of(row) == pytest.approx(1, abs=1e-5)
    assert length_of(words_of(row)) == pytest.approx(math.sqrt(0.5), abs=1e-5)
    assert length_of(letters_of(row)) == pytest.approx(math.sqrt(0.5), abs=1e-5)


def test_no_texts_give_an_empty_batch() -> None:
    check_contract(ENCODER.encode([]), 0)


def test_only_empty_texts() -> None:
    check_contract(ENCODER.encode(["", ""]), 2)


@pytest.mark.parametrize("text", ["", " ", " \n\t "])
def test_a_text_without_words_has_none(text: str) -> None:
    row = encoded_alone(text)
    assert not words_of(row)
    assert length_of(row) <= 1


def test_an_empty_text_between_others_takes_nothing_from_them() -> None:
    first, empty, last = rows_of(ENCODER.encode(["alpha beta", "", "gamma"]))
    assert (first, last) == (encoded_alone("alpha beta"), encoded_alone("gamma"))
    assert empty == encoded_alone("")


def test_punctuation_counts_as_words() -> None:
    assert words_of(encoded_alone("?!"))
    assert encoded_alone("?!") != encoded_alone("!?")


def test_capitals_and_the_width_of_spaces_do_not_matter() -> None:
    assert encoded_alone("Prove  THIS\nnow") == encoded_alone("prove this now")


def test_a_huge_text() -> None:
    text = " ".join(f"word{number}" for number in range(100_000))
    encoded = ENCODER.encode([text, "short"])
    check_contract(encoded, 2)
    assert rows_of(encoded)[1] == encoded_alone("short")


def test_no_n_gram_reaches_from_one_text_into_the_next() -> None:
    apart = rows_of(ENCODER.encode(["one", "two"]))
    together = encoded_alone("one two")
    pairs = set(words_of(together)) - set(words_of(apart[0])) - set(words_of(apart[1]))
    assert len(pairs) == 1
    assert [len(words_of(row)) for row in apart] == [1, 1]


def test_counts_are_sublinear() -> None:
    # The words of "a a a b" are a (3), b (1), "a a" (2), "a b" (1).
    weights = [1 + math.log(3), 1.0, 1 + math.log(2), 1.0]
    length = math.sqrt(2 * sum(weight**2 for weight in weights))
    found = sorted(words_of(encoded_alone("a a a b")).values())
    assert found == pytest.approx(sorted(weight / length for weight in weights), abs=1e-6)


def test_letters_are_counted_with_the_spaces_around_the_text() -> None:
    # " ab " has two 3-grams and no 5-gram.
    values = list(letters_of(encoded_alone("ab")).values())
    assert values == pytest.approx([0.5, 0.5])


def test_a_word_seen_often_in_training_weighs_less() -> None:
    encoder = HashingEncoder()
    encoder.fit(["common rare", "common", "common", "common"])
    (common,) = words_of(encoded_alone("common"))
    (rare,) = words_of(encoded_alone("rare"))
    both = encoded_alone("common rare", encoder)
    idf = encoder.state()[0]["idf"]
    assert idf[common] == pytest.approx(math.log(5 / 5) + 1)
    assert idf[rare] == pytest.approx(math.log(5 / 2) + 1)
    assert both[rare] / both[common] == pytest.approx(idf[rare] / idf[common])


def test_a_word_counts_once_for_each_text_it_occurs_in() -> None:
    encoder = HashingEncoder()
    encoder.fit(["often often often", "other"])
    (often,) = words_of(encoded_alone("often"))
    assert encoder.state()[0]["idf"][often] == pytest.approx(math.log(3 / 2) + 1)


def test_fitting_anew_forgets_what_was_fitted_before() -> None:
    encoder, fresh = HashingEncoder(), HashingEncoder()
    encoder.fit(["some other texts"])
    for each in (encoder, fresh):
        each.fit(["one two", "two three"])
    assert np.array_equal(encoder.state()[0]["idf"], fresh.state()[0]["idf"])


def test_fitting_to_no_texts_changes_nothing() -> None:
    encoder = HashingEncoder()
    encoder.fit([])
    assert rows_of(encoder.encode(TEXTS)) == rows_of(ENCODER.encode(TEXTS))


def test_state_restores_what_fit_learned() -> None:
    fitted, restored = HashingEncoder(), HashingEncoder()
    fitted.fit(TEXTS)
    restored.restore(*fitted.state())
    assert rows_of(restored.encode(TEXTS)) == rows_of(fitted.encode(TEXTS))
    assert rows_of(restored.encode(TEXTS)) != rows_of(ENCODER.encode(TEXTS))


def test_a_state_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        HashingEncoder().restore({"idf": np.ones(7, np.float32)}, {})


def test_features_do_not_depend_on_the_process() -> None:
    digests = set()
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", DIGEST],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed},
        )
        digests.add(done.stdout.strip())
    encoded = ENCODER.encode(["one two three", "", "prove \ud800 x²"])
    assert digests == {hashlib.sha256(b"".join(part.tobytes() for part in encoded)).hexdigest()}


def test_more_words_than_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmrouter.encoders.hashing._REMEMBERED", 2)
    text = "one two three four one two"
    assert encoded_alone(text, HashingEncoder()) == encoded_alone(text)
