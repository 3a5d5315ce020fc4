"""Features kept on disk: the same as made anew, whatever happens to the file."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmrouter.encoders.base import Encoder, Floats, SparseBatch
from llmrouter.encoders.cache import FILE, CachedEncoder, cached, default_folder
from llmrouter.errors import LLMRouterError

TEXTS = ["Hi", "you", "", "Hi", "日本語", json.loads('"half \\ud83d"')]


class Counting(Encoder):
    """Features that follow from the text and from what was learned; counts the texts that it encodes."""

    name = "counting"

    def __init__(self, argument: str | None = None, dim: int = 8) -> None:
        super().__init__(argument)
        self.seen: list[str] = []
        self.width = dim
        self.bias = np.zeros(0, np.float32)

    def fit(self, texts: Sequence[str]) -> None:
        self.bias = np.array([len(texts)], np.float32)

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return {"bias": self.bias}, {}

    def restore(self, arrays: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        self.bias = arrays["bias"]

    def encode(self, texts: Sequence[str]) -> Floats:
        self.seen += texts
        rows = [[hash(text) % 1000 / 7 + self.bias.sum()] * self.width for text in texts]
        return np.array(rows, np.float32).reshape(len(texts), self.width)


class Sparse(Encoder):
    name = "sparse"

    def encode(self, texts: Sequence[str]) -> SparseBatch:
        count = len(texts)
        return SparseBatch(np.arange(count), np.ones(count, np.float32), np.arange(count))


def dense(features: Floats | SparseBatch) -> Floats:
    assert isinstance(features, np.ndarray)
    return features


def test_a_text_is_encoded_once() -> None:
    first = CachedEncoder(Counting(), "cache")
    features = dense(first.encode(TEXTS))
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features, Counting().encode(TEXTS))
    inner = Counting()
    second = CachedEncoder(inner, "cache")
    np.testing.assert_array_equal(second.encode([*TEXTS, "new"])[:-1], features)
    assert inner.seen == ["new"]
    assert second.dim == 8


def test_it_stands_in_for_its_encoder() -> None:
    inner = Counting("argument")
    inner.version = "7"
    encoder = CachedEncoder(inner, "cache")
    assert (encoder.name, encoder.version, encoder.argument, encoder.dim) == (
        "counting",
        "7",
        "argument",
        None,
    )
    assert dense(encoder.encode([])).shape == (0, 8)
    assert encoder.dim == 8
    encoder.fit(["a", "b"])
    arrays, settings = encoder.state()
    assert arrays["bias"] == 2
    encoder.restore({"bias": np.array([5], np.float32)}, settings)
    assert inner.bias == 5


def test_other_versions_names_and_states_are_kept_apart() -> None:
    CachedEncoder(Counting(), "cache").encode(["Hi"])

    def misses(inner: Counting) -> bool:
        CachedEncoder(inner, "cache").encode(["Hi"])
        return bool(inner.seen)

    named, newer, fitted = Counting(), Counting(), Counting()
    named.name, newer.version = "other", "2"
    fitted.fit(["a"])
    assert all(map(misses, (named, newer, fitted)))
    assert not misses(Counting())

    inner = Counting()
    learning = CachedEncoder(inner, "cache")
    learning.encode(["Hi"])
    learning.fit(["a", "b"])
    learning.encode(["Hi"])
    learning.restore({"bias": np.array([5], np.float32)}, {})
    np.testing.assert_array_equal(learning.encode(["Hi"]), inner.encode(["Hi"]))


def test_texts_are_not_written() -> None:
    CachedEncoder(Counting(), "cache").encode(["a secret text"])
    assert not any(b"secret" in path.read_bytes() for path in Path("cache").iterdir())
    assert Path("cache").stat().st_mode & 0o077 == 0


def test_sparse_features_pass_through() -> None:
    encoder = CachedEncoder(Sparse(), "cache")
    assert [len(encoder.encode(texts).offsets) for texts in (["a", "b"], ["a", "a"], [])] == [2, 2, 0]  # type: ignore[union-attr]
    assert not Path("cache").exists()


def test_many_texts_at_once() -> None:
    texts = [str(number) for number in range(2500)]
    expected = CachedEncoder(Counting(), "cache").encode(texts)
    inner = Counting()
    np.testing.assert_array_equal(CachedEncoder(inner, "cache").encode(texts[::-1]), expected[::-1])
    assert not inner.seen


@pytest.mark.parametrize(
    "content", [b"", b"no database at all" * 1000, b"SQLite format 3\0" + b"\xff" * 9000]
)
def test_a_file_that_is_no_database_is_replaced(caplog: pytest.LogCaptureFixture, content: bytes) -> None:
    Path("cache").mkdir()
    Path("cache", FILE).write_bytes(content)
    for known in (False, True):
        inner = Counting()
        np.testing.assert_array_equal(CachedEncoder(inner, "cache").encode(["Hi"]), Counting().encode(["Hi"]))
        assert inner.seen == ([] if known else ["Hi"])
    assert len(caplog.messages) == bool(content)
    assert all("is damaged" in message for message in caplog.messages)


def test_a_file_damaged_anywhere_gives_the_right_features() -> None:
    texts = [str(number) for number in range(300)]
    expected = CachedEncoder(Counting(), "cache").encode(texts)
    file = Path("cache", FILE)
    sound = file.read_bytes()
    logging.disable()
    try:
        generator = np.random.default_rng(0)
        for _ in range(40):
            damaged = bytearray(sound)
            start = int(generator.integers(len(sound)))
            length = int(generator.integers(1, 5000))
            damaged[start : start + length] = generator.bytes(min(length, len(sound) - start))
            file.write_bytes(damaged[: int(generator.integers(len(sound) // 2, len(sound) + 1))])
            encoder = CachedEncoder(Counting(), "cache")
            for _ in range(2):
                np.testing.assert_array_equal(encoder.encode(texts), expected)
    finally:
        logging.disable(logging.NOTSET)


def test_features_that_are_damaged_are_made_again(caplog: pytest.LogCaptureFixture) -> None:
    expected = CachedEncoder(Counting(), "cache").encode(["Hi", "you"])
    with sqlite3.connect(Path("cache", FILE)) as database:
        database.execute("UPDATE embeddings SET features = zeroblob(36) WHERE rowid = 1")
        database.execute("UPDATE embeddings SET features = zeroblob(7) WHERE rowid = 2")
    database.close()
    inner = Counting()
    encoder = CachedEncoder(inner, "cache")
    np.testing.assert_array_equal(encoder.encode(["Hi", "you"]), expected)
    assert inner.seen == ["Hi", "you"]
    assert "the features of 2 texts are damaged" in caplog.text
    encoder.encode(["Hi", "you"])
    assert len(inner.seen) == 2


def test_a_folder_that_cannot_be_used_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    Path("cache").write_text("a file")
    encoder = CachedEncoder(Counting(), "cache")
    for _ in range(3):
        assert dense(encoder.encode(["Hi"])).shape == (1, 8)
    assert len(caplog.messages) == 1
    assert "encoding without it" in caplog.text
    Path("other", FILE).mkdir(parents=True)
    assert dense(CachedEncoder(Counting(), "other").encode(["Hi"])).shape == (1, 8)


def test_a_file_that_another_process_holds_is_not_waited_for_long(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("llmrouter.encoders.cache._PATIENCE", 0.1)
    encoder = CachedEncoder(Counting(), "cache")
    encoder.encode(["Hi"])
    other = sqlite3.connect(Path("cache", FILE))
    other.execute("BEGIN IMMEDIATE")
    try:
        assert dense(encoder.encode(["new"])).shape == (1, 8)
    finally:
        other.close()
    assert "database is locked" in caplog.text


def test_the_older_half_is_dropped_when_it_grows_too_large() -> None:
    encoder = CachedEncoder(Counting(dim=256), "cache", max_bytes=200_000)
    for number in range(40):
        encoder.encode([f"{number} {part}" for part in range(10)])
    assert Path("cache", FILE).stat().st_size < 300_000
    inner = Counting(dim=256)
    again = CachedEncoder(inner, "cache")
    again.encode([f"39 {part}" for part in range(10)])
    assert not inner.seen
    again.encode(["0 0"])
    assert inner.seen == ["0 0"]


def test_clearing_forgets_everything() -> None:
    inner = Counting()
    encoder = CachedEncoder(inner, "cache")
    encoder.clear()
    assert not Path("cache").exists()
    encoder.encode([str(number) for number in range(1000)])
    size = Path("cache", FILE).stat().st_size
    encoder.clear()
    assert Path("cache", FILE).stat().st_size < size / 2
    encoder.encode(["0"])
    assert inner.seen[-1] == "0"


def test_threads_may_share_an_encoder() -> None:
    encoder = CachedEncoder(Counting(), "cache")
    failures: list[object] = []

    def use(number: int) -> None:
        texts = [str((number + step) % 20) for step in range(20)]
        for _ in range(5):
            if not np.array_equal(encoder.encode(texts), Counting().encode(texts)):
                failures.append(number)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_an_encoder_that_was_used_can_be_copied_and_pickled() -> None:
    encoder = CachedEncoder(Counting(), "cache")
    features = encoder.encode(TEXTS)
    for other in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        np.testing.assert_array_equal(other.encode(TEXTS), features)


WRITER = """
import sys
import numpy as np
from llmrouter.encoders.base import Encoder
from llmrouter.encoders.cache import CachedEncoder

class Fixed(Encoder):
    name = "fixed"
    def encode(self, texts):
        return np.array([[float(text)] * 64 for text in texts], np.float32).reshape(len(texts), 64)

encoder = CachedEncoder(Fixed(), "cache")
print("ready", flush=True)
for start in range(int(sys.argv[1]), int(sys.argv[2]), 20):
    texts = [str(number) for number in range(start, start + 20)]
    for _ in range(2):
        assert encoder.encode(texts)[:, 0].tolist() == [float(text) for text in texts]
"""


class Fixed(Counting):
    name = "fixed"

    def encode(self, texts: Sequence[str]) -> Floats:
        self.seen += texts
        return np.array([[float(text)] * 64 for text in texts], np.float32).reshape(len(texts), 64)

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return {}, {}


def start_writer(first: int, last: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(first), str(last)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_processes_may_share_a_folder() -> None:
    # They overlap: each text is written by two of them.
    writers = [start_writer(number * 200, number * 200 + 400) for number in range(4)]
    for writer in writers:
        _, complaints = writer.communicate(timeout=300)
        assert writer.returncode == 0, complaints
        assert not complaints
    inner = Fixed()
    CachedEncoder(inner, "cache").encode([str(number) for number in range(1000)])
    assert not inner.seen


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills a process the hard way")
def test_a_process_that_is_killed_leaves_a_sound_file(caplog: pytest.LogCaptureFixture) -> None:
    for round in range(3):
        writer = start_writer(round * 1_000_000, (round + 1) * 1_000_000)
        assert writer.stdout is not None
        writer.stdout.readline()
        while not Path("cache", FILE).exists():
            time.sleep(0.01)
        time.sleep(0.1 * (round + 1))
        writer.kill()
        writer.communicate(timeout=300)
        texts = [str(round * 1_000_000 + number) for number in range(200)]
        inner = Fixed()
        features = dense(CachedEncoder(inner, "cache").encode(texts))
        assert features[:, 0].tolist() == [float(text) for text in texts]
        assert len(inner.seen) < 200
    assert not caplog.messages


def test_the_default_folder_is_where_caches_belong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert default_folder() == tmp_path / "home" / ".cache" / "llmrouter"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert default_folder() == tmp_path / "home" / ".cache" / "llmrouter"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert default_folder() == tmp_path / "caches" / "llmrouter"
    CachedEncoder(Counting()).encode(["Hi"])
    assert (tmp_path / "caches" / "llmrouter" / FILE).exists()


def test_the_setting_turns_it_on() -> None:
    inner = Counting()
    assert cached(inner, None) is cached(inner, False) is inner
    always = cached(inner, True)
    assert isinstance(always, CachedEncoder)
    assert always.path == default_folder() / FILE
    named = cached(inner, "~/mine")
    assert isinstance(named, CachedEncoder)
    assert named.path == Path.home() / "mine" / FILE


@pytest.mark.parametrize("setting", [1, 0, "", [], {"folder": "x"}])
def test_a_setting_of_another_kind_is_an_error(setting: object) -> None:
    with pytest.raises(LLMRouterError, match=r"hparam\.embedding_cache: expected true, false or a folder"):
        cached(Counting(), setting)
