"""WordLlama's static embeddings, with the real weights from its package."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llmrouter.encoders import create_encoder, wordllama
from llmrouter.encoders.wordllama import WordLlamaEncoder
from llmrouter.errors import LLMRouterError, MissingExtraError
from tests.fuzzing import fuzzed

# Its package is installed where torch is.
needs_package = pytest.mark.torch

TEXTS = ["Hi", "What is the capital of France?", "", " ", "\n\0", "日本語 \N{GRINNING FACE}", "naïve " * 300]


@pytest.fixture
def unloaded() -> Iterator[None]:
    """Let the model be read anew, in the test and after it."""
    wordllama._model.cache_clear()
    yield
    wordllama._model.cache_clear()


@needs_package
def test_features_are_the_library_s() -> None:
    # Its own pooling, fed with the files that its loader does not find; apart, for its import configures
    # logging.
    program = """
        import json, sys
        import numpy as np
        from tokenizers import Tokenizer
        from wordllama.inference import WordLlamaInference
        from llmrouter.encoders.wordllama import _folder, _model
        tokenizer = Tokenizer.from_file(str(_folder() / "tokenizers" / "l2_supercat_tokenizer_config.json"))
        np.save("expected.npy", WordLlamaInference(_model()[0], tokenizer).embed(json.loads(sys.argv[1])))
    """
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), json.dumps(TEXTS)], check=True, timeout=300
    )
    expected = np.load("expected.npy")
    encoder = create_encoder("wordllama")
    features = encoder.encode(TEXTS)
    assert isinstance(features, np.ndarray)
    assert features.dtype == np.float32
    assert features.shape == (len(TEXTS), 256)
    assert (encoder.name, encoder.dim) == ("wordllama", 256)
    np.testing.assert_allclose(features, expected, atol=1e-5)


@needs_package
@fuzzed
@given(texts=st.lists(st.text(st.sampled_from(" ▁<>/sunk\n\ta\u00e9日\N{GRINNING FACE}")), max_size=3))
@example(texts=["an <s> and", "  two  spaces "])
@example(texts=["<unk>"])
@example(texts=["▁▁ a", "", " "])
def test_tokens_are_the_tokenizer_s(texts: list[str]) -> None:
    tokenizer = wordllama._model()[1]
    expected = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
    assert [encoding.ids for encoding in wordllama._tokenize(tokenizer, texts)] == expected


@needs_package
def test_similar_sentences_are_closer() -> None:
    features = WordLlamaEncoder().encode(
        [
            "How do I bake bread?",
            "What is the recipe for a loaf of bread?",
            "Prove that the square root of two is irrational",
            "Show that the root of 2 is not a fraction",
        ]
    )
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    closeness = features @ features.T
    assert min(closeness[0, 1], closeness[2, 3]) > 0.3 > 0.1 > closeness[:2, 2:].max()


@needs_package
def test_a_batch_equals_its_texts_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = WordLlamaEncoder()
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    np.testing.assert_array_equal(encoder.encode(TEXTS), alone)
    # Texts that go over the border of a block, and over several.
    monkeypatch.setattr(wordllama, "_BLOCK", 7)
    np.testing.assert_allclose(encoder.encode(TEXTS), alone, atol=1e-5)


@needs_package
def test_texts_without_tokens_are_zero() -> None:
    encoder = WordLlamaEncoder()
    assert not encoder.encode(["", "Hi", ""])[[0, 2]].any()
    assert encoder.encode([]).shape == (0, 256)
    assert np.isfinite(encoder.encode(TEXTS)).all()


@needs_package
def test_half_a_surrogate_pair_is_read_as_a_question_mark() -> None:
    features = WordLlamaEncoder().encode([json.loads('"half \\ud83d"'), "half ?"])
    np.testing.assert_array_equal(features[0], features[1])


@needs_package
def test_threads_and_processes_may_share_it() -> None:
    encoder = pickle.loads(pickle.dumps(WordLlamaEncoder()))
    expected = encoder.encode(TEXTS)
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(encoder.encode(TEXTS))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    for result in results:
        np.testing.assert_array_equal(result, expected)


@needs_package
def test_the_version_is_that_of_the_weights() -> None:
    assert WordLlamaEncoder().version == "1-64b47a2dc493cb8e"


@needs_package
def test_an_argument_is_refused() -> None:
    with pytest.raises(LLMRouterError, match="Encoder wordllama takes no argument, found 'large'"):
        create_encoder("wordllama:large")


@needs_package
@pytest.mark.usefixtures("unloaded")
def test_a_package_without_the_files_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wordllama, "_folder", lambda: Path("elsewhere"))
    with pytest.raises(LLMRouterError, match=r"does not hold the weights .*l2_supercat_256"):
        WordLlamaEncoder()


@needs_package
@pytest.mark.usefixtures("unloaded")
@pytest.mark.parametrize(
    ("rows", "old", "new", "reason"),
    [
        (7, "", "", "tokens lack embeddings"),
        (32_000, '"<unk>"', '"<none>"', "its tokenizer is another one"),
        (32_000, '"prepend": "▁"', '"prepend": "x"', "its tokenizer is another one"),
    ],
)
def test_files_that_do_not_fit_are_an_error(
    rows: int, old: str, new: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.numpy import save_file

    weights, vocabulary = (
        "weights/l2_supercat_256.safetensors",
        "tokenizers/l2_supercat_tokenizer_config.json",
    )
    for file in (weights, vocabulary):
        (tmp_path / file).parent.mkdir()
    save_file({"embedding.weight": np.zeros((rows, 256), np.float16)}, tmp_path / weights)
    text = (wordllama._folder() / vocabulary).read_text("utf-8")
    assert old in text
    (tmp_path / vocabulary).write_text(text.replace(old, new), "utf-8")
    monkeypatch.setattr(wordllama, "_folder", lambda: tmp_path)
    with pytest.raises(LLMRouterError, match=reason):
        WordLlamaEncoder()


@pytest.mark.parametrize("package", ["wordllama", "tokenizers", "safetensors"])
def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'llmrouter-core\[wordllama\]'"):
        create_encoder("wordllama")


def modules_after(source: str) -> set[str]:
    code = f"import json, sys\n{source}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


LIBRARIES = {
    "huggingface_hub",
    "safetensors",
    "sentence_transformers",
    "tokenizers",
    "torch",
    "transformers",
    "wordllama",
}


def test_importing_the_encoders_imports_none_of_their_libraries() -> None:
    modules = modules_after(
        "import llmrouter.encoders, llmrouter.encoders.plugin, llmrouter.utils\n"
        "assert 'numpy' not in sys.modules\n"
        "import llmrouter.encoders.cache, llmrouter.encoders.wordllama\n"
        "import llmrouter.encoders.longformer, llmrouter.encoders.sentence_transformers"
    )
    assert not modules & LIBRARIES


@needs_package
def test_making_an_encoder_does_not_load_a_model() -> None:
    modules = modules_after(
        "from llmrouter.encoders import create_encoder\n"
        "for name in ('longformer', 'sentence-transformers:some/model'): create_encoder(name)"
    )
    assert not modules & LIBRARIES


@needs_package
def test_encoding_needs_no_code_of_the_package_and_no_torch() -> None:
    modules = modules_after(
        "from llmrouter.encoders import create_encoder\ncreate_encoder('wordllama').encode(['Hi', 'you'])"
    )
    assert modules & LIBRARIES == {"safetensors", "tokenizers"}
