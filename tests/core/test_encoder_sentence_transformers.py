"""Models of the Sentence Transformers library, from a local folder."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from llmrouter.encoders import create_encoder
from llmrouter.encoders.sentence_transformers import SentenceTransformersEncoder
from llmrouter.errors import LLMRouterError, MissingExtraError

pytestmark = pytest.mark.torch

TEXTS = ["Hi", "What is the capital of France?", "", "a" * 500, "日本語 \N{GRINNING FACE}", "half \ud83d"]


@pytest.fixture(scope="module")
def folder(tiny_longformer: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Write a model that averages token embeddings and normalises the mean."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    folder = tmp_path_factory.mktemp("models") / "tiny-sentences"
    transformer = Transformer(tiny_longformer)
    transformer.max_seq_length = 32
    SentenceTransformer(modules=[transformer, Pooling(16), Normalize()], device="cpu").save(str(folder))
    return str(folder)


def test_embeddings_are_the_library_s(folder: str) -> None:
    from sentence_transformers import SentenceTransformer

    encoder = create_encoder(f"sentence-transformers:{folder}")
    features = encoder.encode(TEXTS)
    assert isinstance(features, np.ndarray)
    assert features.dtype == np.float32
    assert features.shape == (len(TEXTS), 16)
    assert encoder.dim == 16
    assert encoder.name == f"sentence-transformers:{folder}"
    expected = SentenceTransformer(folder, device="cpu").encode(
        [*TEXTS[:-1], "half ?"], show_progress_bar=False
    )
    np.testing.assert_allclose(features, expected, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-5)


def test_a_batch_equals_its_texts_alone(folder: str) -> None:
    encoder = SentenceTransformersEncoder(folder)
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(encoder.encode(TEXTS), alone, atol=1e-5)
    assert encoder.encode([]).shape == (0, 16)


def test_an_encoder_that_was_used_can_be_copied(folder: str) -> None:
    encoder = SentenceTransformersEncoder(folder)
    features = encoder.encode(["Hi"])
    np.testing.assert_array_equal(copy.deepcopy(encoder).encode(["Hi"]), features)


def test_the_version_tells_models_apart(folder: str, tiny_longformer: str) -> None:
    version = SentenceTransformersEncoder(folder).version
    assert version == SentenceTransformersEncoder(folder).version
    assert version != SentenceTransformersEncoder(tiny_longformer).version


def test_loading_shows_nothing(folder: str, capfd: pytest.CaptureFixture[str]) -> None:
    from llmrouter.encoders import sentence_transformers

    sentence_transformers._load.cache_clear()
    capfd.readouterr()
    SentenceTransformersEncoder(folder).encode(TEXTS)
    assert capfd.readouterr() == ("", "")


def test_a_model_must_be_named() -> None:
    for name in ("sentence-transformers", "sentence-transformers:"):
        with pytest.raises(LLMRouterError, match="needs a model: write sentence-transformers:NAME"):
            create_encoder(name)


def test_code_in_a_model_is_not_run(folder: str) -> None:
    import shutil

    shutil.copytree(folder, "model")
    modules = json.loads(Path("model/modules.json").read_text())
    modules[0]["type"] = "evil.Evil"
    Path("model/modules.json").write_text(json.dumps(modules))
    Path("model/evil.py").write_text("from pathlib import Path\nPath('ran').touch()\nclass Evil: ...\n")
    with pytest.raises(LLMRouterError, match=r"Model \./model: cannot be loaded: .*evil\.Evil"):
        create_encoder("sentence-transformers:./model").encode(["Hi"])
    assert not Path("ran").exists()


def test_a_model_that_is_missing_or_empty_is_an_error() -> None:
    with pytest.raises(LLMRouterError, match=r"Model \./nowhere: there is no such folder"):
        create_encoder("sentence-transformers:./nowhere").encode(["Hi"])
    with pytest.raises(LLMRouterError, match="cannot be downloaded"):
        create_encoder("sentence-transformers:nobody/no-such-sentences").encode(["Hi"])
    Path("empty").mkdir()
    with pytest.raises(LLMRouterError, match="Model empty: cannot be loaded"):
        create_encoder("sentence-transformers:empty").encode(["Hi"])


@pytest.mark.parametrize("package", ["torch", "transformers", "sentence_transformers"])
def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'llmrouter-core\[sentence-transformers\]'"):
        create_encoder("sentence-transformers:some/model")
